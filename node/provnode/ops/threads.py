"""What costs time runs in threads: libcrypto, SQLite and fsync release the interpreter meanwhile."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from provnode.net.events import log_event
from provnode.storage.errors import StoreError

log = logging.getLogger(__name__)
T = TypeVar("T")
_AGAIN_SECONDS = 1.0


class Threads:
    """One thread writes (the ledger wants one writer), two others check signatures and read."""

    def __init__(self) -> None:
        self._writer = ThreadPoolExecutor(1, "write")
        self._checkers = ThreadPoolExecutor(2, "check")
        self.problem: str | None = None

    async def write(self, call: Callable[..., T], *args: object) -> T:
        """Run in the one writing thread."""
        return await asyncio.get_running_loop().run_in_executor(self._writer, call, *args)

    async def check(self, call: Callable[..., T], *args: object) -> T:
        """Run in a thread that does not write the ledger."""
        return await asyncio.get_running_loop().run_in_executor(self._checkers, call, *args)

    async def durably(self, call: Callable[[], T]) -> T:
        """Run in the writing thread until the disk takes it: a full disk halts this node, it loses nothing.

        Raises StoreError when trying again can't help.
        """
        while True:
            try:
                result = await self.write(call)
            except StoreError as error:
                if error.code not in {"disk_full", "io"}:
                    raise
                self.problem = str(error)
                log_event(log, logging.ERROR, "store.refused", code=error.code, error=error)
                await self.rest(_AGAIN_SECONDS)
            else:
                self.problem = None
                return result

    async def rest(self, seconds: float) -> None:
        """Let time pass."""
        await asyncio.sleep(seconds)

    def close(self) -> None:
        """Wait for what runs; nothing else is begun."""
        self._writer.shutdown(wait=True, cancel_futures=True)
        self._checkers.shutdown(wait=True, cancel_futures=True)
