"""Old blocks go in small durable steps, and nothing else goes with them."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from provnode.storage import prune as pruning
from provnode.storage.prune import STEP_BLOCKS, prune
from provnode.storage.store import Store
from tests.storage.rekeyer import block, place
from tests.storage.test_storage_store import write

HERE = Path(__file__).with_name("rekeyer.py")
KILLS = 8


def filled(path: Path, upto: int, size: int = 100) -> Store:
    store = Store(path)
    store.bind(b"g" * 32)
    for height in range(1, upto + 1):
        store.commit(write(height, size))
    return store


def test_a_step_drops_some_of_the_oldest_and_all_in_the_end(tmp_path: Path) -> None:
    store = filled(tmp_path / "s.db", 150)
    assert prune(store, 101) == STEP_BLOCKS + 1 == store.lowest()
    assert prune(store, 101) == 101 == prune(store, 101)
    assert store.block(100) is None and store.block(101) is not None
    # and nothing else
    assert store.transaction(write(1).txids[0]) == (1, 0)
    assert len(store.handovers(0, 999, 999)) == 75 and store.user("u1@zjex") == write(1).users[0]
    assert store.version("o", 0) == write(1).versions[0]
    store.commit(write(151))
    store.check()
    store.close()


def test_the_newest_block_stays(tmp_path: Path) -> None:
    store = filled(tmp_path / "s.db", 3)
    assert prune(store, 10**6) == 3 == store.lowest()
    store.close()
    empty = Store(tmp_path / "e.db")
    assert prune(empty, 10) == 0
    empty.close()


def test_a_step_is_bounded_in_bytes_but_drops_one_at_least(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "_STEP_BYTES", 50_000)
    store = filled(tmp_path / "s.db", 6, 20_000)
    assert [prune(store, 5) for _ in range(2)] == [3, 5]
    store.commit(write(7, 200_000))
    store.commit(write(8))
    assert [prune(store, 8) for _ in range(2)] == [7, 8]
    store.close()


def test_the_pages_are_used_again(tmp_path: Path) -> None:
    store = filled(tmp_path / "s.db", 200, 20_000)
    prune(store, 20)
    for height in range(201, 600):
        store.commit(write(height, 20_000))
        prune(store, height - 199)
    store._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    # 200 blocks of five pages each, and a fifth of that for all the rest
    assert store.size() < 200 * 24_000 * 1.2
    store.close()


def test_kill_9_at_any_moment_leaves_whole_blocks_without_a_gap(tmp_path: Path) -> None:
    chance = random.Random(20261125)
    dropped = set()
    for _ in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, HERE, tmp_path, "prune"],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == b"ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(chance.uniform(0.05, 0.25))
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        told = [line for line in child.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")]
        store, _ = place(tmp_path)
        oldest, newest = store.lowest(), store.height()
        assert newest >= max((int(line.split()[1]) for line in told), default=0)
        assert newest - oldest + 1 >= min(10, newest)
        for height in range(oldest, newest + 1):
            assert store.block(height) == block(height).block
        store.check()
        store.close()
        dropped.add(oldest)
    assert len(dropped) > KILLS // 2, "little was dropped between the kills"
