"""The state tree's nodes at hand: in the native library, where there is one, else in Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from provnode.crypto.hashing import tagged
from provnode.crypto.nativetree import NativeTree, Step
from provnode.crypto.provider import CryptoError, Provider
from provnode.ledger import tree
from provnode.storage.errors import StoreError
from provnode.storage.store import Store

_CACHE_BYTES = 64 * 1024 * 1024
# what a node takes in the library: 97 bytes, and room in a map that has just grown
_NODE_BYTES = 160


class Nodes(Protocol):
    """The committed tree, for the one thread that writes the ledger."""

    def update(self, root: bytes, items: Iterable[tuple[bytes, bytes]]) -> tree.Update:
        """Set each key to its value in the tree with `root`. Raises StoreError when the store is damaged."""

    def settle(self, update: tree.Update) -> None:
        """A block was committed: its nodes are the newest ones."""


@runtime_checkable
class _Opener(Protocol):
    def open_tree(self, leaf: bytes, inner: bytes, most: int) -> NativeTree:
        """A tree in the library."""


@dataclass(slots=True)
class _Update(tree.Update):
    step: Step = field(kw_only=True)


class NativeNodes:
    """`Nodes` in the native library; what it lacks is read from the store, level by level."""

    def __init__(
        self, opener: _Opener, read: Callable[[Sequence[bytes]], dict[bytes, bytes]], most: int = _CACHE_BYTES
    ) -> None:
        self._read = read
        self._tree = opener.open_tree(tagged(tree.LEAF_TAG), tagged(tree.INNER_TAG), most // _NODE_BYTES)

    def update(self, root: bytes, items: Iterable[tuple[bytes, bytes]]) -> tree.Update:
        """As `tree.update` does it."""
        batch, given = list(items), dict[bytes, bytes]()
        try:
            while (step := self._tree.update(root, batch, given)).missing:
                found = self._read([where for _, where in step.missing])
                for node_hash, where in step.missing:
                    node = found.get(where)
                    if node is None or not tree.is_node(node_hash, node):
                        raise tree.damaged(node_hash)
                    given[node_hash] = node
        except CryptoError as error:
            raise StoreError("corrupt", f"state tree: {error}", "restore a backup") from error
        return _Update(step.root, step.nodes, step=step)

    def settle(self, update: tree.Update) -> None:
        """Keep what is new, forget what has gone."""
        if isinstance(update, _Update):
            self._tree.settle(update.step)


def open_nodes(provider: Provider, store: Store) -> Nodes:
    """The nodes of a store's tree."""
    return NativeNodes(provider, store.nodes) if isinstance(provider, _Opener) else tree.Cache(store.node)
