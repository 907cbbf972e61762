"""What the consensus speaks of: validators, votes, proposals, certificates. Values, never changed."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property
from itertools import accumulate
from math import gcd


class VoteType(IntEnum):
    """The two votes of a round."""

    PREVOTE = 1
    PRECOMMIT = 2


class Step(IntEnum):
    """The step of a round that a validator is in."""

    PROPOSE = 1
    PREVOTE = 2
    PRECOMMIT = 3


@dataclass(frozen=True, slots=True)
class Validator:
    """A consensus node: its name, its organisation, its SM2 public point (65 bytes) and voting power."""

    name: str
    organisation: str
    public_key: bytes
    power: int = 1


@dataclass(frozen=True)
class ValidatorSet:
    """The validators of a height, in the order of their names.

    Raises ValueError for an empty set, a name or key that occurs twice, or a power below 1.
    """

    validators: tuple[Validator, ...]

    def __post_init__(self) -> None:
        """Bring the set into its one order and refuse what can't be a set."""
        ordered = tuple(sorted(self.validators, key=lambda v: v.name))
        if not ordered:
            raise ValueError("a validator set is not empty")
        if len({v.name for v in ordered}) != len(ordered) or len({v.public_key for v in ordered}) != len(
            ordered
        ):
            raise ValueError("a validator's name and key occur once")
        if any(v.power < 1 for v in ordered):
            raise ValueError("a validator's power is at least 1")
        object.__setattr__(self, "validators", ordered)

    def __iter__(self) -> Iterator[Validator]:
        """Go through the validators in the order of their names."""
        return iter(self.validators)

    def __len__(self) -> int:
        """Return the number of validators."""
        return len(self.validators)

    @cached_property
    def _by_name(self) -> dict[str, Validator]:
        return {validator.name: validator for validator in self.validators}

    def get(self, name: str) -> Validator | None:
        """Return the validator of that name, if it is in the set."""
        return self._by_name.get(name)

    @cached_property
    def total_power(self) -> int:
        """Return the sum of all power, n in the paper."""
        return sum(validator.power for validator in self.validators)

    @property
    def quorum(self) -> int:
        """Return the least power above two thirds: 2f+1 of n = 3f+1."""
        return self.total_power * 2 // 3 + 1

    @property
    def minority(self) -> int:
        """Return the least power that holds an honest validator: f+1 of n = 3f+1."""
        return (self.total_power + 2) // 3

    @cached_property
    def _turns(self) -> tuple[tuple[int, ...], int]:
        """Where each validator's share of the turns ends, and the step through them."""
        unit = gcd(*(validator.power for validator in self.validators))
        ends = tuple(accumulate(validator.power // unit for validator in self.validators))
        return ends, _stride(ends[-1], len(ends))

    def proposer(self, height: int, round_: int) -> str:
        """Return the name of the proposer of a height and round (paper: proposer(h, r)).

        Weighted round robin: with powers divided by their greatest common divisor, any run of as many turns
        as their sum holds each validator exactly as often as its power says. No list of turns is kept, so
        that great powers cost nothing.
        """
        ends, stride = self._turns
        return self.validators[bisect_right(ends, (height + round_) * stride % ends[-1])].name


def _stride(turns: int, validators: int) -> int:
    """Return a step that meets every turn once.

    Equal powers go one after the other. Else the step is near the golden ratio, so that the turns of a heavy
    validator are spread and its failure doesn't cost many rounds in a row.
    """
    step = 1 if turns == validators else max(1, turns * 618 // 1000)
    while gcd(step, turns) != 1:
        step += 1
    return step


@dataclass(frozen=True, slots=True)
class Vote:
    """A prevote or precommit; ``block_id`` None is a vote for nil. An unsigned vote has no signature."""

    type: VoteType
    height: int
    round: int
    block_id: bytes | None
    validator: str
    signature: bytes = b""


@dataclass(frozen=True, slots=True)
class Proposal:
    """A proposed block; ``valid_round`` is the round of its earlier prevotes, or -1 (paper: vr)."""

    height: int
    round: int
    valid_round: int
    block_id: bytes
    proposer: str
    signature: bytes = b""


@dataclass(frozen=True, slots=True)
class CommitSig:
    """One validator's precommit signature in a certificate."""

    validator: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Certificate:
    """The proof that a block is final: precommits of a quorum for it, in one round."""

    height: int
    round: int
    block_id: bytes
    signatures: tuple[CommitSig, ...]
