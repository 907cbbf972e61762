"""Byzantine validators that say different things to different peers, or just enough and then nothing.

All of them in a run know each other: what up to f can do, they do together.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from provnode import wire
from provnode.core.types import Proposal, ValidatorSet, VoteType
from tests.simulation.byzantine import Liar
from tests.simulation.network import Cut, Member
from tests.simulation.schedule import STORM_MS

# forks are tried most often: they are what the lock is for
_HABITS = ("noise", "hide", "mute", "far", *["fork"] * 5)
_FLOOD = 60
_NEAR = 2


@dataclass
class Plot:
    """What the equivocators are up to at one height."""

    habit: str
    # ids of those that were proposed
    blocks: list[bytes] = field(default_factory=list)
    victim: str | None = None
    group: frozenset[str] = frozenset()


@dataclass
class Coalition:
    """The equivocators of a run."""

    chance: random.Random
    members: list[Equivocator] = field(default_factory=list)
    plots: dict[int, Plot] = field(default_factory=dict)

    def plot(self, height: int) -> Plot:
        """What they do at a height."""
        if height not in self.plots:
            self.plots[height] = Plot(self.chance.choice(_HABITS))
        return self.plots[height]

    def power(self, validators: ValidatorSet) -> int:
        """How much of the power is theirs."""
        found = (validators.get(one.name) for one in self.members)
        return sum(one.power for one in found if one is not None)


class Equivocator(Liar):
    """Acts once in every round that it hears of."""

    coalition: Coalition

    def boot(self) -> None:
        """Start, remembering nothing of its own."""
        self._acted: set[tuple[int, int]] = set()
        super().boot()

    def receive(self, source: Member, body: bytes) -> None:
        """Listen, and act."""
        super().receive(source, body)
        if not self.up:
            return
        match wire.decode_message(body):
            case wire.VoteMsg(vote):
                self._act(vote.height, vote.round)
                if vote.type == VoteType.PRECOMMIT and vote.block_id is not None:
                    # be in time for the next height
                    self.world.after(60, self._act, vote.height + 1, 0, owner=self)
            case wire.ProposalMsg(proposal) | wire.CompactMsg(proposal):
                known = self.coalition.plot(proposal.height).blocks
                if proposal.block_id not in known:
                    known.append(proposal.block_id)
                    # now there is something to lie about, also where it has acted already
                    self._acted.discard((proposal.height, proposal.round))
                self._act(proposal.height, proposal.round)
            case wire.RoundState(height=height, round=round_):
                self._act(height, round_)

    def _act(self, height: int, round_: int) -> None:
        if not self.up or height != self.height + 1 or (height, round_) in self._acted:
            return
        validators = self.ledger.validators
        near = max(self.consensus.machine.round, 0) + _NEAR
        if validators.get(self.name) is None or round_ > near:
            return  # also what others of them have made up
        self._acted.add((height, round_))
        plot = self.coalition.plot(height)
        mine = validators.proposer(height, round_) == self.name
        if plot.habit == "fork":
            self._fork(plot, height, round_, mine=mine)
        elif mine and plot.habit != "mute":
            for target in self._targets():
                self._propose(plot, height, round_, [target])
        if plot.habit == "noise":
            for kind in VoteType:
                self._vote_apart(plot, kind, height, round_)
        elif plot.habit == "hide" and plot.blocks:
            self._hide(plot, height, round_)
        elif plot.habit == "far":
            self._flood(height, round_)

    def _hide(self, plot: Plot, height: int, round_: int) -> None:
        """Some see a prevote for the block, the others never: those may lock on it."""
        targets = self._targets()
        for place, target in enumerate(targets):
            chosen = plot.blocks[0] if place < (len(targets) + 1) // 2 else None
            self._say(VoteType.PREVOTE, height, round_, chosen, target)
        plot.habit = "mute"

    def _flood(self, height: int, round_: int) -> None:
        """Votes of rounds that are far from here, to fill the memory."""
        for target in self._targets()[:2]:
            for _ in range(_FLOOD):
                far = round_ + self.random.choice((1, 5, 16, 17, 100, 10**6)) + self.random.randrange(1_000)
                self._say(self.random.choice(list(VoteType)), height, far, None, target)

    def _fork(self, plot: Plot, height: int, round_: int, *, mine: bool) -> None:
        """Show a block to just enough, let one of them alone see its decision, cut it off, and start anew.

        The locks of the others who saw it are all that keeps the rest from deciding on another block.
        """
        if plot.victim is None:
            if mine:
                self._choose(plot)
                block = self._propose(plot, height, round_, sorted(plot.group))
                for one in self.coalition.members:
                    if one.up and one.height == self.height:
                        one.support(plot, height, round_, block)
                self.world.after(self.random.randint(20, 200), self._cut_off, plot.victim)
            return
        others = [target for target in self._targets() if target != plot.victim]
        if mine:
            known = self._propose(plot, height, round_, others)
        elif plot.blocks:
            known = plot.blocks[-1]
        else:
            return
        for target in others:
            self._say(VoteType.PREVOTE, height, round_, known, target)
            self._say(VoteType.PRECOMMIT, height, round_, known, target)

    def _choose(self, plot: Plot) -> None:
        """A victim and, with it, just enough honest ones for a quorum."""
        validators = self.ledger.validators
        theirs = {one.name for one in self.coalition.members}
        power = self.coalition.power(validators)
        group: list[str] = []
        for target in self._targets():
            own = validators.get(self.network.members[target].name)
            if own is not None and own.name not in theirs and power < validators.quorum:
                group.append(target)
                power += own.power
        plot.victim, plot.group = group[0] if group else "", frozenset(group)

    def support(self, plot: Plot, height: int, round_: int, block_id: bytes) -> None:
        """Vote as the plot wants it."""
        self._acted.add((height, round_))
        for target in self._targets():
            chosen = block_id if target in plot.group else None
            self._say(VoteType.PREVOTE, height, round_, chosen, target)
        if plot.victim:
            self._say(VoteType.PRECOMMIT, height, round_, block_id, plot.victim)

    def _cut_off(self, victim: str | None) -> None:
        """The network is the adversary's as well, while the storm lasts."""
        if self.world.now < STORM_MS and victim:
            others = frozenset(self.network.members) - {victim}
            self.network.cuts.append(Cut(frozenset({victim}), others))

    def _propose(self, plot: Plot, height: int, round_: int, targets: list[str]) -> bytes:
        txs = self.mempool.reap(10_000)
        now = self.clock.now_ms() + len(plot.blocks)
        raw = self.ledger.build_block(now, self.name, txs)
        if self.random.random() < 0.15:
            raw = self._unsound(raw)
        message = self.proposal(Proposal(height, round_, -1, b"", self.name), raw)
        plot.blocks.append(message.proposal.block_id)
        for target in targets:
            self.tell(target, message)
        return message.proposal.block_id

    def _vote_apart(self, plot: Plot, kind: VoteType, height: int, round_: int) -> None:
        choices = [*plot.blocks, None]
        for target in self._targets():
            self._say(kind, height, round_, self.random.choice(choices), target)

    def _say(self, kind: VoteType, height: int, round_: int, chosen: bytes | None, target: str) -> None:
        self.tell(target, wire.VoteMsg(self.vote(kind, height, round_, chosen)))

    def _targets(self) -> list[str]:
        targets = [address for _, address in self.addresses()]
        self.random.shuffle(targets)
        return targets
