"""The business data object of JR/T 0314-2024, clause 6: header and body, parsed strictly.

Lengths count characters. A seal is the data owner's SM2 signature with SM3 over `seal_bytes`: the canonical
JSON of the object as submitted, header and body, without `header.seal`. Any number of owners up to eight may
seal one object, each key once; every seal that is there must hold. Keys are hex of the 65-byte uncompressed
point, signatures hex of the DER form.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Literal, cast

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from provnode.crypto.hashing import sm3
from provnode.ledger.canonical import Json, JsonObject, decode, encode
from provnode.ledger.errors import TxCode, TxError

PROTOCOL = "区域性股权市场跨链业务数据模型"
MAX_SEALS = 8
# Unix seconds of 2000-01-01 and 2100-01-01: tells seconds from milliseconds
EARLIEST = 946_684_800
LATEST = 4_102_444_800


class Operation(StrEnum):
    """What a submission does to its object (clause 6.5)."""

    CREATE = "create"
    UPDATE = "update"
    OVERWRITE = "overwrite"
    DELETE = "delete"


class _Model(Struct, frozen=True, forbid_unknown_fields=True):
    protocol: Literal["区域性股权市场跨链业务数据模型"]
    version: Annotated[str, Meta(min_length=1, max_length=32)]


class _Content(Struct, frozen=True, forbid_unknown_fields=True):
    type: Annotated[str, Meta(min_length=1, max_length=32)]
    object_id: Annotated[str, Meta(min_length=1, max_length=128)]
    version: Annotated[int, Meta(ge=0, le=2**53 - 1)]
    operation: Operation
    timestamp: Annotated[int, Meta(ge=EARLIEST, lt=LATEST)]


class _Key(Struct, frozen=True, forbid_unknown_fields=True):
    type: Literal["SM2"]
    value: Annotated[str, Meta(max_length=512, pattern="^04[0-9a-f]{128}$")]


class _Seal(Struct, frozen=True, forbid_unknown_fields=True):
    pub_key: _Key
    digest_algo: Literal["SM3"]
    signature: Annotated[str, Meta(min_length=2, max_length=1024, pattern="^([0-9a-f]{2})+$")]


class _Header(Struct, frozen=True, forbid_unknown_fields=True):
    model: _Model
    content: _Content
    remark: Annotated[str, Meta(max_length=2048)] | UnsetType = UNSET
    seal: Annotated[list[_Seal], Meta(max_length=MAX_SEALS)] | UnsetType = UNSET
    metadata: dict[str, Any] | UnsetType = UNSET


class _Parts(Struct, frozen=True):
    body: msgspec.Raw


class _Object(Struct, frozen=True, forbid_unknown_fields=True):
    header: _Header
    body: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Seal:
    """An owner's public key (65 bytes) and signature (DER) over the object's `seal_bytes`."""

    public_key: bytes
    signature: bytes


class DataObject(Struct, frozen=True, gc=False):
    """A submission: one operation on one version of one object. `timestamp` is Unix time in seconds.

    `raw` is the canonical JSON of the whole, `raw_body` of the body, each with its SM3. `conforms` says that
    the body was found to satisfy the schema of its type, which takes no state for a `create`.
    """

    object_id: str
    version: int
    type: str
    operation: Operation
    timestamp: int
    seals: tuple[Seal, ...]
    raw: bytes
    raw_body: bytes
    raw_hash: bytes
    raw_body_hash: bytes
    conforms: bool

    @property
    def header(self) -> JsonObject:
        """The header, parsed anew."""
        return cast(dict[str, JsonObject], decode(self.raw))["header"]

    @property
    def body(self) -> JsonObject:
        """The body, parsed anew."""
        return cast(JsonObject, decode(self.raw_body))


_parts = msgspec.json.Decoder(_Parts)
_object = msgspec.json.Decoder(_Object)
Conform = Callable[[str, JsonObject], None]
"""Given a type and a body, raises TxError unless the body satisfies the type's schema."""


def parse_object(value: Json, raw: bytes, conform: Conform) -> DataObject:
    """Check the form of an object (clause 6.2 to 6.5), given with its canonical JSON.

    A created object's body is given to `conform` with its type; later versions depend on the state.
    Raises TxError, `bad_object` naming the place or what `conform` raises.
    """
    try:
        found = msgspec.convert(value, _Object)
    except msgspec.ValidationError as error:
        raise TxError(TxCode.BAD_OBJECT, str(error)) from error
    raw_body = bytes(_parts.decode(raw).body)
    return _judged(found, (raw, raw_body, sm3(raw), sm3(raw_body)), conform)


def read_object(raw: bytes, raw_body: bytes, hashes: tuple[bytes, bytes], conform: Conform) -> DataObject:
    """As `parse_object`, from canonical JSON alone, with the body's and the SM3 of both.

    Raises TxError or msgspec.MsgspecError: for what is wrong in words, ask `parse_object`.
    """
    return _judged(_object.decode(raw), (raw, raw_body, *hashes), conform)


def _judged(found: _Object, raws: tuple[bytes, bytes, bytes, bytes], conform: Conform) -> DataObject:
    content = found.header.content
    if not content.object_id.isprintable() or content.object_id != content.object_id.strip():
        raise _bad("header.content.object_id", repr(content.object_id), "printable text without outer spaces")
    _check_operation(content, found.body)
    seals = () if found.header.seal is UNSET else tuple(map(_seal, found.header.seal))
    if len({seal.public_key for seal in seals}) != len(seals):
        raise _bad("header.seal", "one key twice", "each key once")
    created = content.operation is Operation.CREATE
    if created:
        conform(content.type, found.body)
    return DataObject(
        content.object_id,
        content.version,
        content.type,
        content.operation,
        content.timestamp,
        seals,
        *raws,
        created,
    )


def seal_bytes(value: JsonObject) -> bytes:
    """What a seal signs: canonical JSON of the object without `header.seal`."""
    header = value.get("header")
    if isinstance(header, dict):
        value = {**value, "header": {key: item for key, item in header.items() if key != "seal"}}
    return encode(value)


def _check_operation(content: _Content, body: JsonObject) -> None:
    first = content.version == 0
    if content.operation is Operation.CREATE and not first:
        raise _bad("header.content.version", str(content.version), "0 for a create")
    if content.operation in (Operation.UPDATE, Operation.DELETE) and first:
        raise _bad("header.content.version", "0", f"1 or more for {content.operation.value}")
    if content.operation is Operation.DELETE and body:
        raise _bad("body", f"{len(body)} fields", "an empty object for a delete")


def _seal(found: _Seal) -> Seal:
    return Seal(bytes.fromhex(found.pub_key.value), bytes.fromhex(found.signature))


def _bad(place: str, found: str, allowed: str) -> TxError:
    return TxError(TxCode.BAD_OBJECT, f"{place}: found {found}, allowed: {allowed}")
