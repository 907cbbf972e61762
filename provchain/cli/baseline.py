"""``provchain baseline``: check the catalog of controls, rules and profiles, and what is made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from provchain.baseline import catalog, coverage, schemas
from provchain.cli import report

app = typer.Typer(no_args_is_help=True, help="Check the Level-3 catalog and write what is made from it.")


@app.command(epilog="Example: provchain baseline check")
def check(
    profile: Annotated[list[Path] | None, typer.Option(help="a site's own profile, to check with it")] = None,
) -> None:
    """Say every problem of the catalog, one line each; exit 1 if there is any."""
    found = catalog.load(sites=profile or ())
    report.print_lines(
        [f"ok: {len(found.controls)} controls, {len(found.rules)} rules, {len(found.profiles)} profiles"]
    )


@app.command("schemas", epilog="Example: provchain baseline schemas baselines/schemas")
def schemas_(folder: Annotated[Path, typer.Argument(help="where to write them", file_okay=False)]) -> None:
    """Write the JSON Schemas of the catalog's files, for editors that complete and check while typing."""
    schemas.write(folder)


@app.command("coverage", epilog="Example: provchain baseline coverage docs/coverage.md")
def coverage_(path: Annotated[Path, typer.Argument(help="where to write it", dir_okay=False)]) -> None:
    """Write the table of every clause, how it is shown, and what is left to people."""
    path.write_text(coverage.table(catalog.load()), encoding="utf-8")
