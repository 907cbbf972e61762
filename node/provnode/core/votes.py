"""Count votes: one a validator, type and round.

The first vote of a validator counts. A second one that differs is evidence, and counts beside the first only
if f+1 others voted the same. Without this an equivocator could stop the chain with f of 3f+1: it shows one
vote to those who then lock on a block, another to the rest, and falls silent; the rest could never see the
2f+1 prevotes that they need to follow (arXiv 1807.04938, line 28, where every message of a faulty process
counts). In each set of 2f+1 there are f+1 honest ones, whose votes admit the missing one; and only two or
three values can have f+1 first votes, so that memory stays bounded.
"""

from __future__ import annotations

from dataclasses import dataclass

from provnode.core.types import Certificate, CommitSig, ValidatorSet, Vote, VoteType

# Rounds ahead of ours that votes are kept for; beyond, a faulty validator could fill the memory.
MAX_ROUNDS_AHEAD = 16


@dataclass(frozen=True, slots=True)
class Conflict:
    """Two different votes of one validator for the same type, height and round."""

    first: Vote
    second: Vote


class _Tally:
    """The votes of one round and type."""

    __slots__ = ("conflicting", "firsts", "more", "power", "support", "voted")

    def __init__(self) -> None:
        self.firsts: dict[str, Vote] = {}
        self.more: dict[tuple[str, bytes | None], Vote] = {}
        self.conflicting: set[str] = set()
        # the power behind each value by first votes, by all that count, and behind any value
        self.support: dict[bytes | None, int] = {}
        self.power: dict[bytes | None, int] = {}
        self.voted = 0

    def first(self, vote: Vote, power: int) -> None:
        self.firsts[vote.validator] = vote
        self.support[vote.block_id] = self.support.get(vote.block_id, 0) + power
        self.power[vote.block_id] = self.power.get(vote.block_id, 0) + power
        self.voted += power

    def another(self, vote: Vote, power: int) -> None:
        self.more[vote.validator, vote.block_id] = vote
        self.power[vote.block_id] = self.power.get(vote.block_id, 0) + power

    def holds(self, vote: Vote) -> bool:
        first = self.firsts.get(vote.validator)
        same = first is not None and first.block_id == vote.block_id
        return same or (vote.validator, vote.block_id) in self.more

    def all(self) -> list[Vote]:
        return sorted([*self.firsts.values(), *self.more.values()], key=lambda vote: vote.validator)


class VoteKeeper:
    """The votes of one height."""

    def __init__(self, validators: ValidatorSet) -> None:
        self._validators = validators
        self._tallies: dict[tuple[int, VoteType], _Tally] = {}
        self._reached: dict[str, int] = {}

    def add(self, vote: Vote, current_round: int) -> Conflict | None:
        """Take a vote; return a Conflict the first time that it contradicts another of its sender.

        Of rounds too far ahead only their number is kept, for `skip_round`.
        """
        validator = self._validators.get(vote.validator)
        if validator is None or vote.round < 0:
            return None
        self._reached[vote.validator] = max(vote.round, self._reached.get(vote.validator, 0))
        if vote.round > current_round + MAX_ROUNDS_AHEAD:
            return None
        tally = self._tallies.setdefault((vote.round, vote.type), _Tally())
        first = tally.firsts.get(vote.validator)
        if first is None:
            tally.first(vote, validator.power)
        elif not tally.holds(vote):
            if tally.support.get(vote.block_id, 0) >= self._validators.minority:
                tally.another(vote, validator.power)
            if vote.validator not in tally.conflicting:
                tally.conflicting.add(vote.validator)
                return Conflict(first, vote)
        return None

    def wants(self, vote: Vote, current_round: int) -> bool:
        """Tell whether `add` would do anything with this vote."""
        if self._validators.get(vote.validator) is None or vote.round < 0:
            return False
        if vote.round > current_round + MAX_ROUNDS_AHEAD:
            return vote.round > self._reached.get(vote.validator, 0)
        tally = self._tallies.get((vote.round, vote.type))
        if tally is None or vote.validator not in tally.firsts:
            return True
        if tally.holds(vote):
            return False
        supported = tally.support.get(vote.block_id, 0) >= self._validators.minority
        return supported or vote.validator not in tally.conflicting

    def votes(self, round_: int, kind: VoteType) -> tuple[Vote, ...]:
        """Return the votes that count in a round, in the order of the validators' names."""
        tally = self._tallies.get((round_, kind))
        return tuple(tally.all()) if tally else ()

    def rounds(self) -> tuple[int, ...]:
        """Return the rounds that have votes, in order."""
        return tuple(sorted({round_ for round_, _ in self._tallies}))

    def quorum_for(self, round_: int, kind: VoteType, block_id: bytes | None) -> bool:
        """Tell whether 2f+1 voted for this block (or for nil)."""
        tally = self._tallies.get((round_, kind))
        return tally is not None and tally.power.get(block_id, 0) >= self._validators.quorum

    def quorum_any(self, round_: int, kind: VoteType) -> bool:
        """Tell whether 2f+1 voted at all."""
        tally = self._tallies.get((round_, kind))
        return tally is not None and tally.voted >= self._validators.quorum

    def quorum_block(self, round_: int, kind: VoteType) -> bytes | None:
        """Return the block that 2f+1 voted for, if there is one."""
        tally = self._tallies.get((round_, kind))
        if tally is not None:
            for block_id, power in tally.power.items():
                if block_id is not None and power >= self._validators.quorum:
                    return block_id
        return None

    def skip_round(self, current_round: int) -> int | None:
        """Return the highest later round that f+1 have reached or passed, if there is one."""
        power = 0
        for name, round_ in sorted(self._reached.items(), key=lambda item: -item[1]):
            if round_ <= current_round:
                return None
            validator = self._validators.get(name)
            power += validator.power if validator else 0
            if power >= self._validators.minority:
                return round_
        return None

    def certificate(self, height: int, round_: int, block_id: bytes) -> Certificate:
        """Return the precommits for a block as a certificate; the caller knows that they are a quorum."""
        held = self.votes(round_, VoteType.PRECOMMIT)
        signatures = tuple(CommitSig(v.validator, v.signature) for v in held if v.block_id == block_id)
        return Certificate(height, round_, block_id, signatures)
