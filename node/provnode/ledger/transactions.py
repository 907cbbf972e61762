"""Transactions: their bytes, their id and their signature.

    tx bytes = pack([payload, signer id, signature])
    payload  = pack([1, genesis hash, kind, body]), body = canonical JSON
    txid     = digest("provnode.tx", pack([payload, signer id]))
    signed   = pack(["provnode.tx", txid])

The id leaves the signature out: SM2 signatures are randomised, so a transaction that is signed anew keeps its
id and can't be committed twice.

Kinds: `object` carries a JR/T 0314 object. `register_user` carries {"id", "proof", "public_key"}: it adds a
signer `<name>@<organisation>` to the organisation of the founding signer that signs it; `proof` is the new
key's own signature over pack(["provnode.user", genesis hash, id]): the key is valid, and held.
`membership` carries a change of the validators, see `provnode.ledger.changes`; `revocation` an organisation's
list of revoked certificates, see `provnode.ledger.revocation`.
`evidence` carries evidence of misbehaviour and is not signed, see `provnode.ledger.misconduct`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, cast

import msgspec
from msgspec import Meta, Struct

from provnode.crypto.hashing import digest, pack
from provnode.crypto.provider import Form, PrivateKey, Provider
from provnode.ledger.canonical import CanonicalError, Json, JsonObject, decode_canonical, encode
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.genesis import SIGNER_ID
from provnode.ledger.merkle import LEAF_PREFIX, leaf_hash

KIND_OBJECT = "object"
KIND_REGISTER_USER = "register_user"
KIND_MEMBERSHIP = "membership"
KIND_REVOCATION = "revocation"
KIND_EVIDENCE = "evidence"
KINDS = (KIND_OBJECT, KIND_REGISTER_USER, KIND_MEMBERSHIP, KIND_REVOCATION, KIND_EVIDENCE)
_FORMAT = 1
# how MessagePack begins an array of two, and of four
_TWO, _FOUR = b"\x92", b"\x94"


class Transaction(Struct, frozen=True, gc=False):
    """A decoded transaction. `leaf` is its Merkle leaf hash, which also names these very bytes."""

    raw: bytes
    txid: bytes
    kind: str
    raw_body: bytes
    signer_id: str
    signature: bytes
    leaf: bytes

    @property
    def body(self) -> JsonObject:
        """What it carries, parsed anew: kept, it would take several times the bytes."""
        return cast(JsonObject, decode_canonical(self.raw_body))

    @property
    def sign_bytes(self) -> bytes:
        """What the signer signed."""
        return transaction_sign_bytes(self.txid)


@dataclass(frozen=True, slots=True)
class Registration:
    """A user to be registered. `proof` is the key's signature over `registration_sign_bytes`."""

    id: str
    public_key: bytes
    proof: bytes


class _Outer(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    payload: bytes
    signer_id: str
    signature: bytes


class _Payload(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    format: int
    genesis_hash: bytes
    kind: str
    body: bytes


class _Registration(Struct, frozen=True, forbid_unknown_fields=True):
    id: str
    proof: Annotated[str, Meta(pattern="^([0-9a-f]{2}){1,128}$")]
    public_key: Annotated[str, Meta(pattern="^04[0-9a-f]{128}$")]


_outer = msgspec.msgpack.Decoder(_Outer)
_payload = msgspec.msgpack.Decoder(_Payload)


def transaction_sign_bytes(txid: bytes) -> bytes:
    """What the signer of a transaction signs."""
    return pack(["provnode.tx", txid])


def registration_sign_bytes(genesis_hash: bytes, user_id: str) -> bytes:
    """What a new user's key signs to be registered."""
    return pack(["provnode.user", genesis_hash, user_id])


def plain_form(genesis_hash: bytes, kind: str, part: str) -> Form:
    """What a library is told that reads many transactions of a kind at once, see `provnode.ledger.quick`."""
    payload = _FOUR + b"".join(map(pack, (_FORMAT, genesis_hash, kind)))
    tag = b"provnode.tx"
    signed = transaction_sign_bytes(bytes(32))[:-32]
    return Form(payload, bytes([len(tag)]) + tag + _TWO, LEAF_PREFIX, signed, part)


def decode_transaction(raw: bytes, genesis_hash: bytes, max_bytes: int) -> Transaction:
    """Decode and check the form; nothing is verified yet. Raises TxError."""
    if len(raw) > max_bytes:
        raise TxError(TxCode.TOO_LARGE, f"found {len(raw)} bytes, allowed: {max_bytes}")
    try:
        outer = _outer.decode(raw)
        payload = _payload.decode(outer.payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise TxError(TxCode.MALFORMED, f"no transaction: {error}") from error
    # one spelling only: otherwise the same content could come under many ids
    if pack([outer.payload, outer.signer_id, outer.signature]) != raw or outer.payload != pack(
        [payload.format, payload.genesis_hash, payload.kind, payload.body]
    ):
        raise TxError(TxCode.MALFORMED, "not in the shortest MessagePack form")
    if payload.format != _FORMAT:
        raise TxError(TxCode.MALFORMED, f"format: found {payload.format}, allowed: {_FORMAT}")
    if payload.genesis_hash != genesis_hash:
        raise TxError(TxCode.WRONG_CHAIN, "made for a chain with another genesis")
    if payload.kind not in KINDS:
        raise TxError(TxCode.MALFORMED, f"kind: found {payload.kind[:32]!r}, allowed: {', '.join(KINDS)}")
    try:
        body = decode_canonical(payload.body)
    except CanonicalError as error:
        raise TxError(TxCode.MALFORMED, f"body: {error}") from error
    if not isinstance(body, dict):
        raise TxError(TxCode.MALFORMED, "body: allowed is a JSON object")
    return Transaction(
        raw,
        _txid(outer.payload, outer.signer_id),
        payload.kind,
        payload.body,
        outer.signer_id,
        outer.signature,
        leaf_hash(raw),
    )


def sign_transaction(
    provider: Provider, key: PrivateKey, signer_id: str, genesis_hash: bytes, kind: str, body: Json
) -> tuple[bytes, bytes]:
    """A signed transaction and its id. `key` is the provider's private key of the registered signer."""
    payload = pack([_FORMAT, genesis_hash, kind, encode(body)])
    txid = _txid(payload, signer_id)
    signature = provider.sign(key, transaction_sign_bytes(txid))
    return pack([payload, signer_id, signature]), txid


def unsigned_transaction(genesis_hash: bytes, kind: str, body: Json) -> bytes:
    """A transaction of a kind that is its own proof."""
    return pack([pack([_FORMAT, genesis_hash, kind, encode(body)]), "", b""])


def registration_body(provider: Provider, key: PrivateKey, user_id: str, genesis_hash: bytes) -> JsonObject:
    """The body of a `register_user` transaction; `key` is the new user's own private key."""
    proof = provider.sign(key, registration_sign_bytes(genesis_hash, user_id))
    return {"id": user_id, "proof": proof.hex(), "public_key": provider.public_key(key).hex()}


def parse_registration(body: JsonObject) -> Registration:
    """Check the form of a registration. Raises TxError."""
    try:
        found = msgspec.convert(body, _Registration)
    except msgspec.ValidationError as error:
        raise TxError(TxCode.MALFORMED, f"body: {error}") from error
    if not SIGNER_ID.fullmatch(found.id):
        raise TxError(TxCode.MALFORMED, f"body.id: found {found.id[:80]!r}, allowed: <name>@<organisation>")
    return Registration(found.id, bytes.fromhex(found.public_key), bytes.fromhex(found.proof))


def _txid(payload: bytes, signer_id: str) -> bytes:
    return digest(b"provnode.tx", pack([payload, signer_id]))
