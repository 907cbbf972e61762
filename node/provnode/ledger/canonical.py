"""Canonical JSON: the one spelling of a JSON value, so that it can be hashed and signed.

Keys sorted by code point, no spaces, UTF-8 without escapes beyond those that JSON demands. Refused, because
two readers may disagree on them: duplicate keys, NaN and infinities, integers beyond 2^53 - 1 (RFC 7493
section 2.2), lone surrogates, more than 32 levels.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

import msgspec

MAX_DEPTH = 32
MAX_INTEGER = 2**53 - 1

_encode = json.JSONEncoder(ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False).encode
_quick_decode = msgspec.json.Decoder().decode
_quick_encode = msgspec.json.Encoder(order="sorted").encode

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None
JsonObject = dict[str, Json]


class CanonicalError(ValueError):
    """The bytes or the value have no canonical form; the message says where and why."""


def encode(value: Json) -> bytes:
    """The canonical bytes of a JSON value. Raises CanonicalError for NaN, infinities and lone surrogates."""
    try:
        return _encode(value).encode()
    except (ValueError, RecursionError) as error:
        raise CanonicalError(f"no canonical form: {error}") from error


def decode(raw: bytes) -> Json:
    """Parse JSON strictly, in whatever spelling. Raises CanonicalError."""
    try:
        value: Json = json.loads(raw.decode(), object_pairs_hook=_unique, parse_constant=_refuse_constant)
    except CanonicalError:
        raise
    except UnicodeDecodeError as error:
        raise CanonicalError(f"not UTF-8 at byte {error.start}") from error
    except RecursionError as error:
        raise CanonicalError(f"deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise CanonicalError(f"not JSON: {error}") from error
    _check(value, 1)
    return value


def decode_canonical(raw: bytes) -> Json:
    """Parse JSON that must already be in its canonical spelling. Raises CanonicalError."""
    quick = _decode_plain(raw)
    if quick is not None:
        return quick
    value = decode(raw)
    if encode(value) != raw:
        raise CanonicalError("not in canonical form (sorted keys, no spaces, UTF-8 without escapes)")
    return value


def _decode_plain(raw: bytes) -> Json:
    """The value of canonical bytes without escapes and fractions; None where the full rules have to judge.

    Without those, msgspec's sorted spelling is the canonical one, so bytes that come out as they went in had
    sorted keys, each once, and no spaces.
    """
    if b"\\" in raw:
        return None
    try:
        value: Json = _quick_decode(raw)
        return value if _quick_encode(value) == raw and _is_plain(value, 1) else None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _is_plain(value: Json, depth: int) -> bool:
    kind = type(value)
    if kind is str or value is None or kind is bool:
        return True
    if isinstance(value, int):
        return -MAX_INTEGER <= value <= MAX_INTEGER
    if isinstance(value, dict):
        inner: Iterable[Json] = value.values()
    elif isinstance(value, list):
        inner = value
    else:
        return False
    return depth <= MAX_DEPTH and all(type(item) is str or _is_plain(item, depth + 1) for item in inner)


def _unique(pairs: list[tuple[str, Json]]) -> JsonObject:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise CanonicalError(f"key {twice!r} twice in one object")
    return found


def _refuse_constant(name: str) -> Json:
    raise CanonicalError(f"{name} is no JSON number")


def _check(value: Json, depth: int) -> None:
    if isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            raise CanonicalError(f"deeper than {MAX_DEPTH} levels")
        if isinstance(value, dict):
            for key in value:
                _check_text(key)
        for item in value.values() if isinstance(value, dict) else value:
            _check(item, depth + 1)
    elif isinstance(value, str):
        _check_text(value)
    elif isinstance(value, bool) or value is None:
        return
    elif isinstance(value, int):
        if not -MAX_INTEGER <= value <= MAX_INTEGER:
            raise CanonicalError(f"integer {value} is beyond 2^53 - 1")
    elif not math.isfinite(value):
        raise CanonicalError("a number too large for double precision")


def _check_text(text: str) -> None:
    if not text.isascii() and any("\ud800" <= c <= "\udfff" for c in text):
        raise CanonicalError("a lone surrogate in a string")
