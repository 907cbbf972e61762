"""State snapshots of a running node: made every so many blocks, beside the consensus, and served to peers."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from provnode.ledger.genesis import Genesis
from provnode.ledger.snapshot import Sign, export
from provnode.net.events import log_event
from provnode.ops.signer import Signer
from provnode.storage.errors import StoreError
from provnode.storage.shelf import Shelf
from provnode.storage.store import Store
from provnode.wire.snapshots import encode_manifest

log = logging.getLogger(__name__)


class Snapshots:
    """Makes one at each multiple of `interval` (0: never) where the node has a vote."""

    def __init__(
        self, shelf: Shelf, store: Store, genesis: Genesis, signer: Signer | None, interval: int
    ) -> None:
        self.shelf = shelf
        self._store = store
        self._genesis = genesis
        self._signer = signer
        self._interval = interval
        self._making: asyncio.Task[None] | None = None
        self._stopping = False

    def committed(self, height: int) -> None:
        """A block is durable and the next is not begun: this is the moment at which the state is fixed."""
        signer = self._signer
        if not self._interval or height % self._interval or signer is None or not signer.takes_part:
            return
        if self._making is not None and not self._making.done():
            log_event(log, logging.WARNING, "snapshot.skipped", height=height)
            return
        try:
            frozen = self._store.frozen()
        except StoreError as error:
            log_event(log, logging.ERROR, "snapshot.failed", height=height, error=error)
            return
        self._making = asyncio.create_task(self._make(frozen, height, signer.attester()), name="snapshot")

    async def _make(self, frozen: Store, height: int, sign: Sign) -> None:
        try:
            await asyncio.to_thread(self._write, frozen, height, sign)
        except StoreError as error:
            log_event(log, logging.ERROR, "snapshot.failed", height=height, error=error)
        else:
            log_event(log, logging.INFO, "snapshot.made", height=height)

    def _write(self, frozen: Store, height: int, sign: Sign) -> None:
        def write(keep: Callable[[int, bytes], None]) -> bytes:
            def keep_on(index: int, raw: bytes) -> None:
                if self._stopping:
                    raise StoreError("conflict", "the node stops", "the next snapshot follows by itself")
                keep(index, raw)

            return encode_manifest(export(frozen, self._genesis, sign, keep_on))

        try:
            self.shelf.add(height, write)
        finally:
            frozen.close()

    async def close(self) -> None:
        """Give up the snapshot that is being made."""
        self._stopping = True
        if self._making is not None:
            await self._making
