"""Hashes of the chain: SM3 (GB/T 32905), domain-separated, over one packed form of values."""

from __future__ import annotations

import hashlib
from pathlib import Path

import msgspec

from provnode.crypto.provider import CryptoError

HASH_BYTES = 32


def _start() -> hashlib._Hash:
    try:
        return hashlib.new("sm3")
    except ValueError as error:
        raise CryptoError("this Python's OpenSSL has no SM3", "use a Python built on OpenSSL 3") from error


# copying a started hash costs half of making one
_EMPTY = _start()


def sm3(data: bytes) -> bytes:
    """SM3, 32 bytes."""
    state = _EMPTY.copy()
    state.update(data)
    return state.digest()


def sm3_file(path: Path) -> bytes:
    """SM3 of a file's content. Raises OSError."""
    state = _EMPTY.copy()
    with path.open("rb") as source:
        while part := source.read(1 << 20):
            state.update(part)
    return state.digest()


def digest(tag: bytes, data: bytes) -> bytes:
    """SM3 of `data` in the domain `tag`: SM3(len(tag) | tag | data). A tag has at most 255 bytes."""
    state = _EMPTY.copy()
    state.update(bytes([len(tag)]) + tag)
    state.update(data)
    return state.digest()


def tagged(tag: bytes) -> bytes:
    """What `digest` hashes before the data: for who hashes many of one domain together."""
    return bytes([len(tag)]) + tag


def pack(value: object) -> bytes:
    """The one encoding of what is hashed or signed: MessagePack in its shortest form.

    Raises OverflowError for integers beyond 64 bits.
    """
    return msgspec.msgpack.encode(value)
