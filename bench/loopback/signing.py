"""Signs transactions ahead of a load, so that the client takes little of the machine meanwhile.

    python -m bench.loopback.signing JSON COUNT

Each creates one object of a type whose schema asks for nothing, padded to `size` bytes as a transaction.
Writes [[id, bytes], …] to `out`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
from provnode.crypto.provider import get_provider
from provnode.ledger.canonical import JsonObject
from provnode.ledger.genesis import load_genesis
from provnode.ledger.objects import PROTOCOL
from provnode.ledger.transactions import sign_transaction

import bench.loopback

assert bench.loopback  # noqa: S101 - imported for the path to the node


def record(number: int, padding: int) -> JsonObject:
    """An object to create, with so many bytes of padding in its body."""
    content: JsonObject = {
        "type": "note",
        "object_id": f"{number:x}",
        "version": 0,
        "operation": "create",
        "timestamp": int(time.time()),
    }
    body: JsonObject = {"padding": "x" * padding} if padding > 0 else {}
    return {"header": {"model": {"protocol": PROTOCOL, "version": "1"}, "content": content}, "body": body}


def _sign(asked: dict[str, Any], first: int, last: int) -> list[tuple[bytes, bytes]]:
    provider = get_provider(asked["provider"])
    key = provider.load_private(Path(asked["key"]).read_bytes())
    genesis = load_genesis(Path(asked["genesis"]))

    def signed(number: int, padding: int) -> tuple[bytes, bytes]:
        found = record(number, padding)
        raw, txid = sign_transaction(provider, key, asked["signer"], genesis.hash, "object", found)
        return txid, raw

    empty = len(signed(0, 1)[1])
    return [signed(number, asked["size"] - empty + 1) for number in range(first, last)]


def main() -> None:
    """Sign on all processors."""
    asked, count = json.loads(sys.argv[1]), int(sys.argv[2])
    workers = os.cpu_count() or 1
    step = -(-count // workers)
    with ProcessPoolExecutor(workers) as pool:
        parts = [pool.submit(_sign, asked, at, min(at + step, count)) for at in range(0, count, step)]
        found = [one for part in parts for one in part.result()]
    Path(asked["out"]).write_bytes(msgspec.msgpack.encode(found))


if __name__ == "__main__":
    main()
