"""One validator's part of the exploration: the real machine, run on everything that others can make it see.

A machine's states are told apart by what they may lead to, and reached again by running the same events on a
new machine: nothing of the core is copied or modelled. What it is given comes in steps that make a
difference; what does not is left for later, which loses nothing because messages stay available:

- a timer of its round or an earlier one (whether it was asked for or not: safety must not depend on it);
- the block that it asked for; a proposal of its round or an earlier one, while it has none for that round;
- a quorum's votes for one value in one round and step: the least that are needed, the Byzantine one's last;
- votes of two others in a later round, one of them the Byzantine one's.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from provnode.core.events import (
    Commit,
    Effect,
    Event,
    Params,
    ProposalReceived,
    RequestValue,
    SendProposal,
    SendVote,
    Start,
    TimeoutFired,
    ValueReady,
    VoteReceived,
)
from provnode.core.machine import Machine
from provnode.core.types import Proposal, Step, ValidatorSet, Vote, VoteType

HEIGHT = 1
PARAMS = Params(propose_ms=1, vote_ms=1, delta_ms=1)
# two sound blocks, and one that is not
BLOCKS = {"A": b"A" * 32, "B": b"B" * 32, "X": b"X" * 32}
SOUND = ("A", "B")
# of four equal ones, whatever the machine takes for one
_QUORUM = 3
_NAMES = {block: name for name, block in BLOCKS.items()} | {None: "nil"}

Cast = tuple[VoteType, int, str]
"""A vote: its step, its round, and for what."""
Shown = tuple[int, str, int]
"""A proposal: its round, its block, and its valid round."""
Given = tuple[Any, ...]
"""What a machine is given: ("timer", step, round), ("value", round, block), ("proposal", shown),
("quorum", cast) or ("later", round)."""


class ViolationError(Exception):
    """What must never happen has happened."""


@dataclass(slots=True)
class Local:
    """A state of one validator, how it got there, and what others must have sent for that."""

    history: tuple[Given, ...]
    round: int
    step: Step
    votes: frozenset[Cast]
    proposals: frozenset[Shown]
    # what it holds, which blocks of it are sound, and whether it waits for one of its own
    held: frozenset[Shown]
    known: frozenset[str]
    asked: bool
    committed: str | None
    needs: frozenset[Given]


@dataclass(frozen=True, slots=True)
class Setting:
    """Who is there: the validators, the Byzantine one among them, and the last round that is explored.

    With `unsound`, the Byzantine one also proposes a block that is not sound. Without `rules`, single
    validators may do what they like: whether agreement alone shows a fault.
    """

    machine: type[Machine]
    validators: ValidatorSet
    byzantine: str
    rounds: int
    unsound: bool = False
    rules: bool = True

    @property
    def honest(self) -> list[str]:
        """The others, by name."""
        return [one.name for one in self.validators if one.name != self.byzantine]

    def proposer(self, round_: int) -> str:
        """Who proposes."""
        return self.validators.proposer(HEIGHT, round_)

    def lies(self, round_: int) -> Iterator[Shown]:
        """What the Byzantine one may propose in a round; nothing where it is not the proposer."""
        if self.proposer(round_) == self.byzantine:
            for block in BLOCKS if self.unsound else SOUND:
                for valid_round in range(-1, round_):
                    yield round_, block, valid_round


class _Run:
    """A new machine, on its way through a history."""

    def __init__(self, setting: Setting, name: str) -> None:
        self.setting = setting
        self.name = name
        self.machine = setting.machine(setting.validators, name, HEIGHT, PARAMS)
        self.votes: dict[tuple[VoteType, int], str] = {}
        self.proposals: set[Shown] = set()
        self.asked: set[int] = set()
        self.committed: str | None = None
        self._feed(Start())

    def give(self, given: Given) -> None:
        """Give the machine the events of a step. Raises ViolationError."""
        match given:
            case ("timer", step, round_):
                self._feed(TimeoutFired(step, HEIGHT, round_))
            case ("value", round_, block):
                self._feed(ValueReady(HEIGHT, round_, BLOCKS[block]))
            case ("proposal", (round_, block, valid_round)):
                proposer = self.setting.proposer(round_)
                proposal = Proposal(HEIGHT, round_, valid_round, BLOCKS[block], proposer, b"s")
                self._feed(ProposalReceived(proposal, valid=block in SOUND))
            case ("quorum", (kind, round_, block)):
                for name in self._others(kind, round_, block):
                    self._feed(VoteReceived(Vote(kind, HEIGHT, round_, BLOCKS.get(block), name, b"s")))
            case ("later", round_):
                for name in (*self._honest()[:1], self.setting.byzantine):
                    self._feed(VoteReceived(Vote(VoteType.PREVOTE, HEIGHT, round_, None, name, b"s")))

    def _honest(self) -> list[str]:
        return [name for name in self.setting.honest if name != self.name]

    def _others(self, kind: VoteType, round_: int, block: str) -> list[str]:
        """Whose votes make its quorum, beside its own: as few honest ones as may be."""
        own = self.votes.get((kind, round_)) == block
        return [*self._honest()[: self.setting.validators.quorum - 1 - own], self.setting.byzantine]

    def _feed(self, event: Event) -> None:
        waiting = [event]
        while waiting:
            for effect in self.machine.handle(waiting.pop(0)):
                waiting += self._carry_out(effect)

    def _carry_out(self, effect: Effect) -> list[Event]:
        match effect:
            case RequestValue(_, round_):
                self.asked.add(round_)
            case SendProposal(proposal):
                self.proposals.add((proposal.round, _NAMES[proposal.block_id], proposal.valid_round))
                return [ProposalReceived(proposal, valid=True)]
            case SendVote(vote):
                block = _NAMES[vote.block_id]
                before = self.votes.setdefault((vote.type, vote.round), block)
                if before != block:
                    raise ViolationError(f"{self.name} votes {before} and {block} in one step")
                return [VoteReceived(vote)]
            case Commit(certificate):
                self.committed = _NAMES[certificate.block_id]
                names = {one.validator for one in certificate.signatures}
                wrong = len(names) < _QUORUM or self.committed not in SOUND
                if wrong and self.setting.rules:
                    raise ViolationError(f"{self.name} commits {self.committed} by {sorted(names)}")
        return []

    def check(self, needs: frozenset[Given]) -> None:
        """Raise ViolationError for a vote that does not stand on what it has to (lines 28, 29 and 36)."""
        lock: tuple[int, str] | None = None
        for (kind, round_), block in sorted(self.votes.items(), key=lambda vote: (vote[0][1], vote[0][0])):
            if block == "nil":
                continue
            if kind == VoteType.PRECOMMIT:
                if ("quorum", (VoteType.PREVOTE, round_, block)) not in needs:
                    raise ViolationError(f"{self.name} precommits {block} in {round_} without its prevotes")
                lock = round_, block
            elif lock is not None and lock[1] != block:
                since = range(lock[0], round_)
                if not any(("quorum", (VoteType.PREVOTE, at, block)) in needs for at in since):
                    raise ViolationError(
                        f"{self.name} prevotes {block} in {round_}, locked on {lock[1]} since {lock[0]}"
                    )

    def key(self) -> tuple[object, ...]:
        """What tells this state from others."""
        machine = self.machine
        return (
            machine.round,
            machine.step,
            machine.locked,
            machine.valid,
            self.committed,
            frozenset(self.votes.items()),
            frozenset(self.proposals),
            machine.round in self.asked,
            frozenset(machine._valid_blocks),
            self.held(),
            # what was done once in this round; which timers were asked for makes no difference here
            frozenset(what for what, at in machine._done if at == machine.round and "timer" not in what),
        )

    def held(self) -> frozenset[Shown]:
        """The proposals that it holds."""
        return frozenset(
            (round_, _NAMES[one.block_id], one.valid_round)
            for round_, (one, _) in self.machine._proposals.items()
        )


class Locals:
    """All states that one validator can be brought to, each with the least that others must have sent.

    Raises ViolationError, with the way there, for a step that no honest validator may make.
    """

    def __init__(self, setting: Setting, name: str) -> None:
        self.setting = setting
        self.name = name
        self.runs = 0
        self._known: dict[tuple[object, ...], list[Local]] = {}
        first = self._after((), frozenset())
        waiting = deque([first] if first else [])
        while waiting:
            local = waiting.popleft()
            for given in () if local.committed else self._possible(local):
                later = self._after((*local.history, given), local.needs | self._needs(given))
                if later is not None:
                    waiting.append(later)

    def __iter__(self) -> Iterator[Local]:
        """Go through them."""
        return (local for every in self._known.values() for local in every)

    def _needs(self, given: Given) -> set[Given]:
        """What an honest validator must have sent; timers, and votes of later rounds, are free."""
        match given:
            case ("quorum", _):
                return {given}
            case ("proposal", shown) if shown not in self.setting.lies(shown[0]):
                return {given}
        return set()

    def _after(self, history: tuple[Given, ...], needs: frozenset[Given]) -> Local | None:
        """The state that this leads to; None where nothing is new in it, or it lies beyond the bound."""
        self.runs += 1
        run = _Run(self.setting, self.name)
        try:
            for given in history:
                run.give(given)
            if self.setting.rules:
                run.check(needs)
        except ViolationError as error:
            way = "".join(f"\n  {self.name} is given {given}" for given in history)
            raise ViolationError(f"{error}{way}") from error
        known = self._known.setdefault(run.key(), [])
        if run.machine.round > self.setting.rounds or any(one.needs <= needs for one in known):
            return None
        found = Local(
            history,
            run.machine.round,
            run.machine.step,
            frozenset((kind, round_, block) for (kind, round_), block in run.votes.items()),
            frozenset(run.proposals),
            run.held(),
            frozenset(_NAMES[block] for block in run.machine._valid_blocks),
            run.machine.round in run.asked,
            run.committed,
            needs,
        )
        known.append(found)
        return found

    def _possible(self, local: Local) -> Iterator[Given]:
        setting, now = self.setting, local.round
        shown = {one[0]: one for one in local.held}
        for round_ in range(now + 1):
            for step in Step:
                yield "timer", step, round_
            if round_ not in shown and setting.proposer(round_) != self.name:
                yield from self._proposals(local, round_)
        if local.asked:
            for block in SOUND:
                yield "value", now, block
        if local.step >= Step.PREVOTE:
            for block in (*local.known, "nil"):
                yield "quorum", (VoteType.PREVOTE, now, block)
        elif now in shown and shown[now][2] >= 0:
            yield "quorum", (VoteType.PREVOTE, shown[now][2], shown[now][1])
        for round_ in range(setting.rounds + 1):
            for block in local.known:
                yield "quorum", (VoteType.PRECOMMIT, round_, block)
            if round_ > now:
                yield "later", round_

    def _proposals(self, local: Local, round_: int) -> Iterator[Given]:
        """Those that are voted on, and those that make a block known."""
        votes = round_ == local.round and local.step == Step.PROPOSE
        for block in BLOCKS if self.setting.unsound and votes else SOUND:
            for valid_round in range(-1, round_):
                if votes or block not in local.known:
                    yield "proposal", (round_, block, valid_round)
