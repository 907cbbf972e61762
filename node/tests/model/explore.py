"""Agreement of three honest validators and a Byzantine one, over all that can happen in a few rounds.

The Byzantine one may send any vote, and in its turn any proposal, to anyone at any time; the network may hold
back, reorder and lose what it likes. What was sent can be delivered ever after, so a validator's state
depends on the others only by what they must have sent for it. Three states can therefore be there together
only if each has sent what the other two need; all triples in which two have committed different blocks are
tried. (That what they need must also have come in some order is left aside: it can only rule out more.)

`local` checks the rest, in each state of each validator: one vote a step, certificates of a quorum, only
sound blocks, precommits on a quorum's prevotes (line 36), the lock (lines 28 and 29).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import permutations, product

from tests.model.local import Local, Locals, Setting, ViolationError


@dataclass(frozen=True, slots=True)
class Explored:
    """What an exploration came to: runs of the machine, states, and pairs of states that decided apart."""

    runs: int
    states: int
    pairs: int


@dataclass(frozen=True, slots=True)
class _Part:
    """A state as sets in bits: what it has voted and proposed, and which of both others must have."""

    votes: int
    proposals: int
    quorums: int
    shown: int
    local: Local


class _Bits:
    """Gives each vote and each proposal a bit."""

    def __init__(self) -> None:
        self._bit: dict[object, int] = {}

    def mask(self, items: Iterable[object]) -> int:
        """The set of these."""
        return sum(1 << self._bit.setdefault(item, len(self._bit)) for item in items)

    def part(self, local: Local) -> _Part:
        """The state in bits."""
        return _Part(
            self.mask(local.votes),
            self.mask(local.proposals),
            self.mask(wanted for what, wanted in local.needs if what == "quorum"),
            self.mask(wanted for what, wanted in local.needs if what == "proposal"),
            local,
        )


def explore(setting: Setting) -> Explored:
    """Try everything. Raises ViolationError, with the way to it."""
    every = {name: Locals(setting, name) for name in setting.honest}
    bits = _Bits()
    parts = {name: _best(bits.part(local) for local in found) for name, found in every.items()}
    least = setting.validators.quorum - 1
    pairs = 0
    for one, other, third in permutations(parts, 3):
        if one > other:
            continue
        helpers: dict[tuple[int, int], list[_Part]] = {}
        for first, second in product(_decided(parts[one]), _decided(parts[other])):
            if first.local.committed == second.local.committed:
                continue
            pairs += 1
            for last in _helpers(first, second, parts[third], least, helpers):
                if _together((first, second, last), least):
                    raise ViolationError(_told({one: first.local, other: second.local, third: last.local}))
    runs = sum(one.runs for one in every.values())
    return Explored(runs, sum(1 for one in every.values() for _ in one), pairs)


def _best(parts: Iterable[_Part]) -> list[_Part]:
    """Those that no other outdoes: that has decided the same, needs no more of others and gives no less."""
    best: list[_Part] = []
    for part in sorted(parts, key=_cost):
        if not any(_outdone(part, by) for by in best):
            best.append(part)
    return best


def _cost(part: _Part) -> tuple[int, int]:
    return part.quorums.bit_count() + part.shown.bit_count(), -part.votes.bit_count()


def _outdone(part: _Part, by: _Part) -> bool:
    return (
        by.local.committed == part.local.committed
        and not part.votes & ~by.votes
        and not part.proposals & ~by.proposals
        and not by.quorums & ~part.quorums
        and not by.shown & ~part.shown
    )


def _decided(parts: Iterable[_Part]) -> list[_Part]:
    return [part for part in parts if part.local.committed]


def _helpers(
    first: _Part, second: _Part, parts: list[_Part], least: int, known: dict[tuple[int, int], list[_Part]]
) -> list[_Part]:
    """The third one's states that have what two others need and don't have from one another."""
    needs, any_ = first.quorums | second.quorums, first.votes | second.votes
    if least > 1 and needs & ~any_:
        return []
    lacking = needs & ~(first.votes & second.votes if least > 1 else any_)
    unshown = (first.shown | second.shown) & ~(first.proposals | second.proposals)
    if (lacking, unshown) not in known:
        known[lacking, unshown] = [
            part for part in parts if not lacking & ~part.votes and not unshown & ~part.proposals
        ]
    return known[lacking, unshown]


def _together(parts: tuple[_Part, _Part, _Part], least: int) -> bool:
    """Whether each has what it needs of the others."""
    a, b, c = (part.votes for part in parts)
    enough = a & b | a & c | b & c if least > 1 else a | b | c
    shown = parts[0].proposals | parts[1].proposals | parts[2].proposals
    return all(not part.quorums & ~enough and not part.shown & ~shown for part in parts)


def _told(locals_: dict[str, Local]) -> str:
    lines = ["two blocks are decided"]
    for name, local in locals_.items():
        lines.append(f"{name} commits {local.committed}, after it is given")
        lines += [f"  {given}" for given in local.history]
    return "\n".join(lines)
