"""The block store: one block is all there or not at all."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from provnode.storage.errors import StoreError
from provnode.storage.store import (
    BlockRow,
    BlockWrite,
    HandoverRow,
    HeadRow,
    StateRow,
    Store,
    UserRow,
    VersionRow,
)
from tests.storage.smalldisk import small_disk


def write(height: int, size: int = 100) -> BlockWrite:
    """A block with one object, one user, one tree node."""
    tag = height.to_bytes(32, "big")
    return BlockWrite(
        block=BlockRow(height, tag, os.urandom(size), b"certificate"),
        txids=[tag],
        heads=[HeadRow("o", "t", "zjex", height - 1, False)],
        versions=[VersionRow("o", height - 1, b"{}", b"{}", (tag, bytes(32)), height)],
        users=[UserRow(f"u{height}@zjex", "zjex", b"\x04" * 65, height)],
        state=[StateRow("membership", "", tag)],
        handover=HandoverRow(height, b"header", b"certificate", tag) if height % 2 == 0 else None,
        nodes={b"root": tag, tag: b"L" + bytes(64)},
    )


def code(error: pytest.ExceptionInfo[StoreError]) -> str:
    return error.value.code


def test_what_was_committed_is_there_after_reopening(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    assert store.height() == 0
    store.bind(b"g" * 32)
    first = write(1)
    store.commit(first)
    store.commit(write(2))
    store.close()
    again = Store(tmp_path / "s.db")
    assert again.height() == 2
    assert again.genesis_hash() == b"g" * 32
    assert again.block(1) == first.block
    assert again.block(3) is None
    assert again.head("o") == HeadRow("o", "t", "zjex", 1, False)
    assert again.head("p") is None
    assert again.version("o", 0) == first.versions[0]
    assert again.user("u2@zjex") == write(2).users[0]
    assert again.state("membership") == write(2).state and again.state("revocation") == []
    assert again.handovers(0, 9, 9) == [write(2).handover] == again.handovers(1, 2, 1)
    assert again.handovers(2, 9, 9) == again.handovers(0, 1, 9) == again.handovers(0, 9, 0) == []
    assert (again.handover_before(2), again.handover_before(3)) == (None, write(2).handover)
    assert again.transaction(first.txids[0]) == (1, 0)
    assert again.node(first.txids[0]) is not None
    assert again.node(b"root") == write(2).txids[0]
    assert again.node((2).to_bytes(32, "big")) is not None
    again.check()
    again.close()


def test_durability_is_switched_on(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    # on the store's own connection: synchronous is no property of the file
    assert store._db.execute("PRAGMA synchronous").fetchone() == (2,)
    assert store._db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert (tmp_path / "s.db").stat().st_mode & 0o777 == 0o600
    store.close()


def test_the_pages_in_memory_are_bounded(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.commit(write(1))
    frozen = store.frozen()
    # negative: in KiB, where a positive number counts pages
    found = [one._db.execute("PRAGMA cache_size").fetchone()[0] for one in (store, frozen)]
    assert found == [-64 * 1024, -4 * 1024]
    assert store._db.execute("PRAGMA mmap_size").fetchone() == (0,)
    frozen.close()
    store.close()


@pytest.mark.parametrize("height", [0, 1, 3])
def test_a_commit_out_of_order_changes_nothing(tmp_path: Path, height: int) -> None:
    store = Store(tmp_path / "s.db")
    store.commit(write(1))
    with pytest.raises(StoreError) as error:
        store.commit(write(height))
    assert code(error) == "conflict"
    assert store.height() == 1
    store.commit(write(2))
    store.close()


def test_a_block_that_fails_midway_leaves_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.commit(write(1))
    bad = write(2)
    double = replace(bad, txids=[bad.txids[0]] * 2)
    with pytest.raises(StoreError) as error:
        store.commit(double)
    assert code(error) == "conflict"
    assert (store.height(), store.head("o"), store.transaction(bad.txids[0])) == (1, write(1).heads[0], None)
    assert (store.state("membership"), store.handover_before(9)) == (list(write(1).state), None)
    store.commit(bad)
    store.close()


def test_a_genesis_is_bound_once(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.bind(b"g" * 32)
    with pytest.raises(StoreError) as error:
        store.bind(b"h" * 32)
    assert code(error) == "conflict"
    assert store.genesis_hash() == b"g" * 32
    store.close()


def test_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    Store(path).close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE meta SET value = 99 WHERE name = 'format'")
    before = path.read_bytes()
    with pytest.raises(StoreError, match="store format 99, this version reads 2") as error:
        Store(path)
    assert code(error) == "format"
    assert path.read_bytes() == before


def test_a_foreign_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    with sqlite3.connect(path) as db:
        db.execute("CREATE TABLE other (x)")
    with pytest.raises(StoreError) as error:
        Store(path)
    assert code(error) == "format"


def test_garbage_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    path.write_bytes(os.urandom(8192))
    with pytest.raises(StoreError) as error:
        Store(path)
    assert code(error) == "corrupt"


def test_a_damaged_page_is_found_by_check(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    store = Store(path)
    for height in range(1, 30):
        store.commit(write(height, 2000))
    store.close()
    raw = bytearray(path.read_bytes())
    # every page but the first: headers of the b-trees
    for page in range(1, len(raw) // 4096):
        raw[page * 4096 : page * 4096 + 8] = b"\xff" * 8
    path.write_bytes(raw)
    with pytest.raises(StoreError) as error:
        Store(path).check()
    assert code(error) == "corrupt"


def test_readers_in_other_threads_see_whole_blocks(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.db")
    store.commit(write(1))
    torn: list[int] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            with store.lock:
                height = store.height()
                head = store.head("o")
            if head is None or head.latest != height - 1:
                torn.append(height)

    reader = threading.Thread(target=read)
    reader.start()
    for height in range(2, 60):
        store.commit(write(height))
    done.set()
    reader.join()
    assert torn == []
    store.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    with small_disk(tmp_path / "disk", 700) as place:
        yield place


def test_a_full_disk_refuses_the_block_and_a_retry_succeeds(disk: Path) -> None:
    ballast = disk / "ballast"
    ballast.write_bytes(bytes(100_000))
    store = Store(disk / "s.db")
    committed = 0
    with pytest.raises(StoreError) as error:
        for height in range(1, 100):
            pending = write(height, 30_000)
            store.commit(pending)
            committed = height
    assert code(error) == "disk_full"
    assert 0 < committed < 50
    for _ in range(3):  # stays refused, stays whole
        with pytest.raises(StoreError) as error:
            store.commit(pending)
        assert code(error) == "disk_full"
        assert store.height() == committed
        assert store.transaction(pending.txids[0]) is None
        assert store.block(committed) is not None
    ballast.unlink()
    store.commit(pending)
    assert store.height() == committed + 1
    store.check()
    store.close()
    again = Store(disk / "s.db")
    assert again.height() == committed + 1
    again.check()
    again.close()


def test_a_disk_too_full_to_open_is_a_typed_error(disk: Path) -> None:
    (disk / "ballast").write_bytes(bytes(716_800))
    with pytest.raises(StoreError) as error:
        Store(disk / "s.db")
    assert code(error) == "disk_full"
