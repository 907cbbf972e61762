"""Canonical packing and domain-separated SM3 digests, used by everything that is hashed or signed."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

_encoder = msgspec.msgpack.Encoder()


def pack(value: Any) -> bytes:  # noqa: ANN401 - nested lists of int, str, bytes and None
    """Return the one msgpack encoding of nested lists of integers, strings, bytes and None."""
    return _encoder.encode(value)


def sm3(data: bytes) -> bytes:
    """Return the 32-byte SM3 digest (GB/T 32905) of ``data``, computed by OpenSSL."""
    return hashlib.new("sm3", data).digest()


def digest(tag: bytes, data: bytes) -> bytes:
    """Return SM3 over the tag's length, the tag and the data: equal data under two tags never collide."""
    return hashlib.new("sm3", bytes([len(tag)]) + tag + data).digest()
