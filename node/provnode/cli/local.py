"""Questions to the node on this host, over its unix socket."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from provnode import __version__
from provnode.cli.main import RefusalError, print_json

_SECONDS = 15.0


def _call(socket: Path, *calls: tuple[str, dict[str, object]]) -> list[Any]:
    import asyncio

    from provnode.rpc.client import CallError, Client

    async def ask() -> list[Any]:
        client = await Client.local(socket, _SECONDS)
        try:
            return [await client.call(method, **params) for method, params in calls]
        finally:
            await client.close()

    try:
        return asyncio.run(ask())
    except CallError as error:
        raise RefusalError(str(error)) from None


def status(given: argparse.Namespace) -> int:
    """Print how the node is. Whether that is well is for the reader to judge: 0 if it answers."""
    (found,) = _call(given.socket, ("node_status", {}))
    if given.json:
        print_json(found)
        return 0
    for key, value in found.items():
        peers = key == "peers"
        shown = ", ".join(f"{p['name']} ({p['organisation']})" for p in value) if peers else value
        print(f"{key.replace('_', ' '):<20} {shown}")
    return 0


def block(given: argparse.Namespace) -> int:
    """Print a block."""
    height: dict[str, object] = {"height": given.height}
    found, state = _call(given.socket, ("block", height), ("consensus_state", height))
    certificate = state["certificate"]
    print_json(
        {
            "height": found["height"],
            "hash": found["hash"],
            "parent": found["previous"]["hash"],
            "time": found["time_ms"],
            "proposer": found["proposer"],
            "transactions": len(found["transactions"]),
            "certificate": {
                "round": certificate["round"],
                "validators": [one["validator"] for one in certificate["signatures"]],
            },
        }
    )
    return 0


def version(given: argparse.Namespace) -> int:
    """Print the version."""
    if given.json:
        print_json({"name": "provnode", "version": __version__})
    else:
        print(__version__)
    return 0
