"""Whether an object, or another piece of state, is on the chain or is not.

A proof bundle is a JSON object; every key is required, no other is allowed, byte strings are lower-case hex:

    format        1
    object_id     the object
    version       its version
    snapshot      the object as it stands, {"header", "body"}; null in a proof of absence
    origin        {"submitted", "organisation", "deleted", "height", "writers"}: the SM3 of the body as it was
                  submitted, the object's owner, whether this version deletes it, the height at which it was
                  last written, and the ids of all transactions that wrote it; null in a proof of absence
    siblings      hashes beside the path in the state tree, from the root down
    other_leaf    null; in a proof of absence {"key", "value"} of the leaf found in the object's place, or
                  null when the place is empty
    handovers     the handovers between the trusted point and the header, see `provnode.light.trust`
    header        the header whose state this is
    certificate   what committed it

A bundle of state that is no object has "kind" and "id" in place of object and version ("membership" and "",
"user" and the signer's id, "revocation" and the organisation) and "value", bytes, in place of snapshot
and origin.

What is checked: the snapshot hashes along the path to `state_root`; the header hashes to `block_id`; it
belongs to the chain and network of the trusted point, and to the validators that the handovers lead to; more
than two thirds of their power signed a precommit for it, and every signature in the bundle holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import astuple, dataclass
from typing import Any

from provnode.light.forms import ProofError, Verifier, canonical, digest, items, octets, pack, record, typed
from provnode.light.trust import Trust, VerifiedHeader, check_header, follow

_EMPTY = bytes(32)
_DEPTH = 256
_MOST_WRITERS = 1024
_ORIGIN = {"submitted", "organisation", "deleted", "height", "writers"}
_LONGEST_VALUE = 16 * 1024 * 1024
_PROOF = {"format", "siblings", "other_leaf", "handovers", "header", "certificate"}
_OBJECT = _PROOF | {"object_id", "version", "snapshot", "origin"}
_STATE = _PROOF | {"kind", "id", "value"}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an object version comes from: its owner, and the transactions that wrote it, in order.

    `height` is that of the last of them, `submitted` the SM3 of the body that it submitted.
    """

    submitted: bytes
    organisation: str
    deleted: bool
    height: int
    writers: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class VerifiedObject:
    """A proven object version: what it was at `height`, and who vouches for it.

    `time_ms` is the block's; `trust` is the newest trusted point that the bundle led to.
    """

    object_id: str
    version: int
    object: dict[str, Any]
    origin: Origin
    height: int
    time_ms: int
    block_id: bytes
    validators: tuple[str, ...]
    trust: Trust


@dataclass(frozen=True, slots=True)
class VerifiedAbsence:
    """The proven fact that the chain had no such object version at `height`."""

    object_id: str
    version: int
    height: int
    time_ms: int
    block_id: bytes
    validators: tuple[str, ...]
    trust: Trust


@dataclass(frozen=True, slots=True)
class VerifiedState:
    """A proven piece of state that is no object: its bytes at `height`."""

    kind: str
    id: str
    value: bytes
    height: int
    time_ms: int
    block_id: bytes
    validators: tuple[str, ...]
    trust: Trust


def verify_proof(bundle: Mapping[str, Any], trust: Trust, provider: Verifier) -> VerifiedObject:
    """Check a proof of presence from a trusted point on. Raises ProofError."""
    object_id, version = _begin(bundle)
    snapshot: dict[str, Any] = typed(bundle["snapshot"], dict, "snapshot")
    inner = typed(snapshot.get("header"), dict, "snapshot.header").get("content")
    content = typed(inner, dict, "snapshot.header.content")
    if content.get("object_id") != object_id or content.get("version") != version:
        raise ProofError("snapshot: not the object and version that the bundle names")
    key = _object_key(provider, object_id, version)
    origin = _origin(bundle["origin"])
    whole = pack([provider.hash(canonical(snapshot)), *astuple(origin)])
    found = _present(bundle, key, digest(provider, b"provnode.value", whole), trust, provider)
    return VerifiedObject(object_id, version, snapshot, origin, *_named(found))


def verify_state(bundle: Mapping[str, Any], trust: Trust, provider: Verifier) -> VerifiedState:
    """Check a proof of state that is no object. Raises ProofError."""
    _check_format(record(bundle, _STATE, "bundle"))
    kind, id_ = typed(bundle["kind"], str, "kind"), typed(bundle["id"], str, "id")
    text = typed(bundle["value"], str, "value")
    if len(text) > 2 * _LONGEST_VALUE:
        raise ProofError(f"value: longer than {_LONGEST_VALUE} bytes")
    value = octets(text, len(text) // 2, "value")
    key = digest(provider, b"provnode.state-key", pack([kind, id_]))
    found = _present(bundle, key, digest(provider, b"provnode.state-value", value), trust, provider)
    return VerifiedState(kind, id_, value, *_named(found))


def verify_absence(bundle: Mapping[str, Any], trust: Trust, provider: Verifier) -> VerifiedAbsence:
    """Check a proof that the object version does not exist. Raises ProofError."""
    object_id, version = _begin(bundle)
    for name in ("snapshot", "origin"):
        if bundle[name] is not None:
            raise ProofError(f"{name}: a proof of absence has none")
    key = _object_key(provider, object_id, version)
    end = _EMPTY
    if bundle["other_leaf"] is not None:
        leaf = record(bundle["other_leaf"], {"key", "value"}, "other_leaf")
        other = octets(leaf["key"], 32, "other_leaf.key")
        depth = len(items(bundle["siblings"], _DEPTH, "siblings"))
        if other == key or any(_bit(other, at) != _bit(key, at) for at in range(depth)):
            raise ProofError("other_leaf: does not stand in the object's place")
        end = digest(provider, b"provnode.leaf", other + octets(leaf["value"], 32, "other_leaf.value"))
    found = _rooted(bundle, key, end, trust, provider)
    return VerifiedAbsence(object_id, version, *_named(found))


def _present(
    bundle: Mapping[str, Any], key: bytes, value: bytes, trust: Trust, provider: Verifier
) -> VerifiedHeader:
    if bundle["other_leaf"] is not None:
        raise ProofError("other_leaf: only a proof of absence has one")
    return _rooted(bundle, key, digest(provider, b"provnode.leaf", key + value), trust, provider)


def _rooted(
    bundle: Mapping[str, Any], key: bytes, at: bytes, trust: Trust, provider: Verifier
) -> VerifiedHeader:
    """The header to whose state root the node `at`, at the end of the key's path, leads."""
    path = items(bundle["siblings"], _DEPTH, "siblings")
    for depth in range(len(path) - 1, -1, -1):
        sibling = octets(path[depth], 32, "siblings")
        pair = sibling + at if _bit(key, depth) else at + sibling
        at = digest(provider, b"provnode.inner", pair)
    header = bundle["header"]
    if typed(header, dict, "header").get("state_root") != at.hex():
        raise ProofError("the proof does not lead to the header's state root")
    trust = follow(trust, bundle["handovers"], provider)
    return check_header(trust, header, bundle["certificate"], provider)


def _named(found: VerifiedHeader) -> tuple[int, int, bytes, tuple[str, ...], Trust]:
    return found.height, found.time_ms, found.block_id, found.signed, found.trust


def _begin(bundle: Mapping[str, Any]) -> tuple[str, int]:
    _check_format(record(bundle, _OBJECT, "bundle"))
    return typed(bundle["object_id"], str, "object_id"), typed(bundle["version"], int, "version")


def _origin(value: object) -> Origin:
    found = record(value, _ORIGIN, "origin")
    return Origin(
        octets(found["submitted"], 32, "origin.submitted"),
        typed(found["organisation"], str, "origin.organisation"),
        typed(found["deleted"], bool, "origin.deleted"),
        typed(found["height"], int, "origin.height"),
        tuple(
            octets(txid, 32, "origin.writers") for txid in items(found["writers"], _MOST_WRITERS, "writers")
        ),
    )


def _check_format(bundle: Mapping[str, Any]) -> None:
    if typed(bundle["format"], int, "format") != 1:
        raise ProofError(f"format: found {bundle['format']}, known is 1")


def _object_key(provider: Verifier, object_id: str, version: int) -> bytes:
    return digest(provider, b"provnode.key", pack([object_id, version]))


def _bit(key: bytes, depth: int) -> int:
    return key[depth >> 3] >> (7 - (depth & 7)) & 1
