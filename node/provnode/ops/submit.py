"""Transactions on their way in, from clients and peers, checked together; and who waits for them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from provnode.ledger.app import Committed, Ledger
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.mempool import Mempool
from provnode.ops.threads import Threads

_BATCH = 512
_MOST_WAITING = 10_000
OnAccepted = Callable[[Sequence[bytes], str | None], None]


@dataclass(frozen=True, slots=True)
class _Item:
    raws: Sequence[bytes]
    source: str | None
    outcomes: asyncio.Future[list[bytes | TxError]]


class Submissions:
    """The way into the mempool of one node."""

    def __init__(self, ledger: Ledger, mempool: Mempool, threads: Threads, on_accepted: OnAccepted) -> None:
        self._ledger = ledger
        self._mempool = mempool
        self._threads = threads
        self._on_accepted = on_accepted
        self._queue: deque[_Item] = deque()
        self._queued = 0
        self._wake = asyncio.Event()
        self._waiters: dict[bytes, set[asyncio.Future[int]]] = {}

    @property
    def waiting(self) -> int:
        """How many submissions wait to be verified."""
        return self._queued

    async def run(self) -> None:
        """Check what clients and peers have brought, as many at a time as have come meanwhile."""
        while True:
            await self._wake.wait()
            items = self._next()
            if not items:
                self._wake.clear()
                continue
            raws = [raw for item in items for raw in item.raws]
            try:
                outcomes = await self._threads.check(self._mempool.add_many, raws)
            except BaseException:
                for item in items:
                    item.outcomes.cancel()
                raise
            at = 0
            for item in items:
                own = outcomes[at : at + len(item.raws)]
                at += len(item.raws)
                accepted = [
                    raw for raw, found in zip(item.raws, own, strict=True) if isinstance(found, bytes)
                ]
                if accepted:
                    self._on_accepted(accepted, item.source)
                if not item.outcomes.done():
                    item.outcomes.set_result(own)

    def _next(self) -> list[_Item]:
        items: list[_Item] = []
        count = 0
        while self._queue and count < _BATCH:
            items.append(self._queue.popleft())
            count += len(items[-1].raws)
        self._queued -= count
        return items

    async def submit(self, raw: bytes) -> bytes:
        """The id of a client's transaction, now in the mempool. Raises TxError."""
        outcome = (await self.submit_many([raw]))[0]
        if isinstance(outcome, TxError):
            raise outcome
        return outcome

    async def submit_many(self, raws: Sequence[bytes]) -> list[bytes | TxError]:
        """The id or the refusal of each of a client's transactions, in order. Raises TxError `pool_full`."""
        if self._queued + len(raws) > _MOST_WAITING:
            raise TxError(TxCode.POOL_FULL, "too many submissions wait, try again later")
        return await self.offer(raws, None)

    async def offer(self, raws: Sequence[bytes], source: str | None) -> list[bytes | TxError]:
        """Put transactions into the mempool; what is new is passed on. `source` is the peer, if any.

        A peer waits for the outcome before it is read on, so it has one message of them here at a time.
        """
        item = _Item(raws, source, asyncio.get_running_loop().create_future())
        self._queue.append(item)
        self._queued += len(raws)
        self._wake.set()
        return await item.outcomes

    async def wait(self, txid: bytes, seconds: float) -> int:
        """The height that committed a transaction. Raises TxError if it was dropped, TimeoutError."""
        future: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        # first listen, then look: a commit in between is not missed
        self._waiters.setdefault(txid, set()).add(future)
        try:
            place = await self._threads.check(self._ledger.store.transaction, txid)
            if place is not None:
                return place[0]
            async with asyncio.timeout(seconds):
                return await future
        finally:
            waiting = self._waiters.get(txid, set())
            waiting.discard(future)
            if not waiting:
                self._waiters.pop(txid, None)

    def committed(self, committed: Committed) -> None:
        """A block is durable: tell those who wait for its transactions, and those who wait in vain."""
        for txid in committed.txids:
            for future in self._waiters.get(txid, ()):
                if not future.done():
                    future.set_result(committed.height)
        for txid, futures in self._waiters.items():
            refusal = self._mempool.refusal(txid)
            for future in futures:
                if refusal is not None and not future.done():
                    future.set_exception(refusal)
