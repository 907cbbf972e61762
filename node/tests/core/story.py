"""Stories: what happens to one validator, told as commands, and what it does about each.

A story is a text of commands and what the machine answers:

    > prevote v3 A in round 0
    precommit A
    round 0, precommit, locked A@0, valid A@0

Commands, one a line after "> " (blocks are capital letters, None is nil):

    machine v1                                   a new machine of that validator ("onlooker" for none)
    start
    value A in round 0                           the block that was asked for
    proposal A in round 0 [valid 1] [invalid] [by v3]     by the round's proposer where none is named
    prevote v2 A in round 0 | precommit v2 nil in round 0
    timeout propose in round 0

The validators are v1 to v4, the height is 1, so that v2 proposes in round 0, v3 in 1, v4 in 2 and v1 in 3. As
the node does, the teller signs what the machine sends and gives it back.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from provnode.core.events import (
    Commit,
    DoubleProposal,
    DoubleVote,
    Effect,
    Event,
    Params,
    ProposalReceived,
    RequestValue,
    ScheduleTimeout,
    SendProposal,
    SendVote,
    Start,
    TimeoutFired,
    ValueReady,
    VoteReceived,
)
from provnode.core.machine import Machine
from provnode.core.types import Proposal, Step, Validator, ValidatorSet, Vote, VoteType

HEIGHT = 1
PARAMS = Params(propose_ms=1500, vote_ms=800, delta_ms=500)
_PROPOSAL = re.compile(r"proposal (\w) in round (\d+)(?: valid (-?\d+))?( invalid)?(?: by (\w+))?")
_VOTE = re.compile(r"(prevote|precommit) (\w+) (\w+) in round (\d+)")
_TIMEOUT = re.compile(r"timeout (propose|prevote|precommit) in round (\d+)")
_VALUE = re.compile(r"value (\w) in round (\d+)")


def make_validators(powers: dict[str, int]) -> ValidatorSet:
    """A set in which every validator is an organisation of its own."""
    return ValidatorSet(
        tuple(
            Validator(name, f"o-{name}", bytes([4]) + name.encode().rjust(64), power)
            for name, power in powers.items()
        )
    )


FOUR = make_validators({"v1": 1, "v2": 1, "v3": 1, "v4": 1})


def block(name: str) -> bytes | None:
    """The id of the block of that letter."""
    return None if name == "nil" else name.encode() * 32


def letter(block_id: bytes | None) -> str:
    """The letter of a block."""
    return "nil" if block_id is None else chr(block_id[0])


class Teller:
    """Tells one story to a machine."""

    def __init__(self, machine: type[Machine] = Machine, validators: ValidatorSet = FOUR) -> None:
        self._make = machine
        self._validators = validators
        self._machine = machine(validators, None, HEIGHT, PARAMS)

    def tell(self, command: str) -> list[str]:
        """Carry out one command; returns what the machine did, and its state when that has changed."""
        if command.startswith("machine "):
            name = command.split()[1]
            me = None if name == "onlooker" else name
            self._machine = self._make(self._validators, me, HEIGHT, PARAMS)
            return []
        before = self._state()
        lines = list(self._feed(self._parse(command)))
        after = self._state()
        return lines + ([after] if after != before else []) or ["nothing"]

    def _feed(self, event: Event) -> Iterator[str]:
        waiting = [event]
        while waiting:
            for effect in self._machine.handle(waiting.pop(0)):
                yield _describe(effect)
                match effect:
                    case SendProposal(proposal):
                        waiting.append(ProposalReceived(replace(proposal, signature=b"s"), valid=True))
                    case SendVote(vote):
                        waiting.append(VoteReceived(replace(vote, signature=b"s")))

    def _parse(self, command: str) -> Event:
        if command == "start":
            return Start()
        if found := _VALUE.fullmatch(command):
            return ValueReady(HEIGHT, int(found[2]), _id(found[1]))
        if found := _PROPOSAL.fullmatch(command):
            round_ = int(found[2])
            proposer = found[5] or self._validators.proposer(HEIGHT, round_)
            proposal = Proposal(HEIGHT, round_, int(found[3] or -1), _id(found[1]), proposer, b"s")
            return ProposalReceived(proposal, valid=not found[4])
        if found := _VOTE.fullmatch(command):
            kind = VoteType[found[1].upper()]
            return VoteReceived(Vote(kind, HEIGHT, int(found[4]), block(found[3]), found[2], b"s"))
        if found := _TIMEOUT.fullmatch(command):
            return TimeoutFired(Step[found[1].upper()], HEIGHT, int(found[2]))
        raise ValueError(f"no such command: {command!r}")

    def _state(self) -> str:
        machine = self._machine
        parts = [f"round {machine.round}", machine.step.name.lower()]
        for what, held in (("locked", machine.locked), ("valid", machine.valid)):
            if held is not None:
                parts.append(f"{what} {letter(held[1])}@{held[0]}")
        return ", ".join(parts) + (", done" if machine.committed else "")


def _id(name: str) -> bytes:
    return name.encode() * 32


def _describe(effect: Effect) -> str:
    match effect:
        case RequestValue(_, round_):
            return f"ask for a block for round {round_}"
        case SendProposal(proposal):
            return f"propose {letter(proposal.block_id)}, valid round {proposal.valid_round}"
        case SendVote(vote):
            return f"{vote.type.name.lower()} {letter(vote.block_id)}"
        case ScheduleTimeout(step, _, round_, ms):
            return f"{step.name.lower()} timer for round {round_}: {ms} ms"
        case Commit(certificate):
            names = " ".join(signature.validator for signature in certificate.signatures)
            return f"commit {letter(certificate.block_id)}, decided in round {certificate.round} by {names}"
        case DoubleVote(first, second):
            kind = first.type.name.lower()
            return (
                f"evidence: {first.validator} sent {kind} {letter(first.block_id)} and "
                f"{letter(second.block_id)} in round {first.round}"
            )
        case DoubleProposal(one, other):
            return (
                f"evidence: {one.proposer} proposed {letter(one.block_id)} and "
                f"{letter(other.block_id)} in round {one.round}"
            )


def retell(text: str, machine: type[Machine] = Machine, validators: ValidatorSet = FOUR) -> str:
    """The story as this machine makes it: its commands and comments, with what really happens."""
    teller = Teller(machine, validators)
    lines: list[str] = []
    for line in text.splitlines():
        if line.startswith("> "):
            lines += [line, *teller.tell(line[2:])]
        elif line.startswith("#") or not line:
            lines.append(line)
    return "\n".join(lines) + "\n"
