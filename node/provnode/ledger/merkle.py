"""Merkle tree over a block's transactions: the shape of RFC 6962 section 2.1, with SM3.

Leaves are hashed with the prefix 0x00 and inner nodes with 0x01, so that neither can pass for the other.
"""

from __future__ import annotations

from collections.abc import Sequence

from provnode.crypto.hashing import sm3

LEAF_PREFIX = b"\x00"


def leaf_hash(data: bytes) -> bytes:
    """The hash of a leaf; `data` is a transaction as encoded."""
    return sm3(LEAF_PREFIX + data)


def root(leaves: Sequence[bytes]) -> bytes:
    """The root over leaf hashes; over none, the hash of nothing (RFC 6962 section 2.1).

    Pairing neighbours and carrying an odd last node up gives the RFC's split at the largest power of two.
    """
    level = list(leaves)
    if not level:
        return sm3(b"")
    while len(level) > 1:
        paired = [_inner(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
        if len(level) % 2:
            paired.append(level[-1])
        level = paired
    return level[0]


def _inner(left: bytes, right: bytes) -> bytes:
    return sm3(b"\x01" + left + right)
