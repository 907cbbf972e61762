"""The block store: one SQLite file, one durable transaction a block.

WAL mode with synchronous=FULL: when `commit` returns, the block is on the disk, and after a crash the file
holds all of a block or nothing of it. One connection behind a lock serves the node's threads; a reader that
needs several answers of one height holds `lock` meanwhile.
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from msgspec.structs import astuple

from provnode.storage.errors import StoreError
from provnode.storage.rows import (
    BlockRow,
    BlockWrite,
    HandoverRow,
    HeadRow,
    Part,
    StateRow,
    UserRow,
    VersionRow,
)
from provnode.storage.schema import APPLICATION_ID, FORMAT, TABLES
from provnode.storage.sealing import PLAIN, Sealing, block_row, check_numbers, in_text, object_row

__all__ = [
    "BlockRow",
    "BlockWrite",
    "HandoverRow",
    "HeadRow",
    "Part",
    "StateRow",
    "Store",
    "UserRow",
    "VersionRow",
]
# keys in one question; SQLite allows 32,766 parameters
_KEYS = 500
# pages kept in memory: of the store that the node works on, and of one that is read once from end to end
_CACHE_BYTES = 64 * 1024 * 1024
_SCAN_CACHE_BYTES = 4 * 1024 * 1024


class Store:
    """Open (or create) the store at `path`, whose blocks and objects lie there as `sealing` has them.

    `cache` bounds the pages that are kept in memory, in bytes.
    Raises StoreError: `format`, `key`, `corrupt`, `disk_full`, `io`.
    """

    def __init__(self, path: Path, sealing: Sealing = PLAIN, cache: int = _CACHE_BYTES) -> None:
        self.path = path
        self._cache = cache
        self._sealing = sealing
        self.lock = threading.RLock()
        with _typed(str(path)):
            # autocommit: transactions are begun and ended by hand, below
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            with _typed(str(path)):
                self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        self.path.chmod(0o600)
        (application,) = self._db.execute("PRAGMA application_id").fetchone()
        (tables,) = self._db.execute("SELECT count(*) FROM sqlite_master").fetchone()
        if tables and application != APPLICATION_ID:
            raise StoreError("format", f"{self.path} is no provnode store", "name the right data directory")
        if self._db.execute("PRAGMA journal_mode = WAL").fetchone() != ("wal",):
            raise StoreError("io", f"{self.path}: this file system can't do WAL", "use a local file system")
        # FULL: the write-ahead log is synced at every commit, not only at checkpoints
        for pragma in ("synchronous = FULL", f"cache_size = -{self._cache // 1024}", "temp_store = MEMORY"):
            self._db.execute(f"PRAGMA {pragma}")
        if not tables:
            with self._transaction():
                self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                for statement in TABLES.split(";"):
                    self._db.execute(statement)
                self._db.execute("INSERT INTO meta VALUES ('format', ?)", (FORMAT,))
                self._db.execute(
                    "INSERT INTO meta VALUES ('data_keys', ?)", (in_text(self._sealing.numbers),)
                )
        found = self._meta("format")
        if found != FORMAT:
            raise StoreError(
                "format",
                f"{self.path} has store format {found}, this version reads {FORMAT}",
                "start the version of provnode that wrote it",
            )
        self._check_keys()

    def _meta(self, name: str) -> object:
        row = self._db.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        if row is None:
            raise StoreError("corrupt", f"{self.path} tells no {name}", "restore a backup or sync anew")
        return row[0]

    def _check_keys(self) -> None:
        """Refuse a store that is sealed under keys that are not here, or plain where it should be sealed."""
        text = str(self._meta("data_keys"))
        if not all(word.isdecimal() for word in text.split()):
            raise StoreError("corrupt", f"{self.path}: data keys {text[:80]!r}", "restore a backup")
        used, there = {int(word) for word in text.split()}, set(self._sealing.numbers)
        check_numbers(used, there, str(self.path))
        if used != there:
            self.note_keys(there)

    def note_keys(self, numbers: Iterable[int]) -> None:
        """Keep which data keys values may be sealed under from now on. Raises StoreError."""
        with self.writing("data keys") as db:
            db.execute("UPDATE meta SET value = ? WHERE name = 'data_keys'", (in_text(numbers),))

    @contextlib.contextmanager
    def writing(self, what: str) -> Iterator[sqlite3.Connection]:
        """One durable transaction beside the commits of blocks, to be short. Raises StoreError."""
        with self.lock, _typed(f"{self.path}, {what}"), self._transaction():
            yield self._db

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
            self._db.execute("COMMIT")
        except BaseException:
            # SQLite itself has rolled back already after some errors, such as a full disk
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    def close(self) -> None:
        """Close the file; the last one to close folds the write-ahead log into it."""
        with self.lock:
            self._db.close()

    def size(self) -> int:
        """The bytes that the store takes on the disk, its write-ahead log included."""
        log = self.path.with_name(f"{self.path.name}-wal")
        return sum(path.stat().st_size for path in (self.path, log) if path.exists())

    def check(self) -> None:
        """Let SQLite check every page and index. Raises StoreError `corrupt`. Reads the whole file."""
        with self._reading():
            found = [row[0] for row in self._db.execute("PRAGMA integrity_check(5)")]
        if found != ["ok"]:
            raise StoreError("corrupt", f"{self.path}: {'; '.join(found)}", "restore a backup or sync anew")

    # --- genesis and blocks

    def genesis_hash(self) -> bytes | None:
        """The chain that this store belongs to; None while it is empty."""
        row = self._row("SELECT value FROM meta WHERE name = 'genesis'")
        return None if row is None else row[0]

    def bind(self, genesis_hash: bytes) -> None:
        """Tie an empty store to a chain. Raises StoreError when it is tied to one already."""
        with self.lock, _typed(str(self.path)), self._transaction():
            self._db.execute("INSERT INTO meta VALUES ('genesis', ?)", (genesis_hash,))

    def height(self) -> int:
        """The height of the newest block, 0 before the first."""
        return int((self._row("SELECT coalesce(max(height), 0) FROM blocks") or (0,))[0])

    def block(self, height: int) -> BlockRow | None:
        """The block at `height`."""
        row = self._row("SELECT height, block_id, raw, certificate FROM blocks WHERE height = ?", height)
        if row is None:
            return None
        return BlockRow(row[0], row[1], self._sealing.open(block_row(height), row[2]), row[3])

    def commit(self, write: BlockWrite) -> None:
        """Write one block and its effects; durable when this returns.

        Raises StoreError; then the store is as before and the same call may be made again.
        """
        block = write.block
        with self.lock, _typed(f"{self.path}, block {block.height}"), self._transaction():
            if block.height != self.height() + 1:
                raise StoreError(
                    "conflict",
                    f"block {block.height} does not follow height {self.height()}",
                    "commit blocks in order, each once",
                )
            self._insert_block(block, write.txids)
            handovers = () if write.handover is None else (write.handover,)
            self._insert(Part(write.heads, write.versions, write.users, write.state, handovers, write.nodes))

    def seed(
        self, genesis_hash: bytes, block: BlockRow, txids: Sequence[bytes], parts: Iterable[Part]
    ) -> None:
        """Fill an empty store with the state after `block`, all or nothing.

        `parts` are taken one after another; whatever they raise leaves the store empty. Raises StoreError.
        """
        with self.lock, _typed(f"{self.path}, block {block.height}"), self._transaction():
            self._db.execute("INSERT INTO meta VALUES ('genesis', ?)", (genesis_hash,))
            self._insert_block(block, txids)
            for part in parts:
                self._insert(part)

    def _insert_block(self, block: BlockRow, txids: Sequence[bytes]) -> None:
        self._db.execute(
            "INSERT INTO blocks VALUES (?, ?, ?, ?)",
            (
                block.height,
                block.block_id,
                self._sealing.seal(block_row(block.height), block.raw),
                block.certificate,
            ),
        )
        self._db.executemany(
            "INSERT INTO transactions VALUES (?, ?, ?)",
            ((txid, block.height, position) for position, txid in enumerate(txids)),
        )

    def _insert(self, part: Part) -> None:
        db = self._db
        db.executemany(
            "INSERT OR REPLACE INTO heads VALUES (?, ?, ?, ?, ?)",
            ((h.object_id, h.type, h.organisation, h.latest, h.deleted) for h in part.heads),
        )
        db.executemany(
            "INSERT OR REPLACE INTO objects VALUES (?, ?, ?, ?, ?, ?)",
            map(self._sealed_version, part.versions),
        )
        db.executemany(
            "INSERT INTO users VALUES (?, ?, ?, ?)",
            ((u.id, u.organisation, u.public_key, u.height) for u in part.users),
        )
        db.executemany(
            "INSERT OR REPLACE INTO state VALUES (?, ?, ?)",
            ((row.kind, row.id, row.value) for row in part.state),
        )
        db.executemany("INSERT INTO handovers VALUES (?, ?, ?, ?)", map(astuple, part.handovers))
        db.executemany("INSERT OR REPLACE INTO nodes VALUES (?, ?)", sorted(part.nodes.items()))

    # --- all of it, for copies and checks

    def frozen(self) -> Store:
        """The store as it is now, whatever is committed meanwhile; for one reader, who closes it."""
        with self.lock:  # not while its data keys change
            found = Store(self.path, self._sealing, _SCAN_CACHE_BYTES)
        with _typed(str(self.path)):
            found._db.execute("BEGIN")
            found.height()  # the first read is what fixes the state that is seen
        return found

    def lowest(self) -> int:
        """The height of the oldest block that is kept, 0 before the first."""
        return int((self._row("SELECT coalesce(min(height), 0) FROM blocks") or (0,))[0])

    def scan(self, statement: str) -> Iterator[tuple[Any, ...]]:
        """The rows of a query as they lie in the file: see `storage.scan`. Raises StoreError."""
        with _typed(str(self.path)):
            yield from self._db.execute(statement)

    # --- state

    def head(self, object_id: str) -> HeadRow | None:
        """What holds for the object as a whole."""
        row = self._row(
            "SELECT object_id, type, organisation, latest, deleted FROM heads WHERE object_id = ?", object_id
        )
        return None if row is None else HeadRow(row[0], row[1], row[2], row[3], bool(row[4]))

    def heads(self, object_ids: Sequence[str]) -> dict[str, HeadRow]:
        """What holds for each of these objects that there is."""
        found: dict[str, HeadRow] = {}
        for row in self._rows(
            "SELECT object_id, type, organisation, latest, deleted FROM heads WHERE object_id IN", object_ids
        ):
            found[row[0]] = HeadRow(row[0], row[1], row[2], row[3], bool(row[4]))
        return found

    def committed(self, txids: Sequence[bytes]) -> set[bytes]:
        """Those of the transactions that are in a block."""
        return {row[0] for row in self._rows("SELECT txid FROM transactions WHERE txid IN", txids)}

    def version(self, object_id: str, version: int) -> VersionRow | None:
        """One version of an object, as it stands now."""
        row = self._row(
            "SELECT object_id, version, snapshot, submitted, writers, height FROM objects"
            " WHERE object_id = ? AND version = ?",
            object_id,
            version,
        )
        return None if row is None else self.read_version(row)

    def user(self, user_id: str) -> UserRow | None:
        """A signer that a transaction registered."""
        row = self._row("SELECT id, organisation, public_key, height FROM users WHERE id = ?", user_id)
        return None if row is None else UserRow(*row)

    def state(self, kind: str, after: str = "", most: int = -1) -> list[StateRow]:
        """State of a kind in the order of the ids: all, or the first `most` that come after an id."""
        with self._reading():
            rows = self._db.execute(
                "SELECT kind, id, value FROM state WHERE kind = ? AND id >= ? ORDER BY id LIMIT ?",
                (kind, after and after + "\0", most),
            )
            return [StateRow(*row) for row in rows]

    def state_of(self, kind: str, id_: str) -> StateRow | None:
        """One piece of state."""
        row = self._row("SELECT kind, id, value FROM state WHERE kind = ? AND id = ?", kind, id_)
        return None if row is None else StateRow(*row)

    def handovers(self, after: int, upto: int, most: int) -> list[HandoverRow]:
        """The first `most` handovers at heights above `after` and up to `upto`, ascending."""
        with self._reading():
            rows = self._db.execute(
                "SELECT height, header, certificate, validators FROM handovers"
                " WHERE height > ? AND height <= ? ORDER BY height LIMIT ?",
                (after, upto, most),
            )
            return [HandoverRow(*row) for row in rows]

    def handover_before(self, height: int) -> HandoverRow | None:
        """The handover that brought in the validators of `height`; None where they are the genesis's."""
        row = self._row(
            "SELECT height, header, certificate, validators FROM handovers"
            " WHERE height < ? ORDER BY height DESC LIMIT 1",
            height,
        )
        return None if row is None else HandoverRow(*row)

    def transaction(self, txid: bytes) -> tuple[int, int] | None:
        """Height and position of a committed transaction."""
        row = self._row("SELECT height, position FROM transactions WHERE txid = ?", txid)
        return None if row is None else (row[0], row[1])

    def node(self, place: bytes) -> bytes | None:
        """A node of the latest state tree."""
        return self.nodes([place]).get(place)

    def nodes(self, places: Sequence[bytes]) -> dict[bytes, bytes]:
        """Those of the nodes that there are, by their places."""
        return {row[0]: row[1] for row in self._rows("SELECT place, node FROM nodes WHERE place IN", places)}

    def _sealed_version(self, v: VersionRow) -> tuple[object, ...]:
        if not self._sealing.numbers:  # plain
            return v.object_id, v.version, v.snapshot, v.submitted, b"".join(v.writers), v.height
        snapshot = self._sealing.seal(object_row("snapshot", v.object_id, v.version), v.snapshot)
        submitted = self._sealing.seal(object_row("submitted", v.object_id, v.version), v.submitted)
        return v.object_id, v.version, snapshot, submitted, b"".join(v.writers), v.height

    def read_version(self, row: tuple[Any, ...]) -> VersionRow:
        """A row of `objects`, opened. Raises StoreError."""
        object_id, version, snapshot, submitted, writers, height = row
        snapshot = self._sealing.open(object_row("snapshot", object_id, version), snapshot)
        submitted = self._sealing.open(object_row("submitted", object_id, version), submitted)
        txids = tuple(writers[at : at + 32] for at in range(0, len(writers), 32))
        return VersionRow(object_id, version, snapshot, submitted, txids, height)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        with self.lock, _typed(str(self.path)):
            yield

    def _rows(self, statement: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
        """The rows whose key is among `values`, some hundreds a question."""
        for at in range(0, len(values), _KEYS):
            part = values[at : at + _KEYS]
            with self._reading():
                rows = self._db.execute(f"{statement} ({','.join('?' * len(part))})", part).fetchall()
            yield from rows

    def _row(self, statement: str, *values: object) -> tuple[Any, ...] | None:
        with self._reading():
            row: tuple[Any, ...] | None = self._db.execute(statement, values).fetchone()
        return row


@contextlib.contextmanager
def _typed(what: str) -> Iterator[None]:
    """Turn SQLite's errors into StoreError."""
    try:
        yield
    except UnicodeDecodeError as error:
        # where SQLite quotes a damaged schema
        raise StoreError("corrupt", f"{what}: {error}", "restore a backup or sync anew") from error
    except sqlite3.DatabaseError as error:
        name = getattr(error, "sqlite_errorname", "")
        if name == "SQLITE_FULL":
            raise StoreError("disk_full", f"{what}: {error}", "free space, then try again") from error
        if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
            raise StoreError("corrupt", f"{what}: {error}", "restore a backup or sync anew") from error
        if name.startswith("SQLITE_CONSTRAINT"):
            raise StoreError("conflict", f"{what}: {error}", "this was stored before") from error
        raise StoreError("io", f"{what}: {error} {name}", "look at the disk") from error
