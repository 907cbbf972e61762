"""Run named steps with progress and time; run tools as subprocesses with their output kept in a log."""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from provchain.errors import ProvchainError
from provchain.paths import REPOSITORY, network_dir

_T = TypeVar("_T")


class Reporter(Protocol):
    """Where progress goes: a live line on a terminal, plain lines elsewhere, nothing under ``--json``."""

    def started(self, step: str) -> None:
        """Say that a step begins."""

    def detail(self, text: str) -> None:
        """Say what the running step is doing now."""

    def finished(self, step: str, seconds: float, summary: str) -> None:
        """Say that a step ended well, how long it took and what it found."""

    def failed(self, step: str, seconds: float) -> None:
        """Say that a step failed; the error itself is reported by the caller."""


def run_step(reporter: Reporter, name: str, action: Callable[[Callable[[str], None]], tuple[_T, str]]) -> _T:
    """Run one step and return its value.

    ``action`` gets a function that reports details, and returns ``(value, one-line summary)``.
    Whatever it raises passes through after the reporter was told.
    """
    reporter.started(name)
    began = time.monotonic()
    try:
        value, summary = action(reporter.detail)
    except BaseException:
        reporter.failed(name, time.monotonic() - began)
        raise
    reporter.finished(name, time.monotonic() - began, summary)
    return value


def run_tool(
    argv: Sequence[str],
    *,
    log: Path,
    detail: Callable[[str], None],
    env: Mapping[str, str] | None = None,
    interesting: Callable[[str], str | None] = lambda line: line,
) -> list[str]:
    """Run a tool to its end, append its output to ``log`` and return its lines.

    ``interesting`` picks what of a line is worth showing as progress. Raises ProvchainError with the
    tail of the output if the tool exits with anything but 0.
    """
    lines: list[str] = []
    log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (
        log.open("w", encoding="utf-8") as sink,
        subprocess.Popen(
            list(argv),
            cwd=REPOSITORY,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        assert process.stdout is not None  # noqa: S101 - PIPE was asked for above
        try:
            for line in process.stdout:
                sink.write(line)
                sink.flush()
                lines.append(line.rstrip("\n"))
                shown = interesting(line.strip())
                if shown:
                    detail(shown)
        except BaseException:
            # interrupted: the tool must not go on alone
            process.terminate()
            raise
    if process.returncode != 0:
        tail = "\n".join(lines[-30:])
        raise ProvchainError(
            f"{Path(argv[0]).name} ended with exit code {process.returncode}",
            cause=f"its last lines were:\n{tail}",
            remedy=f"read {log}; after mending the cause, the same command goes on where it stopped",
        )
    return lines


@contextlib.contextmanager
def exclusive(network: str) -> Iterator[None]:
    """Hold the network's lock, so that no two commands change it at the same time.

    The lock belongs to the process and is gone with it, also after kill -9. Raises ProvchainError if
    another process holds it.
    """
    path = network_dir(network) / "lock"
    with path.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            handle.seek(0)
            holder = handle.read().strip() or "unknown"
            raise ProvchainError(
                f"another command is at work on network {network}",
                cause=f"process {holder} holds {path}",
                remedy="wait until it ends, or end it",
            ) from None
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
