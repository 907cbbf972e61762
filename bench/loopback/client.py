"""Keeps a number of signed transactions in flight on a network's nodes: python -m bench.loopback.client JSON

Closed loop: each connection hands in a batch, waits until the last of it is in a block, and hands in the
next. Writes MessagePack: of every batch [height, Unix time of handing in, transactions].
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from bench.loopback.http import UnixRpc

_BATCH = 50
_WAIT_SECONDS = 60


async def _run(asked: dict[str, Any], signed: list[tuple[bytes, bytes]]) -> dict[str, object]:
    transactions = iter(signed)
    sockets = [Path(one) for one in asked["sockets"]]
    loops = max(1, asked["in_flight"] // _BATCH // len(sockets))
    batches: list[tuple[int | None, float, int]] = []
    refused = 0
    began = time.time()
    end = began + asked["seconds"]

    async def one(path: Path, delay: float) -> None:
        nonlocal refused
        rpc = await UnixRpc.connect(path)
        # not all at the same moment: clients don't know each other
        await asyncio.sleep(delay)
        while time.time() < end and (batch := list(islice(transactions, _BATCH))):
            sent = time.time()
            answers = await rpc.call("submit_transactions", transactions=[raw.hex() for _, raw in batch])
            taken = [answer["txid"] for answer in answers if "txid" in answer]
            refused += len(answers) - len(taken)
            height = None
            if taken:
                found = await rpc.call("wait_transaction", txid=taken[-1], seconds=_WAIT_SECONDS)
                height = found["height"]
            batches.append((height, sent, len(taken)))
            if len(taken) < len(answers):
                await asyncio.sleep(0.1)

    await asyncio.gather(*(one(path, n / loops) for path in sockets for n in range(loops)))
    used = resource.getrusage(resource.RUSAGE_SELF)
    if next(transactions, None) is None:
        sys.exit("all signed transactions were sent before the end of the load: sign more")
    return {
        "batches": batches,
        "began": began,
        "ended": time.time(),
        "refused": refused,
        "cpu_seconds": used.ru_utime + used.ru_stime,
    }


def main() -> None:
    """Load, and write what came of it."""
    asked = json.loads(sys.argv[1])
    signed = msgspec.msgpack.decode(Path(asked["transactions"]).read_bytes())
    sys.stdout.buffer.write(msgspec.msgpack.encode(asyncio.run(_run(asked, signed))))


if __name__ == "__main__":
    main()
