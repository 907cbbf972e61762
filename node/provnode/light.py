"""Check that an object is on the chain, trusting nothing but the genesis.

This file stands alone: it shares no code with the node's ledger, so that an auditor can read all of it and a
fault of the ledger can't hide itself. It needs a provider of SM2 and SM3 and the genesis document.

A proof bundle is a JSON object; every key is required, no other is allowed, byte strings are lower-case hex:

    format        1
    object_id     the object
    version       its version
    snapshot      the object as it stands, {"header", "body"}; null in a proof of absence
    siblings      hashes beside the path in the state tree, from the root down
    other_leaf    null; in a proof of absence {"key", "value"} of the leaf found in the object's place, or
                  null when the place is empty
    header        {"version" 1, "chain_id", "network", "height", "time_ms", "parent", "proposer", "tx_root",
                  "state_root", "validators_hash", "next_validators_hash", "last_commit_hash", "tx_count"}
    certificate   {"height", "round", "block_id", "signatures": [{"validator", "signature"}, …]} with the
                  validators in ascending order

What is checked: the snapshot hashes along the path to `state_root`; the header hashes to `block_id`; it
belongs to the chain, network and validators of the genesis; more than two thirds of their power signed a
precommit for it, and every signature in the bundle holds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec

_T = TypeVar("_T")
_HEX = re.compile(r"([0-9a-f]{2})*")
_EMPTY = bytes(32)
_PRECOMMIT = 2
_BUNDLE = {
    "format",
    "object_id",
    "version",
    "snapshot",
    "siblings",
    "other_leaf",
    "header",
    "certificate",
}
# name and kind of each header field, in the order in which they are hashed
_HEADER = (
    ("version", int),
    ("chain_id", str),
    ("network", str),
    ("height", int),
    ("time_ms", int),
    ("parent", bytes),
    ("proposer", str),
    ("tx_root", bytes),
    ("state_root", bytes),
    ("validators_hash", bytes),
    ("next_validators_hash", bytes),
    ("last_commit_hash", bytes),
    ("tx_count", int),
)


class ProofError(Exception):
    """The bundle does not prove what it claims; the message says what failed."""


class Verifier(Protocol):
    """What is needed of a crypto provider: SM3, and SM2 with SM3 over many messages."""

    def hash(self, data: bytes) -> bytes:
        """SM3."""

    def verify_batch(self, items: list[tuple[bytes, bytes, bytes]]) -> list[bool]:
        """Whether each (public key, message, signature) holds."""


@dataclass(frozen=True, slots=True)
class VerifiedObject:
    """A proven object version: what it was at `height`, and who vouches for it. `time_ms` is the block's."""

    object_id: str
    version: int
    object: dict[str, Any]
    height: int
    time_ms: int
    block_id: bytes
    validators: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class VerifiedAbsence:
    """The proven fact that the chain had no such object version at `height`."""

    object_id: str
    version: int
    height: int
    time_ms: int
    block_id: bytes
    validators: tuple[str, ...]


def verify_proof(bundle: Mapping[str, Any], trust: Mapping[str, Any], provider: Verifier) -> VerifiedObject:
    """Check a proof of presence against the genesis document `trust`. Raises ProofError."""
    check = _Check(provider)
    object_id, version = _begin(bundle)
    snapshot = _typed(bundle["snapshot"], dict, "snapshot")
    content = _typed(_typed(snapshot.get("header"), dict, "snapshot.header").get("content"), dict, "content")
    if content.get("object_id") != object_id or content.get("version") != version:
        raise ProofError("snapshot: not the object and version that the bundle names")
    if bundle["other_leaf"] is not None:
        raise ProofError("other_leaf: only a proof of absence has one")
    key = check.digest(b"provnode.key", _pack([object_id, version]))
    value = check.digest(b"provnode.value", _canonical(snapshot))
    root = check.climb(key, check.digest(b"provnode.leaf", key + value), bundle["siblings"])
    height, time_ms, block_id, validators = check.header(bundle, trust, root)
    return VerifiedObject(object_id, version, snapshot, height, time_ms, block_id, validators)


def verify_absence(
    bundle: Mapping[str, Any], trust: Mapping[str, Any], provider: Verifier
) -> VerifiedAbsence:
    """Check a proof that the object version does not exist. Raises ProofError."""
    check = _Check(provider)
    object_id, version = _begin(bundle)
    if bundle["snapshot"] is not None:
        raise ProofError("snapshot: a proof of absence has none")
    key = check.digest(b"provnode.key", _pack([object_id, version]))
    end = _EMPTY
    if bundle["other_leaf"] is not None:
        leaf = _typed(bundle["other_leaf"], dict, "other_leaf")
        _keys(leaf, {"key", "value"}, "other_leaf")
        other = _bytes(leaf["key"], 32, "other_leaf.key")
        depth = len(_typed(bundle["siblings"], list, "siblings"))
        if other == key or depth > 256 or any(_bit(other, at) != _bit(key, at) for at in range(depth)):
            raise ProofError("other_leaf: does not stand in the object's place")
        end = check.digest(b"provnode.leaf", other + _bytes(leaf["value"], 32, "other_leaf.value"))
    root = check.climb(key, end, bundle["siblings"])
    height, time_ms, block_id, validators = check.header(bundle, trust, root)
    return VerifiedAbsence(object_id, version, height, time_ms, block_id, validators)


class _Check:
    """The steps that need the provider."""

    def __init__(self, provider: Verifier) -> None:
        self._provider = provider

    def digest(self, tag: bytes, data: bytes) -> bytes:
        return self._provider.hash(bytes([len(tag)]) + tag + data)

    def climb(self, key: bytes, at: bytes, siblings: object) -> bytes:
        """The root over the node `at` at the end of the key's path."""
        path = _typed(siblings, list, "siblings")
        if len(path) > 256:
            raise ProofError("siblings: more than 256")
        for depth in range(len(path) - 1, -1, -1):
            sibling = _bytes(path[depth], 32, "siblings")
            pair = sibling + at if _bit(key, depth) else at + sibling
            at = self.digest(b"provnode.inner", pair)
        return at

    def header(
        self, bundle: Mapping[str, Any], trust: Mapping[str, Any], state_root: bytes
    ) -> tuple[int, int, bytes, tuple[str, ...]]:
        """Check header and certificate; gives height, time, block id and the validators that signed."""
        found = _typed(bundle["header"], dict, "header")
        _keys(found, {name for name, _ in _HEADER}, "header")
        fields = [
            _bytes(found[name], 32, name) if kind is bytes else _typed(found[name], kind, name)
            for name, kind in _HEADER
        ]
        block_id = self.digest(b"provnode.header", _pack(fields))
        if found["version"] != 1:
            raise ProofError(f"header.version: found {found['version']}, known is 1")
        if bytes.fromhex(found["state_root"]) != state_root:
            raise ProofError("the object does not lead to the header's state root")
        if (found["chain_id"], found["network"]) != (trust["chain_id"], trust["network"]):
            raise ProofError("header: of another chain or network than the genesis")
        validators = [
            [v["name"], v["organisation"], bytes.fromhex(v["public_key"]), v["power"]]
            for v in sorted(trust["validators"], key=lambda v: str(v["name"]))
        ]
        if bytes.fromhex(found["validators_hash"]) != self.digest(b"provnode.validators", _pack(validators)):
            raise ProofError("header.validators_hash: not the validators of the genesis")
        genesis_hash = self.digest(b"provnode.genesis", _canonical(dict(trust)))
        signed = self._certificate(bundle["certificate"], found["height"], block_id, genesis_hash, validators)
        return found["height"], found["time_ms"], block_id, signed

    def _certificate(
        self,
        certificate: object,
        height: int,
        block_id: bytes,
        genesis_hash: bytes,
        validators: list[list[Any]],
    ) -> tuple[str, ...]:
        found = _typed(certificate, dict, "certificate")
        _keys(found, {"height", "round", "block_id", "signatures"}, "certificate")
        if _typed(found["height"], int, "certificate.height") != height:
            raise ProofError("certificate.height: not that of the header")
        if _bytes(found["block_id"], 32, "certificate.block_id") != block_id:
            raise ProofError("certificate.block_id: not that of the header")
        vote = ["provnode.vote", genesis_hash, _PRECOMMIT, height, None, block_id]
        vote[4] = _typed(found["round"], int, "certificate.round")
        message = _pack(vote)
        keys = {name: (key, power) for name, _, key, power in validators}
        names: list[str] = []
        items: list[tuple[bytes, bytes, bytes]] = []
        for entry in _typed(found["signatures"], list, "certificate.signatures"):
            _keys(_typed(entry, dict, "signature"), {"validator", "signature"}, "signature")
            name = _typed(entry["validator"], str, "validator")
            if name not in keys:
                raise ProofError(f"certificate: {name!r} is no validator of this chain")
            if names and name <= names[-1]:
                raise ProofError("certificate: signatures are not one a validator in ascending order")
            names.append(name)
            items.append((keys[name][0], message, _bytes(entry["signature"], None, "signature")))
        power = sum(keys[name][1] for name in names)
        total = sum(power for _, power in keys.values())
        if 3 * power <= 2 * total:
            raise ProofError(f"certificate: power {power} of {total} signed, more than two thirds is needed")
        for name, held in zip(names, self._provider.verify_batch(items), strict=True):
            if not held:
                raise ProofError(f"certificate: the signature of {name} does not hold")
        return tuple(names)


def _begin(bundle: Mapping[str, Any]) -> tuple[str, int]:
    _keys(bundle, _BUNDLE, "bundle")
    if _typed(bundle["format"], int, "format") != 1:
        raise ProofError(f"format: found {bundle['format']}, known is 1")
    return _typed(bundle["object_id"], str, "object_id"), _typed(bundle["version"], int, "version")


def _typed(value: object, kind: type[_T], what: str) -> _T:
    # exact: True is no integer here, and 1.0 is none either
    if type(value) is not kind:
        raise ProofError(f"{what}: found {type(value).__name__}, needed is {kind.__name__}")
    if isinstance(value, int) and not 0 <= value < 2**63:
        raise ProofError(f"{what}: out of range")
    return value


def _keys(value: Mapping[str, Any], allowed: set[str], what: str) -> None:
    if set(value) != allowed:
        odd = sorted(map(str, set(value) ^ allowed))
        raise ProofError(f"{what}: missing or unknown keys {odd}")


def _bytes(value: object, length: int | None, what: str) -> bytes:
    text = _typed(value, str, what)
    if not _HEX.fullmatch(text) or (length is not None and len(text) != 2 * length):
        raise ProofError(f"{what}: found {text[:16]!r}…, needed is lower-case hex")
    return bytes.fromhex(text)


def _bit(key: bytes, depth: int) -> int:
    return key[depth >> 3] >> (7 - (depth & 7)) & 1


def _pack(value: list[Any]) -> bytes:
    try:
        return msgspec.msgpack.encode(value)
    except (ValueError, TypeError) as error:
        raise ProofError(f"not encodable: {error}") from error


def _canonical(value: dict[str, Any]) -> bytes:
    try:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except (ValueError, TypeError, RecursionError) as error:
        raise ProofError(f"no canonical JSON: {error}") from error
