"""Count votes: one a validator, type and round; the first one counts, a second that differs is evidence."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from provnode.core.types import Certificate, CommitSig, ValidatorSet, Vote, VoteType

# Rounds ahead of ours that votes are kept for; beyond, a faulty validator could fill the memory.
MAX_ROUNDS_AHEAD = 16


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two different votes of one validator for the same type, height and round."""

    first: Vote
    second: Vote


class VoteKeeper:
    """The votes of one height."""

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators
        self._votes: dict[tuple[int, VoteType], dict[str, Vote]] = {}

    def add(self, vote: Vote, current_round: int) -> Conflict | bool:
        """Keep a vote; return True if it is new, False if not, a Conflict if it contradicts a kept one."""
        if (
            self._validators.get(vote.validator) is None
            or not 0 <= vote.round <= current_round + MAX_ROUNDS_AHEAD
        ):
            return False
        held = self._votes.setdefault((vote.round, vote.type), {})
        first = held.get(vote.validator)
        if first is None:
            held[vote.validator] = vote
            return True
        return Conflict(first, vote) if first.block_id != vote.block_id else False

    def votes(self, round_: int, kind: VoteType) -> tuple[Vote, ...]:
        """Return the votes of a round and type, in the order of the validators' names."""
        return tuple(vote for _, vote in sorted(self._votes.get((round_, kind), {}).items()))

    def rounds(self) -> tuple[int, ...]:
        """Return the rounds that have votes, in order."""
        return tuple(sorted({round_ for round_, _ in self._votes}))

    def _power(self, votes: Iterator[Vote]) -> int:
        found = (self._validators.get(vote.validator) for vote in votes)
        return sum(validator.power for validator in found if validator is not None)

    def quorum_for(self, round_: int, kind: VoteType, block_id: bytes | None) -> bool:
        """Tell whether 2f+1 voted for this block (or for nil)."""
        held = self._votes.get((round_, kind), {}).values()
        return self._power(v for v in held if v.block_id == block_id) >= self._validators.quorum

    def quorum_any(self, round_: int, kind: VoteType) -> bool:
        """Tell whether 2f+1 voted at all."""
        return self._power(iter(self._votes.get((round_, kind), {}).values())) >= self._validators.quorum

    def skip_round(self, current_round: int) -> int | None:
        """Return the highest later round in which f+1 have voted, if there is one."""
        for round_ in reversed(self.rounds()):
            if round_ <= current_round:
                return None
            names = {v.validator for kind in VoteType for v in self._votes.get((round_, kind), {}).values()}
            power = sum(found.power for name in names if (found := self._validators.get(name)) is not None)
            if power >= self._validators.minority:
                return round_
        return None

    def certificate(self, height: int, round_: int, block_id: bytes) -> Certificate:
        """Return the precommits for a block as a certificate; the caller knows that they are a quorum."""
        held = self.votes(round_, VoteType.PRECOMMIT)
        signatures = tuple(CommitSig(v.validator, v.signature) for v in held if v.block_id == block_id)
        return Certificate(height, round_, block_id, signatures)
