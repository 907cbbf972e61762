"""Who decides which height: the validators of the genesis, and the changes that the organisations agreed on.

Pure: a `Membership` is a value, `accept` gives the next one or refuses. A change is accepted at the height of
the block that carries it and takes effect at a later one, named in it; changes of one height take effect in
the order in which they were accepted. Every set that is then due must keep the rules:

    at least 4 validators: n >= 3f + 1 with f >= 1 (Pease, Shostak and Lamport 1980)
    no organisation with a quorum of the power alone
    not more validators than a block has room for
    each name once; a key that was ever accepted never again, so that old signatures stay one owner's

A suspended validator has no power and counts for nothing until it is resumed; its node still takes part as
one without a vote.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from provnode.core.types import Validator, ValidatorSet
from provnode.ledger.errors import TxCode, TxError

LEAST_VALIDATORS = 4
# a change takes effect after the next block at the earliest, so that its header can announce it
EARLIEST = 2
LATEST = 1_000_000


class Action(StrEnum):
    """What a change does to its validator."""

    ADD = "add"
    REMOVE = "remove"
    REKEY = "rekey"
    SUSPEND = "suspend"
    RESUME = "resume"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a validator's peers find it: an IP address and a port."""

    address: str
    port: int


@dataclass(frozen=True, slots=True)
class Change:
    """One change. `validator` is as it will be (added, re-keyed) or as it is; `place` only for an added one.

    `sequence` is one more than the changes accepted before it, so that no approval counts twice.
    """

    action: Action
    validator: Validator
    effective_height: int
    sequence: int
    place: Place | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """What a chain's genesis allows: its organisations, and how many validators a block has room for."""

    organisations: Collection[str]
    most_validators: int


@dataclass(frozen=True, slots=True)
class Membership:
    """The state after a block. `active` decides the next height; `pending` takes effect later.

    `keys` are all that were ever accepted; `places` where the validators are that a change has added.
    """

    active: tuple[Validator, ...]
    suspended: tuple[Validator, ...] = ()
    pending: tuple[Change, ...] = ()
    sequence: int = 0
    keys: frozenset[bytes] = frozenset()
    places: dict[str, tuple[str, Place]] = field(default_factory=dict)

    @property
    def validators(self) -> ValidatorSet:
        """Who has a vote."""
        return ValidatorSet(self.active)

    def at(self, height: int) -> Membership:
        """The state with all changes in force that are due at `height`."""
        found = self
        for change in _in_order(self.pending):
            if change.effective_height <= height:
                found = _apply(found, change)
        pending = tuple(change for change in self.pending if change.effective_height > height)
        return self if len(pending) == len(self.pending) else replace(found, pending=pending)

    def accept(self, change: Change, height: int, limits: Limits) -> Membership:
        """The state once the block at `height` has accepted the change. Raises TxError naming the rule."""
        if change.sequence != self.sequence + 1:
            ahead = change.sequence > self.sequence + 1
            raise TxError(
                TxCode.SEQUENCE_AHEAD if ahead else TxCode.STALE_SEQUENCE,
                f"change.sequence: found {change.sequence}, allowed: {self.sequence + 1}",
            )
        low, high = height + EARLIEST, height + LATEST
        if not low <= change.effective_height <= high:
            raise TxError(
                TxCode.EFFECTIVE_HEIGHT,
                f"change.effective_height: found {change.effective_height}, allowed: {low} to {high}",
            )
        self._check_new(change, limits)
        new = change.action in (Action.ADD, Action.REKEY)
        accepted = replace(
            self,
            pending=(*self.pending, change),
            sequence=change.sequence,
            keys=self.keys | {change.validator.public_key} if new else self.keys,
        )
        _check_future(accepted, change, limits)
        return accepted

    def _check_new(self, change: Change, limits: Limits) -> None:
        wanted = change.validator
        if wanted.organisation not in limits.organisations:
            allowed = ", ".join(sorted(limits.organisations))
            raise _unfit(f"organisation: found {wanted.organisation!r}, allowed: {allowed}")
        if change.action in (Action.ADD, Action.REKEY) and wanted.public_key in self.keys:
            raise _unfit("public_key: found one that this chain has had before, allowed: a new one")
        if (change.place is not None) != (change.action is Action.ADD):
            raise _unfit("address and port: are given for an added validator only")


def organisations(validators: Iterable[Validator]) -> frozenset[str]:
    """The organisations that have one of these validators."""
    return frozenset(one.organisation for one in validators)


def _check_future(accepted: Membership, change: Change, limits: Limits) -> None:
    """Every set that is due from the new change on keeps the rules, later accepted changes included."""
    found = accepted
    heights = sorted({one.effective_height for one in accepted.pending})
    for height in heights:
        for due in _in_order(accepted.pending):
            if due.effective_height == height:
                found = _tried(found, due, change)
        if height >= change.effective_height:
            _check_set(found.active, height, limits)


def _tried(found: Membership, due: Change, new: Change) -> Membership:
    try:
        return _apply(found, due)
    except TxError as error:
        if due is new:
            raise
        place = f"change {due.sequence}, due at height {due.effective_height}"
        raise TxError(TxCode.UNFIT_CHANGE, f"{place}, could not follow: {error.message}") from None


def _check_set(active: tuple[Validator, ...], height: int, limits: Limits) -> None:
    number = len(active)
    if number < LEAST_VALIDATORS:
        raise TxError(
            TxCode.TOO_FEW_VALIDATORS,
            f"validators at height {height}: found {number}, allowed: from {LEAST_VALIDATORS} (n >= 3f + 1)",
        )
    if number > limits.most_validators:
        raise TxError(
            TxCode.TOO_MANY_VALIDATORS,
            f"validators at height {height}: found {number}, allowed: up to {limits.most_validators}",
        )
    power: Counter[str] = Counter()
    for one in active:
        power[one.organisation] += one.power
    name, most = max(power.items(), key=lambda item: (item[1], item[0]))
    quorum = ValidatorSet(active).quorum
    if most >= quorum:
        raise TxError(
            TxCode.ORGANISATION_AT_QUORUM,
            f"power of {name} at height {height}: found {most}, allowed: below the quorum of {quorum}",
        )


def _apply(found: Membership, change: Change) -> Membership:
    """Put one change in force. Raises TxError when the validator is not as the change needs it."""
    wanted, name = change.validator, change.validator.name
    active, suspended = _get(found.active, name), _get(found.suspended, name)
    match change.action:
        case Action.ADD:
            if active or suspended:
                raise _unfit(f"name: found {name!r}, which is a validator already")
            assert change.place is not None  # noqa: S101 - accept looked
            places = found.places | {name: (wanted.organisation, change.place)}
            return replace(found, active=_with(found.active, wanted), places=places)
        case Action.REMOVE:
            _same(wanted, active or suspended)
            return replace(
                found, active=_without(found.active, name), suspended=_without(found.suspended, name)
            )
        case Action.REKEY:
            present = active or suspended
            if present is not None:
                present = replace(present, public_key=wanted.public_key)
            _same(wanted, present)
            if active:
                return replace(found, active=_with(_without(found.active, name), wanted))
            return replace(found, suspended=_with(_without(found.suspended, name), wanted))
        case Action.SUSPEND:
            if suspended:
                raise _unfit(f"name: found {name!r}, which is suspended already")
            _same(wanted, active)
            return replace(
                found, active=_without(found.active, name), suspended=_with(found.suspended, wanted)
            )
        case Action.RESUME:
            if active:
                raise _unfit(f"name: found {name!r}, which is not suspended")
            _same(wanted, suspended)
            return replace(
                found, active=_with(found.active, wanted), suspended=_without(found.suspended, name)
            )


def _same(wanted: Validator, present: Validator | None) -> None:
    """The approvals are for the validator as it stands, and for no other."""
    if present is None:
        raise _unfit(f"name: found {wanted.name!r}, which is no validator")
    for key in ("organisation", "power", "public_key"):
        found, allowed = getattr(wanted, key), getattr(present, key)
        if found != allowed:
            raise _unfit(f"{key} of {wanted.name}: found {_show(found)}, allowed: {_show(allowed)}")


def _in_order(pending: Iterable[Change]) -> list[Change]:
    return sorted(pending, key=lambda change: (change.effective_height, change.sequence))


def _get(members: tuple[Validator, ...], name: str) -> Validator | None:
    return next((one for one in members if one.name == name), None)


def _with(members: tuple[Validator, ...], new: Validator) -> tuple[Validator, ...]:
    return tuple(sorted((*members, new), key=lambda one: one.name))


def _without(members: tuple[Validator, ...], name: str) -> tuple[Validator, ...]:
    return tuple(one for one in members if one.name != name)


def _unfit(text: str) -> TxError:
    return TxError(TxCode.UNFIT_CHANGE, f"change.validator.{text}")


def _show(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else repr(value)
