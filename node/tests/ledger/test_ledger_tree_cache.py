"""The state tree's nodes in memory: what was written last, of a bounded size, and never a wrong one."""

from __future__ import annotations

import random
import sqlite3
import tracemalloc

from hypothesis import given, settings
from hypothesis import strategies as st
from provnode.ledger import tree

ROOM = 40 * tree.NODE_BYTES


def batch(chance: random.Random, count: int) -> list[tuple[bytes, bytes]]:
    return [(chance.randbytes(32), chance.randbytes(32)) for _ in range(count)]


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), sizes=st.lists(st.integers(0, 60), min_size=1, max_size=12))
def test_a_tree_over_a_small_cache_is_the_tree_over_none(seed: int, sizes: list[int]) -> None:
    chance, stored, root = random.Random(seed), dict[bytes, bytes](), tree.EMPTY
    cache = tree.Cache(stored.get, ROOM)
    known: list[bytes] = []
    for size in sizes:
        # new keys, and old ones with new values
        items = dict(batch(chance, size)) | {key: chance.randbytes(32) for key in known[: size // 2]}
        known += items
        plain = tree.update(root, items.items(), stored.get)
        done = tree.update(root, items.items(), cache.read)
        assert done == plain
        stored |= done.nodes
        cache.settle(done)
        root = done.root
        assert cache.size <= ROOM


def test_what_a_block_wrote_is_read_from_memory() -> None:
    asked: list[bytes] = []
    cache = tree.Cache(asked.append, ROOM)
    done = tree.update(tree.EMPTY, batch(random.Random(1), 8), cache.read)
    cache.settle(done)
    again = tree.update(done.root, batch(random.Random(1), 8), cache.read)
    assert again.root == done.root and not asked


def test_the_cache_takes_no_more_memory_than_it_may() -> None:
    room = 4 * 1024 * 1024
    chance, most, root = random.Random(2), 0, tree.EMPTY
    # SQLite's memory is not traced: what is traced is the cache, but for the batch at hand
    store = sqlite3.connect(":memory:")
    store.execute("CREATE TABLE nodes (place BLOB PRIMARY KEY, node BLOB NOT NULL)")

    def read(where: bytes) -> bytes | None:
        row = store.execute("SELECT node FROM nodes WHERE place = ?", (where,)).fetchone()
        return None if row is None else bytes(row[0])

    tracemalloc.start()
    try:
        cache = tree.Cache(read, room)
        before = tracemalloc.get_traced_memory()[0]
        for _ in range(40):
            done = tree.update(root, batch(chance, 300), cache.read)
            store.executemany("INSERT OR REPLACE INTO nodes VALUES (?, ?)", done.nodes.items())
            cache.settle(done)
            root = done.root
            del done
            most = max(most, tracemalloc.get_traced_memory()[0] - before)
    finally:
        tracemalloc.stop()
    # it was full, several times over, and NODE_BYTES is not too low
    assert room / 2 < most <= room
