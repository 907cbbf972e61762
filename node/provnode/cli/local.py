"""Questions to the node on this host, over its unix socket."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from provnode import __version__
from provnode.cli.main import RefusalError, print_json

_SECONDS = 15.0
_POLL_SECONDS = 0.2
# to the terminal's upper left, and nothing below (ECMA-48: CUP, ED)
_CLEAR = "\x1b[H\x1b[J"


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
    """Print how the node is. Whether that is well is for the reader to judge: 0 if it answers.

    When it watches, a node that does not answer is said and asked again: it may be restarting.
    """
    if given.watch is None:
        _show(given, _call(given.socket, ("node_status", {}))[0])
        return 0
    while True:
        try:
            (found,) = _call(given.socket, ("node_status", {}))
        except RefusalError as error:
            print(f"provnode: {error}", file=sys.stderr)
        else:
            if sys.stdout.isatty() and not given.json:
                print(_CLEAR, end="")
            _show(given, found)
            print(end="" if given.json else "\n", flush=True)
        time.sleep(given.watch)


def _show(given: argparse.Namespace, found: dict[str, Any]) -> None:
    if given.json:
        print_json(found)
        return
    for key, value in found.items():
        shown = value
        if key == "peers":
            shown = ", ".join(f"{p['name']} ({p['organisation']}) {p['height']}" for p in value)
        elif key == "evidence":
            recorded = ", ".join(f"{name} {count}" for name, count in sorted(value["committed"].items()))
            shown = f"{recorded or 'none'}, {value['pending']} pending"
        print(f"{key.replace('_', ' '):<20} {shown}")


def wait(given: argparse.Namespace) -> int:
    """Return once the node has taken a block since it was first asked, and has no more to catch up with."""
    end = time.monotonic() + given.seconds
    first, last = -1, "no answer"
    while time.monotonic() < end:
        try:
            (found,) = _call(given.socket, ("node_status", {}))
        except RefusalError as error:
            last = str(error)  # it is starting
        else:
            first = found["height"] if first < 0 else first
            if found["height"] > first and not found["syncing"]:
                return 0
            last = f"height {found['height']}, syncing: {found['syncing']}, problem: {found['problem']}"
        time.sleep(_POLL_SECONDS)
    raise RefusalError(f"not ready within {given.seconds:g} s: {last}")


def log_level(given: argparse.Namespace) -> int:
    """Show, or set until the next start, from which level on the node logs."""
    params = {} if given.level is None else {"level": given.level}
    (found,) = _call(given.socket, ("log_level", params))
    print(found["level"])
    return 0


def evidence(given: argparse.Namespace) -> int:
    """Print the misbehaviour that the chain records; a finding (1) if there is any."""
    after: str | None = ""
    found_any = False
    while after is not None:
        (page,) = _call(given.socket, ("evidence", {"after": after}))
        after = page["next"]
        for one in page["evidence"]:
            found_any = True
            if given.json:
                print_json(one)
                continue
            print(
                f"{one['validator']} of {one['organisation']} ({one['title']}): two different {one['kind']}s "
                f"in height {one['height']}, round {one['round']}; recorded at {one['committed_height']}"
            )
    return int(found_any)


def rekey(given: argparse.Namespace) -> int:
    """Begin to change the data key; `status` tells how far that is."""
    (found,) = _call(given.socket, ("rekey", {}))
    print_json(found)
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
