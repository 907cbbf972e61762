"""Merkle tree over a block's transactions: the shape of RFC 6962 section 2.1, with SM3.

Leaves are hashed with the prefix 0x00 and inner nodes with 0x01, so that neither can pass for the other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from provnode.crypto.hashing import sm3

LEAF_PREFIX = b"\x00"
_INNER_PREFIX = b"\x01"


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf; `data` is a transaction as encoded."""
    return sm3(LEAF_PREFIX + data)


def _each(messages: Sequence[bytes], prefix: bytes) -> list[bytes]:
    return [sm3(prefix + message) for message in messages]


def root(
    leaves: Sequence[bytes], hash_batch: Callable[[Sequence[bytes], bytes], list[bytes]] = _each
) -> bytes:
    """The root over leaf hashes; over none, the hash of nothing (RFC 6962 section 2.1).

    Pairing neighbours and carrying an odd last node up gives the RFC's split at the largest power of two.
    `hash_batch` gives SM3 of a prefix and each message: one call a level.
    """
    level = list(leaves)
    if not level:
        return sm3(b"")
    while len(level) > 1:
        pairs = [level[i] + level[i + 1] for i in range(0, len(level) - 1, 2)]
        level = hash_batch(pairs, _INNER_PREFIX) + level[len(level) & ~1 :]
    return level[0]
