"""``provchain spec``: check a chain.yml, print its digest, export the JSON Schema for editors."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from provchain.spec import ChainSpec, DocumentError, digest, json_schema, load

app = typer.Typer(no_args_is_help=True, help="Check, digest and describe a chain.yml.")

File = Annotated[Path, typer.Argument(metavar="FILE", exists=True, dir_okay=False, help="a chain.yml")]
Json = Annotated[bool, typer.Option("--json", help="print JSON for machines")]


@app.command(epilog="Example: provchain spec check inventories/lab/chain.yml")
def check(file: File, as_json: Json = False) -> None:
    """Say every problem of a chain.yml, one line each; exit 1 if there is any."""
    spec = _load(file, as_json)
    if as_json:
        _print({"file": str(file), "ok": True, "digest": digest(spec), "problems": []})
    else:
        typer.echo(f"{file}: ok, {len(spec.hosts)} hosts, digest {digest(spec)}")


@app.command("digest", epilog="Example: provchain spec digest inventories/lab/chain.yml")
def print_digest(file: File, as_json: Json = False) -> None:
    """Print the SM3 digest of the canonical form; exit 1 if the file is refused."""
    spec = _load(file, as_json)
    if as_json:
        _print({"file": str(file), "network": spec.network, "digest": digest(spec)})
    else:
        typer.echo(digest(spec))


@app.command(epilog="Example: provchain spec schema inventories/chain.schema.json")
def schema(
    file: Annotated[
        Path | None, typer.Argument(metavar="FILE", help="where to write it; else printed")
    ] = None,
) -> None:
    """Export the JSON Schema of chain.yml, for editors that complete and check while typing."""
    text = json.dumps(json_schema(), ensure_ascii=False, indent=2) + "\n"
    if file is None:
        typer.echo(text, nl=False)
        return
    try:
        file.write_text(text, encoding="utf-8")
    except OSError as error:
        raise typer.BadParameter(f"{file} can't be written: {error.strerror}") from None


def _load(file: Path, as_json: bool) -> ChainSpec:
    """Load, or print the problems and exit 1."""
    try:
        return load(file)
    except DocumentError as error:
        if as_json:
            _print({"file": str(file), "ok": False, "problems": [asdict(p) for p in error.problems]})
        else:
            for problem in error.problems:
                typer.echo(str(problem), err=True)
        raise typer.Exit(1) from None


def _print(value: object) -> None:
    typer.echo(json.dumps(value, ensure_ascii=False, indent=2))
