"""Checked access to decoded lists: each reader names what it reads in its error."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from provnode.wire.errors import WireError
from provnode.wire.limits import MAX_HEIGHT, MAX_NAME, MAX_ROUND, MAX_SIGNATURE

_decoder = msgspec.msgpack.Decoder()


def unpack(raw: bytes, what: str, limit: int) -> Any:  # noqa: ANN401 - the fields' readers check what it is
    """Decode msgpack of at most ``limit`` bytes; raises WireError."""
    if len(raw) > limit:
        raise WireError(f"{what}: {len(raw)} bytes, at most {limit} are allowed")
    try:
        return _decoder.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise WireError(f"{what}: not msgpack: {error}") from None


def fields(value: object, count: int, what: str) -> Sequence[Any]:
    """Return a list of exactly ``count`` items."""
    if not isinstance(value, list) or len(value) != count:
        found = f"a list of {len(value)}" if isinstance(value, list) else type(value).__name__
        raise WireError(f"{what}: {found}, a list of {count} is allowed")
    return value


def items(value: object, limit: int, what: str) -> Sequence[Any]:
    """Return a list of at most ``limit`` items."""
    if not isinstance(value, list) or len(value) > limit:
        found = f"a list of {len(value)}" if isinstance(value, list) else type(value).__name__
        raise WireError(f"{what}: {found}, a list of at most {limit} is allowed")
    return value


def integer(value: object, what: str, low: int, high: int) -> int:
    """Return an integer between ``low`` and ``high``, both allowed."""
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise WireError(f"{what}: {value!r:.40}, an integer from {low} to {high} is allowed")
    return value


def height(value: object) -> int:
    """Return a height from 1."""
    return integer(value, "height", 1, MAX_HEIGHT)


def round_(value: object) -> int:
    """Return a round from 0."""
    return integer(value, "round", 0, MAX_ROUND)


def text(value: object, what: str) -> str:
    """Return a short, non-empty name."""
    if not isinstance(value, str) or not 0 < len(value) <= MAX_NAME:
        raise WireError(f"{what}: {value!r:.40}, a name of 1 to {MAX_NAME} characters is allowed")
    return value


def octets(value: object, what: str, limit: int) -> bytes:
    """Return bytes of at most ``limit``."""
    if not isinstance(value, bytes) or len(value) > limit:
        raise WireError(f"{what}: {type(value).__name__}, at most {limit} bytes are allowed")
    return value


def digest(value: object, what: str) -> bytes:
    """Return exactly 32 bytes."""
    if not isinstance(value, bytes) or len(value) != 32:
        raise WireError(f"{what}: not a digest of 32 bytes")
    return value


def signature(value: object) -> bytes:
    """Return a signature: some bytes, not too many."""
    found = octets(value, "signature", MAX_SIGNATURE)
    if not found:
        raise WireError("signature: empty")
    return found
