"""Questions to the node on this host, over its unix socket."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path
from typing import Any

from provnode import __version__
from provnode.cli.main import RefusalError, print_json
from provnode.rpc.client import CallError, Client


async def _ask(socket: Path, method: str, **params: object) -> Any:  # noqa: ANN401 - each method has its own result
    client = await Client.local(socket)
    try:
        async with asyncio.timeout(15):
            return await client.call(method, **params)
    finally:
        await client.close()


def _call(socket: Path, method: str, **params: object) -> Any:  # noqa: ANN401 - as above
    try:
        return asyncio.run(_ask(socket, method, **params))
    except TimeoutError:
        raise RefusalError(f"{socket}: no answer within 15 s") from None
    except CallError as error:
        raise RefusalError(str(error)) from None


def status(given: argparse.Namespace) -> int:
    """Print how the node is; 1 if it is behind or its disk refuses."""
    found = _call(given.socket, "node_status")
    if given.json:
        print_json(found)
    else:
        for key, value in found.items():
            shown = (
                ", ".join(f"{p['name']} ({p['organisation']})" for p in value) if key == "peers" else value
            )
            print(f"{key.replace('_', ' '):<20} {shown}")
    return 0


def block(given: argparse.Namespace) -> int:
    """Print a block."""
    found = _call(given.socket, "block", height=given.height)
    state = _call(given.socket, "consensus_state", height=given.height)
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
