"""Sealing all rows of a store anew under the keyring's current key, a few at a time.

Between two steps the node commits and reads as ever. Nothing is kept of how far it came: after a crash, or
whatever else, it begins anew, and passes over what is sealed under the current key already.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from provnode.storage.sealing import Keyring, block_row, object_row
from provnode.storage.store import Store

_STEP_ROWS = 256
# one large block, or many objects: what a commit may have to wait for
_STEP_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class _Table:
    """Sealed values: rows ascend by an integer; after the `sealed` columns comes what tells the row."""

    name: str
    sealed: tuple[str, ...]
    row: Callable[..., bytes]
    count: str
    select: str
    update: str


_TABLES = (
    _Table(
        "blocks",
        ("raw",),
        lambda _, height: block_row(height),
        "SELECT count(*) FROM blocks",
        "SELECT height, raw, height FROM blocks WHERE height > ? ORDER BY height LIMIT ?",
        "UPDATE blocks SET raw = ? WHERE height = ?",
    ),
    _Table(
        "objects",
        ("snapshot", "submitted"),
        object_row,
        "SELECT count(*) FROM objects",
        "SELECT rowid, snapshot, submitted, object_id, version FROM objects"
        " WHERE rowid > ? ORDER BY rowid LIMIT ?",
        "UPDATE objects SET snapshot = ?, submitted = ? WHERE rowid = ?",
    ),
)


def begin(store: Store, keyring: Keyring) -> int:
    """Make a new data key that all is sealed under from now on; gives its number. Raises StoreError."""
    with store.lock:
        number = keyring.add()
        store.note_keys(keyring.numbers)
    return number


def end(store: Store, keyring: Keyring) -> None:
    """Drop all keys but the current one, once nothing is sealed under them. Raises StoreError."""
    with store.lock:
        # in this order: a store must never name a key that is not in its keyring
        store.note_keys([keyring.current])
        keyring.drop_old()


class Pass:
    """One way through all rows. `done` of `rows` have been looked at."""

    def __init__(self, store: Store, keyring: Keyring) -> None:
        self._store = store
        self._keyring = keyring
        self._at = dict.fromkeys((table.name for table in _TABLES), -1)
        self.done = 0
        with store.writing("rekey") as db:
            self.rows = sum(db.execute(table.count).fetchone()[0] for table in _TABLES)

    def step(self) -> bool:
        """Seal some rows anew, durably; False when none is left. Raises StoreError."""
        return any(self._step(table) for table in _TABLES)

    def _step(self, table: _Table) -> bool:
        at = self._at[table.name]
        seen = size = 0
        with self._store.writing(f"rekey {table.name}") as db:
            rows = db.execute(table.select, (at, _STEP_ROWS))
            changed = []
            for place, *found in rows:
                values, telling = found[: len(table.sealed)], found[len(table.sealed) :]
                at = place
                seen += 1
                if not all(map(self._keyring.is_current, values)):
                    changed.append((*self._anew(table, values, telling), place))
                    size += sum(map(len, values))
                if size > _STEP_BYTES:
                    break
            rows.close()
            db.executemany(table.update, changed)
        self._at[table.name] = at
        self.done += seen
        return seen > 0

    def _anew(self, table: _Table, values: list[bytes], telling: list[object]) -> list[bytes]:
        names = [table.row(column, *telling) for column in table.sealed]
        return [
            self._keyring.seal(row, self._keyring.open(row, value))
            for row, value in zip(names, values, strict=True)
        ]
