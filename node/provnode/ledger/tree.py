"""The state tree: a compact sparse Merkle tree over 32-byte keys, binary, hashed with SM3.

A leaf sits at the least depth at which no other key shares its path, so the shape depends on the set of keys
alone and not on the order of insertion. Keys are never removed: a deleted object keeps its history (JR/T 0314
clause 6.5). Hashes, each with its own tag:

    empty subtree   32 zero bytes
    leaf            digest("provnode.leaf", key | value)
    inner node      digest("provnode.inner", left | right)

A proof is the list of sibling hashes from the root down, and what stands at the end of the key's path: the
leaf itself (presence), nothing, or another key's leaf (absence).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice

from provnode.crypto.hashing import digest
from provnode.storage.errors import StoreError

EMPTY = bytes(32)
LEAF_TAG, INNER_TAG = b"provnode.leaf", b"provnode.inner"
ENCODED_BYTES = 65
_LEAF = b"L"
_INNER = b"I"
NODE_BYTES = 320
"""What a node in a `Cache` takes: a hash, 65 bytes, and their place in a dict that has just grown."""

Reader = Callable[[bytes], bytes | None]
"""Gives the encoded node that stands at a place, or None when there is none."""


def place(key: bytes, depth: int) -> bytes:
    """Where the node at `depth` on the way to `key` stands: the bits so far, and the depth in two bytes.

    Nodes are kept by their places, so that one on the way to a key lies near the next one, and what takes the
    place of another overwrites it: as keys are never removed, no place ever becomes empty.
    """
    whole, rest = divmod(depth, 8)
    last = bytes([key[whole] & (0xFF00 >> rest) & 0xFF]) if rest else b""
    return key[:whole] + last + depth.to_bytes(2, "big")


ROOT = place(b"", 0)
"""Where the root stands."""


@dataclass(frozen=True, slots=True)
class Path:
    """The way from the root to where a key is or would be.

    `siblings` from the root down; `leaf` is the (key, value) found at the end, None for an empty place.
    """

    siblings: tuple[bytes, ...]
    leaf: tuple[bytes, bytes] | None


@dataclass(slots=True)
class Update:
    """The outcome of a batch: the new root, and the nodes to write by their places."""

    root: bytes
    nodes: dict[bytes, bytes] = field(default_factory=dict)


class Cache:
    """The newest nodes of the tree in memory, `most` bytes: the next block reads what the last one wrote.

    Two generations, of which the younger fills up and then takes the place of the older. For the one thread
    that writes the ledger.
    """

    def __init__(self, read: Reader, most: int = 64 * 1024 * 1024) -> None:
        self._read = read
        self._most = most // (2 * NODE_BYTES)
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}

    @property
    def size(self) -> int:
        """The bytes of memory that the nodes take, at most."""
        return (len(self._young) + len(self._old)) * NODE_BYTES

    def read(self, where: bytes) -> bytes | None:
        """A node of the committed tree."""
        return self._young.get(where) or self._old.get(where) or self._read(where)

    def update(self, root: bytes, items: Iterable[tuple[bytes, bytes]]) -> Update:
        """As `update` below, on the committed tree with `root`."""
        return update(root, items, self.read)

    def settle(self, update: Update) -> None:
        """A block was committed: its nodes are the newest ones."""
        if len(self._young) + len(update.nodes) > self._most:
            self._old, self._young = self._young, {}
        # of a block with more than there is room for, what it wrote last: the upper part of the tree
        beyond = max(0, len(update.nodes) - self._most)
        for where in islice(update.nodes, beyond):
            self._old.pop(where, None)
            self._young.pop(where, None)
        self._young.update(islice(update.nodes.items(), beyond, None))


def leaf_hash(key: bytes, value: bytes) -> bytes:
    """The hash of a leaf."""
    return digest(LEAF_TAG, key + value)


def inner_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node."""
    return digest(INNER_TAG, left + right)


def update(root: bytes, items: Iterable[tuple[bytes, bytes]], read: Reader) -> Update:
    """Set each key to its value; keys must be distinct. Raises StoreError when a stored node is missing."""
    batch = Update(root)
    ordered = sorted(items)
    if ordered:
        batch.root = _Writer(batch, read).place(root, 0, ordered)
    return batch


def find(root: bytes, key: bytes, read: Reader) -> Path:
    """Follow `key` down from `root`. Raises StoreError when a stored node is missing."""
    siblings: list[bytes] = []
    at = root
    while at != EMPTY:
        kind, first, second = _load(at, place(key, len(siblings)), read)
        if kind == _LEAF:
            return Path(tuple(siblings), (first, second))
        if _bit(key, len(siblings)):
            siblings.append(first)
            at = second
        else:
            siblings.append(second)
            at = first
    return Path(tuple(siblings), None)


class _Writer:
    """One batch on its way down the tree."""

    def __init__(self, batch: Update, read: Reader) -> None:
        self._batch = batch
        self._read = read

    def place(self, at: bytes, depth: int, items: list[tuple[bytes, bytes]]) -> bytes:
        """Put sorted items into the subtree `at`; gives the subtree's new hash."""
        if at == EMPTY:
            return self._build(depth, items)
        where = place(items[0][0], depth)
        kind, first, second = _load(at, where, self._read)
        if kind == _LEAF:
            if all(key != first for key, _ in items):
                items = sorted([*items, (first, second)])
            return self._build(depth, items)
        split = _split(items, depth)
        left = self.place(first, depth + 1, items[:split]) if split else first
        right = self.place(second, depth + 1, items[split:]) if split < len(items) else second
        return self._inner(left, right, where)

    def _build(self, depth: int, items: list[tuple[bytes, bytes]]) -> bytes:
        """A subtree that holds just these items."""
        if not items:
            return EMPTY
        where = place(items[0][0], depth)
        if len(items) == 1:
            key, value = items[0]
            self._batch.nodes[where] = _LEAF + key + value
            return leaf_hash(key, value)
        split = _split(items, depth)
        left, right = self._build(depth + 1, items[:split]), self._build(depth + 1, items[split:])
        return self._inner(left, right, where)

    def _inner(self, left: bytes, right: bytes, where: bytes) -> bytes:
        self._batch.nodes[where] = _INNER + left + right
        return inner_hash(left, right)


def _split(items: list[tuple[bytes, bytes]], depth: int) -> int:
    """How many of the sorted items go left at this depth."""
    low, high = 0, len(items)
    while low < high:
        middle = (low + high) // 2
        if _bit(items[middle][0], depth):
            high = middle
        else:
            low = middle + 1
    return low


def _bit(key: bytes, depth: int) -> int:
    return key[depth >> 3] >> (7 - (depth & 7)) & 1


def _load(node_hash: bytes, where: bytes, read: Reader) -> tuple[bytes, bytes, bytes]:
    node = read(where)
    if node is None or not is_node(node_hash, node):
        raise damaged(node_hash)
    return node[:1], node[1:33], node[33:]


def is_node(node_hash: bytes, node: bytes | None) -> bool:
    """Whether these bytes are the node of that hash."""
    if node is None or len(node) != ENCODED_BYTES:
        return False
    hashed = leaf_hash if node[:1] == _LEAF else inner_hash
    return node[:1] in (_LEAF, _INNER) and hashed(node[1:33], node[33:]) == node_hash


def damaged(node_hash: bytes) -> StoreError:
    """What is said of a node that can't be read."""
    return StoreError(
        "corrupt", f"state tree node {node_hash.hex()} is missing or damaged", "restore a backup"
    )
