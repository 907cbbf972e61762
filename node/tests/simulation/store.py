"""The node's store in memory: what SQLite has committed survives a crash, as on a real disk."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

from provnode.storage.errors import StoreError
from provnode.storage.rows import BlockWrite
from provnode.storage.schema import TABLES
from provnode.storage.sealing import PLAIN
from provnode.storage.store import Store


class MemoryStore(Store):
    """A store that outlives the process which uses it, and whose disk may refuse a block."""

    def __init__(self) -> None:
        self.path = Path("chain.sqlite")
        self._sealing = PLAIN
        self.lock = threading.RLock()
        self._db = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        self._db.executescript(TABLES)
        self.refuses = False
        self.refused = 0

    def commit(self, write: BlockWrite) -> None:
        """Write one block, unless the disk refuses."""
        if self.refuses:
            self.refused += 1
            raise StoreError("disk_full", "the simulated disk is full", "wait")
        super().commit(write)
