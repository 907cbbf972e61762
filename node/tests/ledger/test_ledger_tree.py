"""The trees against naive models that are too simple to be wrong."""

from __future__ import annotations

import hashlib
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provnode.crypto import hashing
from provnode.ledger import merkle, tree
from provnode.storage.errors import StoreError

# few distinct first bytes and bits: makes long shared paths likely
KEYS = st.builds(
    lambda head, tail: bytes(head) + bytes(31) + bytes([tail]),
    st.sampled_from([b"\x00", b"\x01", b"\x80", b"\xff"]),
    st.integers(0, 255),
).map(lambda key: key[:32]) | st.binary(min_size=32, max_size=32)
STATES = st.dictionaries(KEYS, st.binary(min_size=32, max_size=32), max_size=40)


def sm3(data: bytes) -> bytes:
    return hashlib.new("sm3", data).digest()


def tagged(tag: bytes, data: bytes) -> bytes:
    return sm3(bytes([len(tag)]) + tag + data)


def naive(state: dict[bytes, bytes], prefix: str = "") -> bytes:
    """The root by definition: split by the next bit until one key is left."""
    if not state:
        return bytes(32)
    if len(state) == 1:
        ((key, value),) = state.items()
        return tagged(b"provnode.leaf", key + value)

    def side(bit: str) -> dict[bytes, bytes]:
        return {k: v for k, v in state.items() if bits(k).startswith(prefix + bit)}

    return tagged(b"provnode.inner", naive(side("0"), prefix + "0") + naive(side("1"), prefix + "1"))


def bits(key: bytes) -> str:
    return f"{int.from_bytes(key, 'big'):0256b}"


def climb(key: bytes, at: bytes, siblings: tuple[bytes, ...]) -> bytes:
    for depth in reversed(range(len(siblings))):
        pair = siblings[depth] + at if bits(key)[depth] == "1" else at + siblings[depth]
        at = tagged(b"provnode.inner", pair)
    return at


class Kept:
    """A tree with its nodes in a dictionary."""

    def __init__(self) -> None:
        self.nodes: dict[bytes, bytes] = {}
        self.root = tree.EMPTY

    def set(self, items: dict[bytes, bytes]) -> None:
        done = tree.update(self.root, items.items(), self.nodes.get)
        self.nodes.update(done.nodes)
        self.root = done.root


@settings(max_examples=150, deadline=None)
@given(batches=st.lists(STATES, max_size=4))
def test_the_root_is_that_of_the_naive_tree_after_every_batch(batches: list[dict[bytes, bytes]]) -> None:
    kept, state = Kept(), dict[bytes, bytes]()
    for batch in batches:
        kept.set(batch)
        state.update(batch)
        assert kept.root == naive(state)
        # nothing is left behind: a tree over n keys has n leaves, and all nodes are reachable
        leaves = [node for node in kept.nodes.values() if node[:1] == b"L"]
        assert len(leaves) == len(state)
        assert set(kept.nodes) == reachable(kept.root, kept.nodes)
        # and each stands where its path leads
        assert all(tree.find(kept.root, key, kept.nodes.get).leaf == (key, state[key]) for key in state)


def reachable(root: bytes, nodes: dict[bytes, bytes], path: str = "") -> set[bytes]:
    """The places of the nodes below, by the definition of a place."""
    if root == tree.EMPTY:
        return set()
    bits = path + "0" * (-len(path) % 8)
    where = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits), 8)) + len(path).to_bytes(2, "big")
    node = nodes[where]
    if node[:1] == b"L":
        return {where}
    left, right = reachable(node[1:33], nodes, path + "0"), reachable(node[33:], nodes, path + "1")
    return {where} | left | right


@settings(max_examples=80, deadline=None)
@given(state=STATES, seed=st.integers(0, 2**32), cuts=st.integers(1, 6))
def test_order_and_batching_do_not_matter(state: dict[bytes, bytes], seed: int, cuts: int) -> None:
    keys = list(state)
    random.Random(seed).shuffle(keys)
    kept = Kept()
    for start in range(cuts):
        kept.set({key: state[key] for key in keys[start::cuts]})
    assert kept.root == naive(state)


@settings(max_examples=80, deadline=None)
@given(state=STATES, asked=KEYS)
def test_presence_and_absence_are_provable(state: dict[bytes, bytes], asked: bytes) -> None:
    kept = Kept()
    kept.set(state)
    for key in [*state, asked]:
        path = tree.find(kept.root, key, kept.nodes.get)
        if path.leaf is None:
            end = tree.EMPTY
        else:
            end = tree.leaf_hash(*path.leaf)
            assert bits(path.leaf[0])[: len(path.siblings)] == bits(key)[: len(path.siblings)]
        assert climb(key, end, path.siblings) == kept.root
        assert (
            (path.leaf == (key, state[key])) if key in state else (path.leaf is None or path.leaf[0] != key)
        )


def test_keys_that_differ_in_the_last_bit_only() -> None:
    kept = Kept()
    low, high = bytes(32), bytes(31) + b"\x01"
    kept.set({low: b"a" * 32})
    kept.set({high: b"b" * 32})
    assert kept.root == naive({low: b"a" * 32, high: b"b" * 32})
    assert len(tree.find(kept.root, low, kept.nodes.get).siblings) == 256


def test_a_missing_node_is_an_error_and_not_an_absence() -> None:
    kept = Kept()
    kept.set({bytes([n]) * 32: bytes(32) for n in range(8)})
    root = kept.nodes.pop(tree.ROOT)
    for damage in (None, b"", root[:-1], bytes(65), root[:1] + bytes([root[1] ^ 1]) + root[2:]):
        if damage is not None:
            kept.nodes[tree.ROOT] = damage
        with pytest.raises(StoreError):
            tree.find(kept.root, bytes(32), kept.nodes.get)
        with pytest.raises(StoreError):
            tree.update(kept.root, [(bytes(32), bytes(32))], kept.nodes.get)


def rfc6962(leaves: list[bytes]) -> bytes:
    """RFC 6962 section 2.1, word for word, with SM3."""
    if not leaves:
        return sm3(b"")
    if len(leaves) == 1:
        return sm3(b"\x00" + leaves[0])
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sm3(b"\x01" + rfc6962(leaves[:split]) + rfc6962(leaves[split:]))


@pytest.mark.parametrize("count", [*range(20), 31, 32, 33, 100])
def test_the_transaction_tree_has_the_shape_of_the_rfc(count: int) -> None:
    leaves = [f"tx {n}".encode() for n in range(count)]
    assert merkle.root([merkle.leaf_hash(leaf) for leaf in leaves]) == rfc6962(leaves)


def test_sm3_is_that_of_the_standard() -> None:
    # GB/T 32905-2016 annex A.1
    expected = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert hashing.sm3(b"abc").hex() == expected
