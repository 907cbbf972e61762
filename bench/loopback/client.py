"""Hands signed transactions to a network's nodes: python -m bench.loopback.client JSON

Without a `rate` the loop is closed: each connection hands in a batch, waits until the last of it is in a
block, and hands in the next, so that `in_flight` transactions wait at a time. With a `rate` (transactions a
second) it is open: batches are handed in when they are due, whatever has become of those before, and a batch
that is late counts from when it was due. Writes MessagePack: of every batch [height, Unix time of handing in,
transactions].
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from typing import Any

import msgspec

from bench.loopback.http import UnixRpc

_BATCH = 100
# a request takes a megabyte, in hexadecimal
_BATCH_BYTES = 450_000
_WAIT_SECONDS = 60


class _Client:
    """What was handed in, and what came of it."""

    def __init__(self, asked: dict[str, Any], signed: list[tuple[bytes, bytes]]) -> None:
        self._sockets = [Path(one) for one in asked["sockets"]]
        self._in_flight: int = asked["in_flight"]
        self._rate: float = asked["rate"]
        self._batch = max(1, min(_BATCH, _BATCH_BYTES // len(signed[0][1])))
        self._raws: Iterator[bytes] = (raw for _, raw in signed)
        self._free: dict[Path, list[UnixRpc]] = {path: [] for path in self._sockets}
        self.batches: list[tuple[int | None, float, int]] = []
        self.refused = 0
        self.began = time.time()
        self._end = self.began + asked["seconds"]

    async def run(self) -> None:
        """Load until the end."""
        if self._rate:
            await self._open()
            return
        loops = max(1, self._in_flight // self._batch // len(self._sockets))
        await asyncio.gather(*(self._closed(path, n / loops) for path in self._sockets for n in range(loops)))

    @property
    def exhausted(self) -> bool:
        """Whether all transactions were handed in."""
        return next(self._raws, None) is None

    async def _closed(self, path: Path, delay: float) -> None:
        # not all at the same moment: clients don't know each other
        await asyncio.sleep(delay)
        while time.time() < self._end and (batch := list(islice(self._raws, self._batch))):
            if not await self._hand_in(path, batch, time.time()):
                await asyncio.sleep(0.1)

    async def _open(self) -> None:
        tasks = []
        for number in count():
            due = self.began + number * self._batch / self._rate
            if due >= self._end or not (batch := list(islice(self._raws, self._batch))):
                break
            await asyncio.sleep(max(0.0, due - time.time()))
            path = self._sockets[number % len(self._sockets)]
            tasks.append(asyncio.create_task(self._hand_in(path, batch, due)))
        await asyncio.gather(*tasks)

    async def _hand_in(self, path: Path, batch: list[bytes], sent: float) -> bool:
        """Whether all of a batch was taken, once it is in a block."""
        free = self._free[path]
        rpc = free.pop() if free else await UnixRpc.connect(path)
        answers = await rpc.call("submit_transactions", transactions=[raw.hex() for raw in batch])
        taken = [answer["txid"] for answer in answers if "txid" in answer]
        height = None
        if taken:
            found = await rpc.call("wait_transaction", txid=taken[-1], seconds=_WAIT_SECONDS)
            height = found["height"]
        free.append(rpc)
        self.refused += len(batch) - len(taken)
        self.batches.append((height, sent, len(taken)))
        return len(taken) == len(batch)


def main() -> None:
    """Load, and write what came of it."""
    asked = json.loads(sys.argv[1])
    client = _Client(asked, msgspec.msgpack.decode(Path(asked["transactions"]).read_bytes()))
    asyncio.run(client.run())
    used = resource.getrusage(resource.RUSAGE_SELF)
    if client.exhausted:
        sys.exit("all signed transactions were sent before the end of the load: sign more")
    told = {
        "batches": client.batches,
        "began": client.began,
        "ended": time.time(),
        "refused": client.refused,
        "cpu_seconds": used.ru_utime + used.ru_stime,
    }
    sys.stdout.buffer.write(msgspec.msgpack.encode(told))


if __name__ == "__main__":
    main()
