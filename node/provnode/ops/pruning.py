"""Dropping old blocks of a running node, beside the consensus."""

from __future__ import annotations

import asyncio
import logging

from provnode.net.events import log_event
from provnode.storage.errors import StoreError
from provnode.storage.prune import STEP_BLOCKS, prune
from provnode.storage.store import Store

log = logging.getLogger(__name__)
# between two steps commits and readers have the store for themselves
_PAUSE_SECONDS = 0.02
_AGAIN_SECONDS = 5.0


class Pruning:
    """Keeps the newest `keep` blocks (0: all), and up to a step more, so that most blocks cost nothing.

    `oldest` is the height of the oldest block here, 0 before the first.
    """

    def __init__(self, store: Store, keep: int, height: int) -> None:
        self._store = store
        self._keep = keep
        self._height = height
        self._due = asyncio.Event()
        self.oldest = store.lowest()

    def committed(self, height: int) -> None:
        """A block is durable."""
        self._height = height
        self.oldest = self.oldest or height
        if self._keep and self._wanted >= self.oldest + STEP_BLOCKS:
            self._due.set()

    @property
    def _wanted(self) -> int:
        return self._height - self._keep + 1

    async def run(self) -> None:
        """Do what is due, for ever. A disk that refuses is tried again."""
        self.committed(self._height)
        while True:
            await self._due.wait()
            self._due.clear()
            first = self.oldest
            while self.oldest < self._wanted:
                try:
                    self.oldest = await asyncio.to_thread(prune, self._store, self._wanted)
                except StoreError as error:
                    log_event(log, logging.ERROR, "prune.failed", code=error.code, error=error)
                    await asyncio.sleep(_AGAIN_SECONDS)
                await asyncio.sleep(_PAUSE_SECONDS)
            log_event(log, logging.DEBUG, "prune.done", dropped=self.oldest - first, oldest=self.oldest)
