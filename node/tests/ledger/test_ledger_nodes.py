"""The state tree in the native library is the one in Python: roots, nodes, what has gone, damage."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import cast

import pytest
from hypothesis import given, settings
from provnode.crypto.hashing import tagged
from provnode.crypto.native import Native
from provnode.crypto.provider import CryptoError, get_provider
from provnode.ledger import tree
from provnode.ledger.nodes import NativeNodes
from provnode.ops.usage import usage
from provnode.storage.errors import StoreError
from tests.ledger.test_ledger_tree import STATES

NATIVE = cast(Native, get_provider("native"))


class Both:
    """The same tree both ways, over nodes that both read; the library keeps `most` bytes of them."""

    def __init__(self, most: int = 1 << 20) -> None:
        self.stored: dict[bytes, bytes] = {}
        self.root = tree.EMPTY
        self.asked = 0
        self.native = NativeNodes(NATIVE, self._read, most)

    def _read(self, places: Sequence[bytes]) -> dict[bytes, bytes]:
        self.asked += len(places)
        return {place: self.stored[place] for place in places if place in self.stored}

    def set(self, items: dict[bytes, bytes]) -> None:
        """Apply a batch; twice, as a block that is built, then validated, and then committed."""
        expected = tree.update(self.root, items.items(), self.stored.get)
        for _ in range(2):
            found = self.native.update(self.root, items.items())
            assert (found.root, found.nodes) == (expected.root, expected.nodes)
        self.native.settle(found)
        self.stored.update(expected.nodes)
        self.root = expected.root


@settings(max_examples=100, deadline=None)
@given(
    batches=STATES.map(lambda one: [one])
    | STATES.flatmap(lambda one: STATES.map(lambda two: [one, two, one]))
)
def test_batches_come_to_the_same(batches: list[dict[bytes, bytes]]) -> None:
    for most in (0, 1 << 20):
        both = Both(most)
        for batch in batches:
            both.set(batch)


def test_a_tree_larger_than_what_is_kept_is_read_as_it_is_needed() -> None:
    chance, small, large = random.Random(7), Both(20_000), Both()
    for _ in range(12):
        batch = {chance.randbytes(32): chance.randbytes(32) for _ in range(100)}
        old = list(batch)[:5]
        small.set(batch)
        large.set(batch)
        small.set({key: bytes(32) for key in old})
        large.set({key: bytes(32) for key in old})
    assert small.root == large.root
    assert small.asked > 0
    assert large.asked == 0


def test_an_update_that_is_not_committed_leaves_nothing() -> None:
    both = Both()
    both.set({bytes([1]) * 32: bytes(32)})
    both.native.update(both.root, [(bytes([2]) * 32, bytes(32))])
    both.set({bytes([3]) * 32: bytes(32)})


@pytest.mark.parametrize(
    "damage", [None, b"", b"L", bytes(64), b"X" + bytes(64), b"L" + bytes(64), bytes(66)]
)
def test_a_node_that_is_missing_or_damaged_is_named(damage: bytes | None) -> None:
    both = Both()
    both.set({bytes([number]) * 32: bytes(32) for number in range(9)})
    fresh = Both()
    fresh.root, fresh.stored = both.root, dict(both.stored)
    if damage is None:
        del fresh.stored[tree.ROOT]
    else:
        fresh.stored[tree.ROOT] = damage
    with pytest.raises(StoreError, match="state tree"):
        fresh.native.update(both.root, [(bytes(32), bytes(32))])


def test_what_is_no_item_is_refused() -> None:
    made = NATIVE.open_tree(tagged(tree.LEAF_TAG), tagged(tree.INNER_TAG), 10)
    for items in ([(b"short", bytes(32))], [(bytes(32), b"")], [(bytes(32), bytes(32))] * 2):
        with pytest.raises(CryptoError, match="state tree"):
            made.update(tree.EMPTY, items, {})
    with pytest.raises(CryptoError, match="state tree"):
        made.update(tree.EMPTY, [], {bytes(32): b"L"})
    assert made.update(tree.EMPTY, [], {}).root == tree.EMPTY


def test_the_library_takes_no_more_memory_than_its_nodes_may() -> None:
    made = NATIVE.open_tree(tagged(tree.LEAF_TAG), tagged(tree.INNER_TAG), 10_000)

    def build(trees: int) -> int:
        """Settle so many trees of 1,000 keys, each 1,999 nodes of 97 bytes; the process's memory then."""
        for _ in range(trees):
            step = made.update(tree.EMPTY, [(os.urandom(32), os.urandom(32)) for _ in range(1_000)], {})
            made.settle(step)
        return usage().anonymous

    before = build(20)
    assert build(100) - before < 8 * 1024 * 1024  # all of them would take 18 MiB, and maps are never full
