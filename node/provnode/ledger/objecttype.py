"""The type of an object, read from one of its snapshots."""

from __future__ import annotations

import msgspec


class _Content(msgspec.Struct):
    type: str


class _Header(msgspec.Struct):
    content: _Content


class _Snapshot(msgspec.Struct):
    header: _Header


_decoder = msgspec.json.Decoder(_Snapshot)


def type_of(snapshot: bytes) -> str:
    """`header.content.type` of a stored snapshot. Raises ValueError when it is none."""
    try:
        return _decoder.decode(snapshot).header.content.type
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError(f"no snapshot: {error}") from error
