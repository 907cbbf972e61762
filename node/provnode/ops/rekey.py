"""Changing the data key while the node runs: asked for by an operator, gone on with after a restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from provnode.net.events import log_event
from provnode.storage.errors import StoreError
from provnode.storage.rekey import Pass, begin, end
from provnode.storage.sealing import Keyring, Sealing
from provnode.storage.store import Store

log = logging.getLogger(__name__)
# between two steps commits and readers have the store for themselves
_PAUSE_SECONDS = 0.01
_AGAIN_SECONDS = 5.0


class RekeyError(Exception):
    """The data key can't be changed now."""


class Rekeying:
    """Seals the store anew while there is more than one data key. Without a keyring it has nothing to do."""

    def __init__(self, store: Store, sealing: Sealing, height: Callable[[], int]) -> None:
        self._store = store
        self._keyring = sealing if isinstance(sealing, Keyring) else None
        self._height = height
        self._pass: Pass | None = None
        self._due = asyncio.Event()

    @property
    def progress(self) -> tuple[int, int] | None:
        """Rows that were looked at, of how many; None while the data key isn't being changed."""
        return None if self._pass is None else (self._pass.done, max(self._pass.rows, self._pass.done))

    async def begin(self) -> int:
        """Make a new data key and begin; gives its number. Raises RekeyError, StoreError."""
        keyring = self._keyring
        if keyring is None:
            raise RekeyError("this node's data is plain; kek_credential in its configuration seals it")
        if len(keyring.numbers) > 1:
            raise RekeyError(f"the change to data key {keyring.current} is still under way")
        number = await asyncio.to_thread(begin, self._store, keyring)
        log_event(log, logging.WARNING, "rekey.begun", key=number)
        self._due.set()
        return number

    async def run(self) -> None:
        """Do what is due, for ever. A disk that refuses is tried again."""
        keyring = self._keyring
        if keyring is not None and len(keyring.numbers) > 1:
            self._due.set()
        while True:
            await self._due.wait()
            self._due.clear()
            while keyring is not None and len(keyring.numbers) > 1:
                try:
                    await self._once(keyring)
                except StoreError as error:
                    log_event(log, logging.ERROR, "rekey.failed", code=error.code, error=error)
                    await asyncio.sleep(_AGAIN_SECONDS)

    async def _once(self, keyring: Keyring) -> None:
        start = self._height()
        self._pass = found = await asyncio.to_thread(Pass, self._store, keyring)
        try:
            # the consensus log has blocks of its height, which is over with the next block
            left = True
            while left or self._height() <= start:
                left = await asyncio.to_thread(found.step)
                await asyncio.sleep(_PAUSE_SECONDS)
            await asyncio.to_thread(end, self._store, keyring)
        finally:
            self._pass = None
        log_event(log, logging.WARNING, "rekey.done", key=keyring.current, rows=found.done)
