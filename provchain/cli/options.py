"""Options that many commands share."""

from __future__ import annotations

from typing import Annotated

import typer

from provchain.paths import spec_file


def described(network: str) -> str:
    """Refuse a network that nobody described, as wrong use, before anything is made for it."""
    if not spec_file(network).is_file():
        known = sorted(path.parent.name for path in spec_file("*").parent.parent.glob("*/chain.yml"))
        raise typer.BadParameter(f"{spec_file(network)} is missing; described are: {', '.join(known)}")
    return network


Network = Annotated[
    str, typer.Option("--network", "-n", help="name of a folder in inventories/", callback=described)
]
Json = Annotated[bool, typer.Option("--json", help="print JSON for machines")]
Yes = Annotated[bool, typer.Option("--yes", help="do not ask")]
Check = Annotated[bool, typer.Option("--check", help="a dry run: say what would be done, change nothing")]
