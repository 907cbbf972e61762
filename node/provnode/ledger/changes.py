"""Changes of the membership as JSON: in transactions, in approval files, in the state.

A `membership` transaction carries

    {"change": {"action", "effective_height", "sequence", "validator": {"name", "organisation", "public_key",
                "power"; for an added one also "address" and "port"}},
     "approvals": [{"organisation", "signer", "signature"}, …]}

with one approval an organisation, organisations ascending. An approval is the SM2 signature of a founding
signer of that organisation over pack(["provnode.membership", genesis hash, canonical JSON of the change]).
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, Struct, UnsetType

from provnode.core.types import Validator
from provnode.crypto.hashing import pack
from provnode.crypto.provider import PrivateKey, Provider
from provnode.ledger.canonical import JsonObject, decode, encode
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.genesis import Genesis
from provnode.ledger.membership import Action, Change, Membership, Place, organisations
from provnode.wire import MAX_POWER, MAX_VALIDATORS

STATE_KIND = "membership"
_Name = Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")]
_PublicKey = Annotated[str, Meta(pattern="^04[0-9a-f]{128}$")]
_Whole = Annotated[int, Meta(ge=1, le=2**53 - 1)]


class _Validator(Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    name: _Name
    organisation: _Name
    public_key: _PublicKey
    power: Annotated[int, Meta(ge=1, le=MAX_POWER)]
    address: Annotated[str, Meta(min_length=2, max_length=39)] | UnsetType = UNSET
    port: Annotated[int, Meta(ge=1, le=65_535)] | UnsetType = UNSET

    @classmethod
    def of(cls, found: Validator, place: Place | None = None) -> _Validator:
        where = (place.address, place.port) if place else (UNSET, UNSET)
        return cls(found.name, found.organisation, found.public_key.hex(), found.power, *where)

    def validator(self) -> Validator:
        return Validator(self.name, self.organisation, bytes.fromhex(self.public_key), self.power)

    def place(self) -> Place | None:
        if isinstance(self.address, UnsetType) or isinstance(self.port, UnsetType):
            return None
        return Place(self.address, self.port)


class _Change(Struct, frozen=True, forbid_unknown_fields=True):
    action: Action
    effective_height: _Whole
    sequence: _Whole
    validator: _Validator

    @classmethod
    def of(cls, found: Change) -> _Change:
        shown = _Validator.of(found.validator, found.place)
        return cls(found.action, found.effective_height, found.sequence, shown)

    def change(self) -> Change:
        one = self.validator
        return Change(self.action, one.validator(), self.effective_height, self.sequence, one.place())


class _Approval(Struct, frozen=True, forbid_unknown_fields=True):
    organisation: _Name
    signer: Annotated[str, Meta(max_length=129)]
    signature: Annotated[str, Meta(pattern="^([0-9a-f]{2}){1,128}$")]


class _Body(Struct, frozen=True, forbid_unknown_fields=True):
    change: _Change
    approvals: Annotated[list[_Approval], Meta(max_length=MAX_VALIDATORS)]


class _State(Struct, frozen=True, forbid_unknown_fields=True):
    active: list[_Validator]
    suspended: list[_Validator]
    pending: list[_Change]
    sequence: int
    keys: list[str]
    places: dict[str, tuple[str, str, int]]


@dataclass(frozen=True, slots=True)
class Approval:
    """An organisation's word for a change. `public_key` is that of its founding signer."""

    organisation: str
    public_key: bytes
    signature: bytes


@dataclass(frozen=True, slots=True)
class ApprovedChange:
    """A change and the approvals that came with it. `signed` is what each approval is over."""

    change: Change
    approvals: tuple[Approval, ...]
    signed: bytes

    def check_quorum(self, membership: Membership) -> None:
        """Raises TxError unless more than two thirds of the organisations with an active validator agree."""
        voting = organisations(membership.active)
        agreed = voting & {approval.organisation for approval in self.approvals}
        needed = len(voting) * 2 // 3 + 1
        if len(agreed) < needed:
            missing = ", ".join(sorted(voting - agreed))
            raise TxError(
                TxCode.TOO_FEW_APPROVALS,
                f"approvals: found {len(agreed)} of {len(voting)} organisations, allowed: {needed} and more; "
                f"missing: {missing}",
            )


def initial(genesis: Genesis) -> Membership:
    """The membership before the first change. Signers' keys may not become validators' keys either."""
    validators = genesis.validators.validators
    signers = {one.public_key for one in genesis.signers.values()}
    return Membership(validators, keys=frozenset(one.public_key for one in validators) | signers)


def encode_state(found: Membership) -> bytes:
    """The membership as canonical JSON, as the state root commits it."""
    state = _State(
        [_Validator.of(one) for one in found.active],
        [_Validator.of(one) for one in found.suspended],
        [_Change.of(one) for one in found.pending],
        found.sequence,
        sorted(key.hex() for key in found.keys),
        {name: (who, place.address, place.port) for name, (who, place) in found.places.items()},
    )
    return encode(msgspec.to_builtins(state))


def decode_state(raw: bytes) -> Membership:
    """What `encode_state` made. Raises ValueError for anything else."""
    found = msgspec.convert(decode(raw), _State)
    membership = Membership(
        active=tuple(one.validator() for one in found.active),
        suspended=tuple(one.validator() for one in found.suspended),
        pending=tuple(one.change() for one in found.pending),
        sequence=found.sequence,
        keys=frozenset(map(bytes.fromhex, found.keys)),
        places={name: (who, Place(at, port)) for name, (who, at, port) in found.places.items()},
    )
    if encode_state(membership) != raw:
        raise ValueError("not in its one spelling")
    return membership


def membership_json(found: Membership) -> JsonObject:
    """The membership for clients: who has a vote, who is suspended, what is to come."""
    return {
        "sequence": found.sequence,
        "validators": [msgspec.to_builtins(_Validator.of(one)) for one in found.active],
        "suspended": [msgspec.to_builtins(_Validator.of(one)) for one in found.suspended],
        "pending": [change_json(change) for change in found.pending],
    }


def change_json(change: Change) -> JsonObject:
    """A change as it stands in a transaction."""
    found: JsonObject = msgspec.to_builtins(_Change.of(change))
    return found


def parse_change(value: object) -> Change:
    """Check the form of a change. Raises TxError."""
    try:
        found = msgspec.convert(value, _Change)
        one = found.validator
        if (one.address is UNSET) != (one.port is UNSET):
            raise ValueError("validator: address and port go together")
        if isinstance(one.address, str) and str(ipaddress.ip_address(one.address)) != one.address:
            raise ValueError(f"validator.address: found {one.address!r}, allowed: an IP address as usual")
    except ValueError as error:
        raise TxError(TxCode.MALFORMED, f"body.change: {error}") from error
    return found.change()


def approval_sign_bytes(genesis_hash: bytes, change: Change) -> bytes:
    """What an organisation's founding signer signs to approve a change."""
    return pack(["provnode.membership", genesis_hash, encode(change_json(change))])


def approve(provider: Provider, key: PrivateKey, signer: str, genesis: Genesis, change: Change) -> JsonObject:
    """The approval of a change by a founding signer, as it stands in a transaction."""
    signature = provider.sign(key, approval_sign_bytes(genesis.hash, change))
    return {
        "organisation": signer.rsplit("@", maxsplit=1)[-1],
        "signer": signer,
        "signature": signature.hex(),
    }


def parse_membership(body: JsonObject, genesis: Genesis) -> ApprovedChange:
    """Check the form of a membership transaction and who approves. Raises TxError."""
    try:
        found = msgspec.convert(body, _Body)
    except msgspec.ValidationError as error:
        raise TxError(TxCode.MALFORMED, f"body: {error}") from error
    change = parse_change(body["change"])
    names = [one.organisation for one in found.approvals]
    if names != sorted(set(names)):
        raise TxError(TxCode.BAD_APPROVAL, "approvals: not one an organisation in ascending order")
    approvals = []
    for one in found.approvals:
        signer = genesis.signers.get(one.signer)
        if signer is None or signer.organisation != one.organisation:
            raise TxError(
                TxCode.BAD_APPROVAL,
                f"approvals: {one.signer[:129]!r} is no founding signer of {one.organisation}",
            )
        approvals.append(Approval(one.organisation, signer.public_key, bytes.fromhex(one.signature)))
    return ApprovedChange(change, tuple(approvals), approval_sign_bytes(genesis.hash, change))
