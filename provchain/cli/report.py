"""What the command prints: progress, tables and errors; rich on a terminal, plain lines elsewhere.

rich takes 30 ms to load, so it is loaded only where it is used.
"""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from provchain.conductor.steps import Reporter

if TYPE_CHECKING:
    from rich.console import Console

_CONTROLS = dict.fromkeys((*range(7, 9), *range(11, 14)))
"""What moves a terminal's cursor about within a line, or rings its bell."""


class TerminalReporter:
    """A spinner with the running detail; a finished step leaves one line."""

    def __init__(self) -> None:
        self._console = _errors()
        self._status = self._console.status("")
        self._step = ""

    def started(self, step: str) -> None:
        """Begin the spinner."""
        self._step = step
        self._status.update(f"[bold]{step}[/bold]")
        self._status.start()

    def detail(self, text: str) -> None:
        """Show the newest detail behind the step's name."""
        shown = text.replace("[", "\\[")[: max(20, self._console.width - len(self._step) - 6)]
        self._status.update(f"[bold]{self._step}[/bold] [dim]{shown}[/dim]")

    def finished(self, step: str, seconds: float, summary: str) -> None:
        """Replace the spinner by the step's result."""
        self._status.stop()
        self._console.print(f"[green]✓[/green] {step:<10} {seconds:6.1f} s  {summary}")

    def failed(self, step: str, seconds: float) -> None:
        """Replace the spinner by the failure."""
        self._status.stop()
        self._console.print(f"[red]✗[/red] {step:<10} {seconds:6.1f} s")


class PlainReporter:
    """One line when a step starts and one when it ends, for logs and pipes."""

    def started(self, step: str) -> None:
        """Print the step's name."""
        print(f"{step} ...", file=sys.stderr, flush=True)

    def detail(self, text: str) -> None:
        """Say nothing: a log needs no progress."""

    def finished(self, step: str, seconds: float, summary: str) -> None:
        """Print the step's result."""
        print(f"{step}: {summary} ({seconds:.1f} s)", file=sys.stderr, flush=True)

    def failed(self, step: str, seconds: float) -> None:
        """Print the failure."""
        print(f"{step}: failed ({seconds:.1f} s)", file=sys.stderr, flush=True)


@cache
def _errors() -> Console:
    from rich.console import Console

    return Console(stderr=True, highlight=False)


def reporter() -> Reporter:
    """Return the reporter that suits where standard error goes."""
    return TerminalReporter() if sys.stderr.isatty() else PlainReporter()


def print_json(value: object) -> None:
    """Print a value for machines, on standard output."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


def print_lines(lines: list[str]) -> None:
    """Print lines for people, on standard output."""
    for line in lines:
        print(line.translate(_CONTROLS))


def print_error(lines: list[str]) -> None:
    """Print an error on standard error, its first line in red."""
    if sys.stderr.isatty():
        _errors().print(f"error: {lines[0]}", style="red", markup=False, emoji=False, soft_wrap=True)
    else:
        print(f"error: {lines[0]}".translate(_CONTROLS), file=sys.stderr)
    for line in lines[1:]:
        print(line.translate(_CONTROLS), file=sys.stderr)


def print_hosts(rows: list[dict[str, Any]]) -> None:
    """Print the network's table: one row a host."""
    heads = ["host", "zone", "organisation", "service", "height", "block hash", "peers", "certificate until"]
    if not sys.stdout.isatty():
        print("\t".join(heads))
        for row in rows:
            print("\t".join(_cells(row, 64)))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(*heads)
    for row in rows:
        style = "" if row["service"] in ("running", "no node") else "red"
        table.add_row(*_cells(row, 16), style=style)
    Console(highlight=False).print(table)


def _cells(row: dict[str, Any], hash_length: int) -> list[str]:
    def text(value: object) -> str:
        return "–" if value is None else str(value)

    return [
        row["host"],
        row["zone"],
        row["organisation"],
        row["service"],
        text(row["height"]),
        text(row["block_hash"])[:hash_length],
        text(row["peers"]),
        text(row["certificate_expires"])[:10],
    ]
