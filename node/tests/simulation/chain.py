"""A chain for the simulation: its genesis, its transactions, and signatures without curves."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, cast

from provnode.core.types import Validator
from provnode.crypto.hashing import sm3
from provnode.crypto.provider import Provider
from provnode.ledger.app import Ledger
from provnode.ledger.canonical import Json
from provnode.ledger.changes import approve, change_json
from provnode.ledger.genesis import Genesis, parse_genesis
from provnode.ledger.membership import EARLIEST, Action, Change, Place
from provnode.ledger.objects import PROTOCOL
from provnode.ledger.transactions import sign_transaction
from tests.simulation.world import EPOCH_MS

PARAMS = {
    "max_block_bytes": 1_000_000,
    "max_tx_bytes": 65_536,
    "block_interval_ms": 100,
    "propose_timeout_ms": 200,
    "vote_timeout_ms": 100,
    "timeout_delta_ms": 100,
}
_MOST_ORGANISATIONS = 7


@dataclass(frozen=True, slots=True)
class Key:
    """A key that is nothing but its public part: by agreement, only its owner signs with it."""

    public: bytes


@lru_cache(maxsize=4096)
def key_of(name: str) -> Key:
    """The key of that name."""
    return Key(b"\x04" + hashlib.sha512(name.encode()).digest())


class Keyed:
    """Signatures that hold for one message and key, at a thousandth of the cost of SM2."""

    name = "keyed"

    def public_key(self, key: Key) -> bytes:
        """The public part."""
        return key.public

    def sign(self, key: Key, message: bytes) -> bytes:
        """A signature."""
        return hashlib.blake2b(message, key=key.public[1:], digest_size=32).digest()

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether the signature holds."""
        return signature == hashlib.blake2b(message, key=public_key[1:], digest_size=32).digest()

    def hash(self, data: bytes) -> bytes:
        """The hash of the chain."""
        return sm3(data)

    def hash_batch(self, messages: Sequence[bytes], prefix: bytes = b"") -> list[bytes]:
        """`hash` of the prefix and each."""
        return [sm3(prefix + message) for message in messages]

    def verify_batch(self, items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
        """`verify` of each."""
        return [self.verify(*item) for item in items]


PROVIDER = cast(Provider, Keyed())


def organisation_of(number: int, validators: int) -> str:
    """Validators belong to organisations by turns."""
    return f"o{number % min(validators, _MOST_ORGANISATIONS) + 1}"


@lru_cache(maxsize=64)
def make_genesis(powers: tuple[int, ...]) -> Genesis:
    """A chain of validators v01, v02, … of these powers."""
    number = len(powers)
    members = {f"v{at + 1:02}": organisation_of(at, number) for at in range(number)}
    organisations = sorted(set(members.values()))
    document: dict[str, Any] = {
        "format": 1,
        "network": "simulated",
        "chain_id": "simulated",
        "time_ms": EPOCH_MS - 1_000,
        "organisations": [
            {"name": name, "title": name, "uscc": "91330000000000000X", "role": "operator"}
            for name in organisations
        ],
        "validators": [
            {"name": name, "organisation": whose, "public_key": key_of(name).public.hex(), "power": power}
            for (name, whose), power in zip(members.items(), powers, strict=True)
        ],
        "signers": [
            {"id": f"c@{name}", "organisation": name, "public_key": key_of(f"c@{name}").public.hex()}
            for name in organisations
        ],
        "params": PARAMS,
        "schemas": {"note": {"type": "object"}},
    }
    return parse_genesis(document)


def make_note(genesis: Genesis, number: int) -> bytes:
    """A client's transaction: it creates an object."""
    content: Json = {
        "type": "note",
        "object_id": f"n-{number}",
        "version": 0,
        "operation": "create",
        "timestamp": EPOCH_MS // 1000,
    }
    model: Json = {"protocol": PROTOCOL, "version": "1.0"}
    body: Json = {"header": {"model": model, "content": content}, "body": {}}
    return _signed(genesis, "object", body)


def make_change(genesis: Genesis, change: Change) -> bytes:
    """A change of the membership that every organisation approves."""
    names = sorted(genesis.organisations)
    approvals: list[Json] = [
        approve(PROVIDER, cast(Any, key_of(f"c@{name}")), f"c@{name}", genesis, change) for name in names
    ]
    return _signed(genesis, "membership", {"change": change_json(change), "approvals": approvals})


def plan_change(ledger: Ledger, action: Action, name: str, later: int) -> Change | None:
    """The change to the membership as it stands; None where the node is not in a state for it."""
    membership = ledger.membership
    every = {one.name: one for one in (*membership.active, *membership.suspended)}
    number = len(ledger.genesis.validators)
    if action is Action.ADD:
        validator = Validator(name, organisation_of(int(name[1:]) - 1, number), key_of(name).public)
    elif name not in every:
        return None
    elif action is Action.REKEY:
        old = every[name]
        validator = Validator(name, old.organisation, key_of(f"{name}+").public, old.power)
    else:
        validator = every[name]
    place = Place("192.0.2.1", 26656) if action is Action.ADD else None
    height = ledger.height + 1 + EARLIEST + later
    return Change(action, validator, height, membership.sequence + 1, place)


def _signed(genesis: Genesis, kind: str, body: Json) -> bytes:
    signer = f"c@{min(genesis.organisations)}"
    return sign_transaction(PROVIDER, cast(Any, key_of(signer)), signer, genesis.hash, kind, body)[0]
