"""Bytes in, typed values out, and back: MessagePack arrays with strict limits and one spelling only."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec

from provnode.wire.errors import WireError

_T = TypeVar("_T")

_encoder = msgspec.msgpack.Encoder()


def decode(decoder: msgspec.msgpack.Decoder[_T], raw: bytes, limit: int, what: str) -> _T:
    """Decode `raw` strictly. Raises WireError and nothing else.

    MessagePack can spell one value in several ways; only the shortest is taken, so that one value has one
    hash and one length.
    """
    if len(raw) > limit:
        raise WireError(f"{what}: found {len(raw)} bytes, allowed: {limit}")
    try:
        found = decoder.decode(raw)
        canonical = _encoder.encode(found) == raw
    except (msgspec.MsgspecError, ValueError, OverflowError, RecursionError) as error:
        raise WireError(f"{what}: {error}") from error
    if not canonical:
        raise WireError(f"{what}: not in the shortest MessagePack form")
    return found


def encode(value: Any, limit: int, what: str) -> bytes:  # noqa: ANN401 - what msgspec can encode has no type
    """Encode a value of this package. Raises WireError when it is longer than peers take."""
    raw = _encoder.encode(value)
    if len(raw) > limit:
        raise WireError(f"{what}: found {len(raw)} bytes, allowed: {limit}")
    return raw
