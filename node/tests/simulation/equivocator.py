"""One Byzantine validator: it says different things to different peers, or just enough and then nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import count

from provnode import wire
from provnode.core.types import Proposal, Vote, VoteType
from tests.simulation.chain import GENESIS, FakeBlock, Witness, block_id, encode, sign
from tests.simulation.world import World

# forks are tried most often: they are what the lock is for
_HABITS = ("noise", "hide", "mute", "far", "fork", "fork", "fork")


class Equivocator:
    """Acts once in every round that it hears of; a habit a height."""

    def __init__(self, name: str, world: World, witness: Witness, cuts_until: int) -> None:
        self.name = name
        self.cuts_until = cuts_until
        self._world = world
        self._witness = witness
        self._acted: set[tuple[int, int]] = set()
        self._habits: dict[int, str] = {}
        self._known: dict[int, list[bytes]] = {}
        self._nonces = count()
        self._victims: dict[int, str] = {}

    def down(self) -> None:
        """It does not crash."""

    def receive(self, peer: str, message: wire.Message) -> None:
        """Listen, and act."""
        match message:
            case wire.VoteMsg(vote):
                self._act(vote.height, vote.round)
                if vote.type == VoteType.PRECOMMIT and vote.block_id is not None:
                    # be in time for the next height
                    self._world.after(60, lambda: self._act(vote.height + 1, 0))
            case wire.ProposalMsg(proposal):
                known = self._known.setdefault(proposal.height, [])
                if proposal.block_id not in known:
                    known.append(proposal.block_id)
                    # now there is something to lie about, also where it has acted already
                    self._acted.discard((proposal.height, proposal.round))
                self._act(proposal.height, proposal.round)
            case wire.RoundState(height, round_):
                self._act(height, round_)

    def _act(self, height: int, round_: int) -> None:
        if (height, round_) in self._acted:
            return
        self._acted.add((height, round_))
        habit = self._habits.setdefault(height, self._world.random.choice(_HABITS))
        if habit == "fork":
            self._fork(height, round_)
        elif self._witness.validators.proposer(height, round_) == self.name and habit != "mute":
            self._propose_two(height, round_)
        if habit == "noise":
            for kind in VoteType:
                self._vote_apart(kind, height, round_)
        elif habit == "hide" and self._known.get(height):
            # two see a prevote for the block, the others never: those two may lock on it
            self._vote_apart(VoteType.PREVOTE, height, round_, split=True)
            self._habits[height] = "mute"
        elif habit == "far":
            for kind in VoteType:
                self._vote_apart(kind, height, round_ + self._world.random.choice((1, 5, 100)))

    def _fork(self, height: int, round_: int) -> None:
        """Show a block to two peers, let one of them alone see its decision, cut it off, and start anew.

        The second peer's lock is all that keeps the rest from deciding on another block.
        """
        victim = self._victims.get(height)
        mine = self._witness.validators.proposer(height, round_) == self.name
        if victim is None and mine:
            victim, helper, *rest = self._peers()
            self._victims[height] = victim
            block = self._propose(height, round_, [victim, helper])
            for peer in (victim, helper):
                self._vote(VoteType.PREVOTE, height, round_, block, peer)
            for peer in rest:
                self._vote(VoteType.PREVOTE, height, round_, None, peer)
            self._vote(VoteType.PRECOMMIT, height, round_, block, victim)
            self._world.after(self._world.random.randint(20, 200), lambda: self._cut_off(victim))
        elif victim is not None:
            others = [peer for peer in self._peers() if peer != victim]
            known = [self._propose(height, round_, others)] if mine else self._known[height]
            for peer in others:
                self._vote(VoteType.PREVOTE, height, round_, known[-1], peer)
                self._vote(VoteType.PRECOMMIT, height, round_, known[-1], peer)

    def _cut_off(self, victim: str) -> None:
        """The network is the adversary's as well, while the storm lasts."""
        if self._world.now < self.cuts_until:
            self._world.part({victim: 1})
            self._world.after(self.cuts_until - self._world.now, lambda: self._world.part({}))

    def _propose_two(self, height: int, round_: int) -> None:
        for peer in self._peers():
            self._propose(height, round_, [peer], sound=self._world.random.random() < 0.7)

    def _propose(self, height: int, round_: int, peers: list[str], *, sound: bool = True) -> bytes:
        parent = self._witness.decided.get(height - 1, GENESIS)
        raw = encode(FakeBlock(height, parent, self.name, next(self._nonces), sound))
        self._known.setdefault(height, []).append(block_id(raw))
        unsigned = Proposal(height, round_, -1, block_id(raw), self.name)
        signature = sign(self.name, wire.proposal_sign_bytes(GENESIS, unsigned))
        for peer in peers:
            message = wire.ProposalMsg(replace(unsigned, signature=signature), raw)
            self._world.send(self.name, peer, message)
        return block_id(raw)

    def _vote_apart(self, kind: VoteType, height: int, round_: int, *, split: bool = False) -> None:
        choices = [*self._known.get(height, []), None]
        for place, peer in enumerate(self._peers()):
            chosen = self._world.random.choice(choices)
            if split:
                chosen = choices[0] if place < 2 else None
            self._vote(kind, height, round_, chosen, peer)

    def _vote(self, kind: VoteType, height: int, round_: int, chosen: bytes | None, peer: str) -> None:
        vote = Vote(kind, height, round_, chosen, self.name)
        signature = sign(self.name, wire.vote_sign_bytes(GENESIS, vote))
        self._world.send(self.name, peer, wire.VoteMsg(replace(vote, signature=signature)))

    def _peers(self) -> list[str]:
        peers = [name for name in self._world.members if name != self.name]
        self._world.random.shuffle(peers)
        return peers
