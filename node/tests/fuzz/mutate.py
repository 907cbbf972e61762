"""Changing good bytes: anywhere, or one field of the value that they spell, which gets further in."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgspec
from tests.fuzz.target import Form, Target

Below = Callable[[int], int]
"""A choice: a number from 0 up to, and not including, the one given."""

_DEEP: Any = []
for _ in range(40):
    _DEEP = [_DEEP]
_ANY: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 2, 2**31, 2**53 - 1, 2**53, 2**63 - 1, 2**64 - 1, -(2**63), 1.0, -0.0),
    *("", "v1", "v2", "zjex", "x" * 65, "0" * 64, "0" * 3000, "A" * 64, "\0", "\u00e9\u4e00", "../x"),
    *([], {}, [None], {"": None}, _DEEP, [0] * 300),
)
_OF: dict[Form, tuple[Any, ...]] = {
    "msgpack": (*_ANY, b"", b"\0", bytes(32), bytes(65), bytes(200), 1.5),
    "json": (*_ANY, 2**64, 10**400, float("nan"), float("inf"), 1e300, "\ud800"),
    "bytes": (),
}
_PIECES = (
    b"\0",
    b"\xff",
    b" ",
    b"\n",
    b'"',
    b"[",
    b"{",
    b"\xc1",
    b"\xdd\xff\xff\xff\xff",
    b"9" * 5000,
    b"[" * 99,
)


def mutated(target: Target, seeds: Sequence[bytes], below: Below) -> bytes:
    """One of the seeds, changed in one to three places."""
    raw = seeds[below(len(seeds))]
    for _ in range(1 + below(3)):
        changed = _field(target.form, raw, below) if target.form != "bytes" and below(4) else None
        raw = _anywhere(raw, seeds, below) if changed is None else changed
    return raw


def _anywhere(raw: bytes, seeds: Sequence[bytes], below: Below) -> bytes:
    at = below(len(raw) + 1)
    upto = min(len(raw), at + below(9))
    match below(6):
        case 0:
            return raw[:at] + bytes([below(256)]) + raw[at + 1 :]
        case 1:
            return raw[:at] + _PIECES[below(len(_PIECES))] + raw[at:]
        case 2:
            return raw[:at] + raw[upto:]
        case 3:
            return raw[:upto] + raw[at:]
        case 4:
            other = seeds[below(len(seeds))]
            return raw[:at] + other[below(len(other) + 1) :]
        case _:
            return raw[:at]


def _field(form: Form, raw: bytes, below: Below) -> bytes | None:
    """The value with one part of it replaced, removed or doubled; None where the bytes spell none."""
    try:
        value = json.loads(raw) if form == "json" else msgspec.msgpack.decode(raw)
        places = list(_places(value))
        holder, key = places[below(len(places))]
        _change(holder, key, form, below)
        return _spelled(form, value)
    except (ValueError, TypeError, OverflowError, RecursionError, IndexError, msgspec.MsgspecError):
        return None


def _places(value: Any) -> Iterator[tuple[Any, Any]]:  # noqa: ANN401 - any value
    """Every part of a value, as what holds it and where."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in inside:
        yield value, key
        yield from _places(item)


def _change(holder: Any, key: Any, form: Form, below: Below) -> None:  # noqa: ANN401 - any value
    found: Any = holder[key]
    match below(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, list):
            holder.insert(below(len(holder) + 1), found)
        case 2 if isinstance(holder, dict):
            holder["x" * below(70)] = found
        case 3 if isinstance(found, int):
            holder[key] = found + below(5) - 2
        case 4 if type(found) in (str, bytes):
            at = below(len(found) + 1)
            holder[key] = found[:at] + found[at + 1 if below(2) else max(0, at - 1) :]
        case 5 if isinstance(holder, list):
            other = below(len(holder))
            holder[key], holder[other] = holder[other], found
        case _:
            holder[key] = _OF[form][below(len(_OF[form]))]


def _spelled(form: Form, value: Any) -> bytes:  # noqa: ANN401 - any value
    if form == "msgpack":
        return msgspec.msgpack.encode(value)
    text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    return text.encode(errors="surrogatepass")
