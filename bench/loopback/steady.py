"""So many transactions a second, whatever the network makes of them: signed as they are handed in.

Open loop: the next batch does not wait for the one before it. What a network can't take shows as latency, and
as batches that were left out once `_MOST_OPEN` of them wait for their block.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, field
from pathlib import Path

from provnode.crypto.provider import get_provider
from provnode.ledger.genesis import load_genesis
from provnode.ledger.transactions import sign_transaction

from bench.loopback.http import UnixRpc
from bench.loopback.provnode import SIGNER, Provnode
from bench.loopback.signing import record

_BATCH = 50
_WAIT_SECONDS = 60
# batches that wait for their block; more than these are left out
_MOST_OPEN = 300


@dataclass
class Minute:
    """What became of transactions since the last look: seconds until each one's block, and what went wrong.

    `refused` were not taken, or by a node that is not there; `late` not committed within a minute, or their
    node has gone; `left_out` not handed in.
    """

    waits: list[tuple[float, int]] = field(default_factory=list)
    refused: int = 0
    late: int = 0
    left_out: int = 0

    @property
    def committed(self) -> int:
        """Transactions that came into a block."""
        return sum(count for _, count in self.waits)

    def percentile(self, share: int) -> float:
        """Seconds that `share` percent of the transactions took at most; 0 where there were none."""
        at, wait = self.committed * share // 100, 0.0
        for wait, count in sorted(self.waits):  # noqa: B007 - the last one is what is wanted
            at -= count
            if at < 0:
                break
        return wait


@dataclass
class Steady:
    """Hands `rate` transactions a second to the nodes of a network in turn."""

    network: Provnode
    rate: int
    minute: Minute = field(default_factory=Minute)
    committed: int = 0

    def __post_init__(self) -> None:
        network = self.network
        self._provider = get_provider(network.provider)
        self._key = self._provider.load_private((network.root / "client.pem").read_bytes())
        self._genesis = load_genesis(network.root / "genesis.json").hash
        self._sockets = [network.socket(name) for name in network.names]
        self._numbers = itertools.count()
        self._padding = network.size - len(self._sign(0, 1)) + 1

    def _sign(self, number: int, padding: int) -> bytes:
        found = record(number, padding)
        return sign_transaction(self._provider, self._key, SIGNER, self._genesis, "object", found)[0]

    async def run(self, seconds: float) -> None:
        """Hand in for so long, then wait for what is open."""
        began = time.monotonic()
        async with asyncio.TaskGroup() as group:
            open_: set[asyncio.Task[None]] = set()
            for turn, path in enumerate(itertools.cycle(self._sockets), 1):
                await asyncio.sleep(max(0.0, began + turn * _BATCH / self.rate - time.monotonic()))
                if time.monotonic() - began >= seconds:
                    return
                if len(open_) >= _MOST_OPEN:
                    self.minute.left_out += _BATCH
                    continue
                task = group.create_task(self._hand_in(path))
                open_.add(task)
                task.add_done_callback(open_.discard)

    async def _hand_in(self, path: Path) -> None:
        raws = [self._sign(next(self._numbers), self._padding).hex() for _ in range(_BATCH)]
        taken: list[str] = []
        began = time.monotonic()
        try:
            # a connection each: clients come and go
            rpc = await UnixRpc.connect(path)
            answers = await rpc.call("submit_transactions", transactions=raws)
            taken = [answer["txid"] for answer in answers if "txid" in answer]
            if taken:
                await rpc.call("wait_transaction", txid=taken[-1], seconds=_WAIT_SECONDS)
            rpc.close()
        except (OSError, EOFError):
            self.minute.late += len(taken)
        else:
            self.minute.waits.append((time.monotonic() - began, len(taken)))
            self.committed += len(taken)
        self.minute.refused += _BATCH - len(taken)
