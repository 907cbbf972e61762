"""What came from outside, taken apart strictly: exact types, known keys, lower-case hex, bounded sizes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Protocol, TypeVar

import msgspec

_T = TypeVar("_T")
_HEX = re.compile(r"([0-9a-f]{2})*")
_LONGEST = 128


class ProofError(Exception):
    """What was given does not prove what it claims; the message says what failed."""


class Verifier(Protocol):
    """What is needed of a crypto provider: SM3, and SM2 with SM3 over many messages."""

    def hash(self, data: bytes) -> bytes:
        """SM3."""

    def verify_batch(self, items: list[tuple[bytes, bytes, bytes]]) -> list[bool]:
        """Whether each (public key, message, signature) holds."""


def typed(value: object, kind: type[_T], what: str) -> _T:
    """The value, if it is of just this type; an integer also within 0 to 2^63 - 1. Raises ProofError."""
    # exact: True is no integer here, and 1.0 is none either
    if type(value) is not kind:
        raise ProofError(f"{what}: found {type(value).__name__}, needed is {kind.__name__}")
    if isinstance(value, int) and not 0 <= value < 2**63:
        raise ProofError(f"{what}: out of range")
    return value


def items(value: object, most: int, what: str) -> list[Any]:
    """A list of at most so many items. Raises ProofError."""
    found: list[Any] = typed(value, list, what)
    if len(found) > most:
        raise ProofError(f"{what}: found {len(found)}, allowed: up to {most}")
    return found


def record(value: object, keys: set[str], what: str) -> Mapping[str, Any]:
    """An object with just these keys. Raises ProofError."""
    found: Mapping[str, Any] = typed(value, dict, what)
    if set(found) != keys:
        odd = sorted(map(str, set(found) ^ keys))[:8]
        raise ProofError(f"{what}: missing or unknown keys {odd}")
    return found


def octets(value: object, length: int | None, what: str) -> bytes:
    """Bytes as lower-case hex; without `length` up to 128 of them. Raises ProofError."""
    text = typed(value, str, what)
    fits = len(text) <= 2 * _LONGEST if length is None else len(text) == 2 * length
    if not fits or not _HEX.fullmatch(text):
        raise ProofError(f"{what}: found {text[:16]!r}…, needed is lower-case hex")
    return bytes.fromhex(text)


def pack(value: list[Any]) -> bytes:
    """MessagePack in its shortest form. Raises ProofError."""
    try:
        return msgspec.msgpack.encode(value)
    except (ValueError, TypeError) as error:
        raise ProofError(f"not encodable: {error}") from error


def canonical(value: Mapping[str, Any]) -> bytes:
    """Canonical JSON: keys sorted, no spaces, UTF-8. Raises ProofError."""
    try:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ProofError(f"no canonical JSON: {error}") from error


def digest(provider: Verifier, tag: bytes, data: bytes) -> bytes:
    """SM3 of the length of the tag, the tag, and the data."""
    return provider.hash(bytes([len(tag)]) + tag + data)
