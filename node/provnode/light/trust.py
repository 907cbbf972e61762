"""Which header to believe: from a trusted point on, along every change of the validators.

Header, certificate and handover as JSON; byte strings are lower-case hex, every key is required, no other is
allowed:

    header        {"version" 1, "chain_id", "network", "height", "time_ms", "parent", "proposer", "tx_root",
                  "state_root", "validators_hash", "next_validators_hash", "last_commit_hash", "tx_count"}
    certificate   {"height", "round", "block_id", "signatures": [{"validator", "signature"}, …]} with the
                  validators in ascending order
    handover      {"header", "certificate", "validators": [{"name", "organisation", "public_key", "power"},
                  …]}: the last header of a set, certified by it, and the set that it names as the next one
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from provnode.light.forms import (
    ProofError,
    Verifier,
    canonical,
    digest,
    items,
    octets,
    pack,
    record,
    typed,
)

MOST_HANDOVERS = 64
"""In one list; a longer way takes several, each followed from where the one before has led."""
_MOST_VALIDATORS = 256
_PRECOMMIT = 2
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
_MEMBER = {"name", "organisation", "public_key", "power"}
_TRUST = {"format", "chain_id", "network", "genesis_hash", "height", "block_id", "time_ms", "validators"}


@dataclass(frozen=True, slots=True)
class Member:
    """A validator: its SM2 public point (65 bytes) and its voting power."""

    name: str
    organisation: str
    public_key: bytes
    power: int


@dataclass(frozen=True, slots=True)
class Trust:
    """A point of a chain that is believed, and who decides the heights after it. Height 0 is the genesis.

    `time_ms` is the block's time: how old the point is, see the package's description.
    """

    chain_id: str
    network: str
    genesis_hash: bytes
    height: int
    block_id: bytes
    time_ms: int
    validators: tuple[Member, ...]

    @classmethod
    def of_genesis(cls, document: Mapping[str, Any], provider: Verifier) -> Trust:
        """The start of the chain of a genesis document, whose form the caller has checked."""
        members = sorted(
            (
                Member(v["name"], v["organisation"], bytes.fromhex(v["public_key"]), v["power"])
                for v in document["validators"]
            ),
            key=lambda member: member.name,
        )
        hashed = digest(provider, b"provnode.genesis", canonical(document))
        names = (document["chain_id"], document["network"])
        return cls(*names, hashed, 0, hashed, document["time_ms"], tuple(members))

    def as_json(self) -> dict[str, Any]:
        """The point as JSON, for a file or another client."""
        return {
            "format": 1,
            "chain_id": self.chain_id,
            "network": self.network,
            "genesis_hash": self.genesis_hash.hex(),
            "height": self.height,
            "block_id": self.block_id.hex(),
            "time_ms": self.time_ms,
            "validators": [
                {
                    "name": one.name,
                    "organisation": one.organisation,
                    "public_key": one.public_key.hex(),
                    "power": one.power,
                }
                for one in self.validators
            ],
        }

    @classmethod
    def from_json(cls, value: object) -> Trust:
        """What `as_json` gave. Raises ProofError."""
        found = record(value, _TRUST, "trust")
        if typed(found["format"], int, "trust.format") != 1:
            raise ProofError(f"trust.format: found {found['format']}, known is 1")
        return cls(
            typed(found["chain_id"], str, "trust.chain_id"),
            typed(found["network"], str, "trust.network"),
            octets(found["genesis_hash"], 32, "trust.genesis_hash"),
            typed(found["height"], int, "trust.height"),
            octets(found["block_id"], 32, "trust.block_id"),
            typed(found["time_ms"], int, "trust.time_ms"),
            _members(found["validators"]),
        )


@dataclass(frozen=True, slots=True)
class VerifiedHeader:
    """A header that a quorum of its height's validators signed; `signed` names them.

    It names nobody for the trusted header itself, which was checked before.
    """

    height: int
    block_id: bytes
    time_ms: int
    state_root: bytes
    signed: tuple[str, ...]
    trust: Trust


def follow(trust: Trust, handovers: object, provider: Verifier) -> Trust:
    """The trusted point at the last of these handovers. Raises ProofError for one that does not hold."""
    for value in items(handovers, MOST_HANDOVERS, "handovers"):
        found = record(value, {"header", "certificate", "validators"}, "handover")
        checked = check_header(trust, found["header"], found["certificate"], provider)
        members = _members(found["validators"])
        named = octets(found["header"]["next_validators_hash"], 32, "next_validators_hash")
        if _set_hash(members, provider) != named:
            raise ProofError(f"handover {checked.height}: its validators are not those that its header names")
        if members == trust.validators:
            raise ProofError(f"handover {checked.height}: to the same validators")
        trust = replace(
            trust,
            height=checked.height,
            block_id=checked.block_id,
            time_ms=checked.time_ms,
            validators=members,
        )
    return trust


def check_header(trust: Trust, header: object, certificate: object, provider: Verifier) -> VerifiedHeader:
    """Check a header after the trusted point that the trusted validators decided on. Raises ProofError.

    The trusted header itself is fine too, with nobody's signature looked at. `trust` of the result is at this
    height where the next one has the same validators, else where it was.
    """
    found = record(header, {name for name, _ in _HEADER}, "header")
    fields = [
        octets(found[name], 32, name) if kind is bytes else typed(found[name], kind, name)
        for name, kind in _HEADER
    ]
    block_id = digest(provider, b"provnode.header", pack(fields))
    if found["version"] != 1:
        raise ProofError(f"header.version: found {found['version']}, known is 1")
    if (found["chain_id"], found["network"]) != (trust.chain_id, trust.network):
        raise ProofError("header: of another chain or network than the genesis")
    height: int = found["height"]
    time_ms: int = found["time_ms"]
    state_root = bytes.fromhex(found["state_root"])
    if height == trust.height and block_id == trust.block_id:
        return VerifiedHeader(height, block_id, time_ms, state_root, (), trust)
    if height <= trust.height:
        raise ProofError(f"header.height: found {height}, needed is above {trust.height}, which is trusted")
    decided = _set_hash(trust.validators, provider)
    if octets(found["validators_hash"], 32, "validators_hash") != decided:
        raise ProofError("header.validators_hash: not the trusted validators (a handover may be missing)")
    signed = _check_certificate(certificate, trust, height, block_id, provider)
    if found["next_validators_hash"] == found["validators_hash"]:
        trust = replace(trust, height=height, block_id=block_id, time_ms=time_ms)
    return VerifiedHeader(height, block_id, time_ms, state_root, signed, trust)


def _check_certificate(
    certificate: object, trust: Trust, height: int, block_id: bytes, provider: Verifier
) -> tuple[str, ...]:
    found = record(certificate, {"height", "round", "block_id", "signatures"}, "certificate")
    if typed(found["height"], int, "certificate.height") != height:
        raise ProofError("certificate.height: not that of the header")
    if octets(found["block_id"], 32, "certificate.block_id") != block_id:
        raise ProofError("certificate.block_id: not that of the header")
    round_ = typed(found["round"], int, "certificate.round")
    message = pack(["provnode.vote", trust.genesis_hash, _PRECOMMIT, height, round_, block_id])
    members = {member.name: member for member in trust.validators}
    names: list[str] = []
    signed: list[tuple[bytes, bytes, bytes]] = []
    for value in items(found["signatures"], _MOST_VALIDATORS, "certificate.signatures"):
        entry = record(value, {"validator", "signature"}, "signature")
        name = typed(entry["validator"], str, "validator")
        if name not in members:
            raise ProofError(f"certificate: {name[:64]!r} is no validator of this height")
        if names and name <= names[-1]:
            raise ProofError("certificate: signatures are not one a validator in ascending order")
        names.append(name)
        signed.append((members[name].public_key, message, octets(entry["signature"], None, "signature")))
    power = sum(members[name].power for name in names)
    total = sum(member.power for member in trust.validators)
    if 3 * power <= 2 * total:
        raise ProofError(f"certificate: power {power} of {total} signed, more than two thirds is needed")
    for name, held in zip(names, provider.verify_batch(signed), strict=True):
        if not held:
            raise ProofError(f"certificate: the signature of {name} does not hold")
    return tuple(names)


def _members(value: object) -> tuple[Member, ...]:
    found: list[Member] = []
    for item in items(value, _MOST_VALIDATORS, "validators"):
        one = record(item, _MEMBER, "validator")
        member = Member(
            typed(one["name"], str, "validator.name"),
            typed(one["organisation"], str, "validator.organisation"),
            octets(one["public_key"], 65, "validator.public_key"),
            typed(one["power"], int, "validator.power"),
        )
        if found and member.name <= found[-1].name:
            raise ProofError("validators: not one a name in ascending order")
        found.append(member)
    if not found:
        raise ProofError("validators: found none")
    return tuple(found)


def _set_hash(members: tuple[Member, ...], provider: Verifier) -> bytes:
    listed = [[one.name, one.organisation, one.public_key, one.power] for one in members]
    return digest(provider, b"provnode.validators", pack(listed))
