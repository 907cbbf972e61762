"""An honest node in the simulation: the real machine, guard and resending, on a fake disk."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import count

from provnode import wire
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
from provnode.core.guard import GuardError, Signed, decide
from provnode.core.machine import Machine
from provnode.core.types import Certificate, Proposal, ValidatorSet, Vote
from provnode.net.resend import missing, round_state
from tests.core.story import make_validators
from tests.simulation.chain import (
    GENESIS,
    FakeBlock,
    Witness,
    block_id,
    certifies,
    decode,
    encode,
    sign,
)
from tests.simulation.world import CrashedError, World


@dataclass(frozen=True, slots=True)
class Core:
    """The parts of the core that are put to the test; others than the shipped ones have faults planted."""

    machine: type[Machine] = Machine
    validators: type[ValidatorSet] = ValidatorSet
    decide: Callable[[Signed | None, tuple[int, int, int], bytes], bytes | None] = decide
    # whether what led to a proposal is on the disk before the proposal leaves, as it has to be for votes
    sync_proposals: bool = True

    def equal_validators(self, number: int) -> ValidatorSet:
        """v1, v2, … of equal power."""
        return self.validators(make_validators({f"v{n}": 1 for n in range(1, number + 1)}).validators)


PARAMS = Params(propose_ms=200, vote_ms=100, delta_ms=100)
INTERVAL_MS = 50
GOSSIP_MS = 250
_EARLY = 100


class Replica:
    """What survives a crash: `chain`, `log` up to `synced`, `last_signed`. The rest is memory."""

    def __init__(self, name: str, world: World, witness: Witness, core: Core) -> None:
        self.name = name
        self.chain: list[tuple[bytes, Certificate]] = []
        self.log: list[Event | bytes] = []
        self.log_height = 1
        self.synced = 0
        self.last_signed: Signed | None = None
        self.fuse: int | None = None
        # its log's disk keeps nothing over a crash; what it signed last lies elsewhere
        self.forgetful = False
        self.up = False
        self._world = world
        self._witness = witness
        self._core = core
        self._nonces = count()
        self._life = 0
        self._boot()
        self._gossip()

    @property
    def height(self) -> int:
        """The newest height on the disk."""
        return len(self.chain)

    @property
    def tip(self) -> bytes:
        """The id of the newest block."""
        return block_id(self.chain[-1][0]) if self.chain else GENESIS

    # --- life and death

    def down(self) -> None:
        """The process ended: the log's tail that was not synced may be lost, in whole or in part."""
        self.up = False
        self.fuse = None
        self._life += 1
        del self.log[0 if self.forgetful else self._world.random.randint(self.synced, len(self.log)) :]
        self.synced = len(self.log)
        self._world.after(self._world.random.randint(20, 1500), self._boot, self)

    def _boot(self) -> None:
        self.up = True
        self._early: list[wire.Message] = []
        # a crash between a commit and the log's renewal leaves the old height's log
        self._begin(self.log if self.log_height == self.height + 1 else ())

    def _begin(self, log: Iterable[Event | bytes] = ()) -> None:
        """A new machine, brought to where the log of its height ends; then what it asked for is done again.

        The guard decides what may be said again: the same words may, others may not.
        """
        self._life += 1
        self.machine = self._core.machine(self._witness.validators, self.name, self.height + 1, PARAMS)
        self.blocks: dict[bytes, bytes] = {}
        self.log, self.log_height = list(log), self.height + 1
        self.synced = len(self.log)
        effects: list[Effect] = []
        for record in self.log:
            if isinstance(record, bytes):
                self.blocks[block_id(record)] = record
            else:
                effects += self.machine.handle(record)
        self._work(effects, ())
        self._later(INTERVAL_MS, Start())
        early, self._early = self._early, []
        for message in early:
            self.receive("", message)

    def _later(self, ms: int, event: Event) -> None:
        life = self._life
        self._world.after(ms, lambda: self._feed(event) if life == self._life else None, self)

    def _may_crash(self) -> None:
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise CrashedError

    # --- messages

    def receive(self, peer: str, message: wire.Message) -> None:
        """Take a message from the network."""
        if not self.up:
            return
        match message:
            case wire.VoteMsg(vote):
                self._take_vote(vote, message)
            case wire.ProposalMsg(proposal, raw):
                self._take_proposal(proposal, raw, message)
            case wire.RoundState():
                for answer in missing(self.machine, self.blocks, message):
                    self._world.send(self.name, peer, answer)
            case wire.StatusMsg(height):
                if height > self.height:
                    self._world.send(self.name, peer, wire.BlockRequest(self.height + 1, 4))
            case wire.BlockRequest(height, wanted):
                found = tuple(self.chain[height - 1 : height - 1 + wanted])
                self._world.send(self.name, peer, wire.BlockResponse(found))
            case wire.BlockResponse(blocks):
                for raw, certificate in blocks:
                    self._take_block(raw, certificate)

    def _take_vote(self, vote: Vote, message: wire.Message) -> None:
        if vote.height == self.machine.height + 1 and len(self._early) < _EARLY:
            self._early.append(message)
        if self.machine.wants(vote):
            if vote.signature != sign(vote.validator, wire.vote_sign_bytes(GENESIS, vote)):
                return
            self._feed(VoteReceived(vote))

    def _take_proposal(self, proposal: Proposal, raw: bytes, message: wire.Message) -> None:
        if proposal.height == self.machine.height + 1 and len(self._early) < _EARLY:
            self._early.append(message)
        if not self.machine.wants_proposal(proposal):
            return
        signed = wire.proposal_sign_bytes(GENESIS, proposal)
        if proposal.signature != sign(proposal.proposer, signed) or block_id(raw) != proposal.block_id:
            return
        valid = self.machine.proposal(proposal.round) is None and self._is_sound(raw)
        if valid:
            self._keep_block(raw)
        self._feed(ProposalReceived(proposal, valid))

    def _take_block(self, raw: bytes, certificate: Certificate) -> None:
        fits = certificate.height == self.height + 1 and self._is_sound(raw)
        if fits and certifies(certificate, self.height + 1, block_id(raw), self._witness.validators):
            self._commit(raw, certificate)

    def _is_sound(self, raw: bytes) -> bool:
        block = decode(raw)
        return block.sound and (block.height, block.parent) == (self.height + 1, self.tip)

    def _gossip(self) -> None:
        if self.up:
            self._world.broadcast(self.name, round_state(self.machine))
            self._world.broadcast(self.name, wire.StatusMsg(self.height))
        self._world.after(GOSSIP_MS, self._gossip, self)

    # --- the machine

    def _feed(self, event: Event) -> None:
        self._work((), [event])

    def _work(self, effects: Iterable[Effect], events: Iterable[Event]) -> None:
        life, waiting, todo = self._life, deque(events), deque(effects)
        while life == self._life and (todo or waiting):
            if todo:
                waiting.extend(self._carry_out(todo.popleft()))
                continue
            event = waiting.popleft()
            self._may_crash()
            self.log.append(event)
            todo.extend(self.machine.handle(event))

    def _carry_out(self, effect: Effect) -> list[Event]:
        self._may_crash()
        match effect:
            case RequestValue(height, round_):
                block = FakeBlock(height, self.tip, self.name, self._nonce(), sound=True)
                raw = encode(block)
                self._keep_block(raw)
                self._later(self._world.random.randint(0, 120), ValueReady(height, round_, block_id(raw)))
            case SendProposal(proposal):
                return self._propose(proposal)
            case SendVote(vote):
                return self._vote(vote)
            case ScheduleTimeout(step, height, round_, ms):
                self._later(ms, TimeoutFired(step, height, round_))
            case Commit(certificate):
                self._commit(self.blocks[certificate.block_id], certificate)
            case DoubleVote(first, second):
                self._witness.saw_evidence(first, second)
            case DoubleProposal(one, other):
                self._witness.saw_double_proposal(one, other)
        return []

    def _propose(self, unsigned: Proposal) -> list[Event]:
        if self._core.sync_proposals:
            self.synced = len(self.log)
        message = wire.proposal_sign_bytes(GENESIS, unsigned)
        signature = self._sign((unsigned.height, unsigned.round, 0), message)
        if signature is None:
            return []
        proposal = replace(unsigned, signature=signature)
        self._witness.saw_proposal(proposal)
        raw = self.blocks[proposal.block_id]
        self._world.broadcast(self.name, wire.ProposalMsg(proposal, raw))
        return [ProposalReceived(proposal, valid=True)]

    def _vote(self, unsigned: Vote) -> list[Event]:
        # what led to the vote is on the disk before it leaves
        self.synced = len(self.log)
        message = wire.vote_sign_bytes(GENESIS, unsigned)
        signature = self._sign((unsigned.height, unsigned.round, int(unsigned.type)), message)
        if signature is None:
            return []
        vote = replace(unsigned, signature=signature)
        self._witness.saw_vote(vote)
        self._world.broadcast(self.name, wire.VoteMsg(vote))
        self._may_crash()
        return [VoteReceived(vote)]

    def _sign(self, place: tuple[int, int, int], message: bytes) -> bytes | None:
        try:
            known = self._core.decide(self.last_signed, place, message)
        except GuardError:
            return None
        if known is not None:
            return known
        self.last_signed = Signed(*place, message, sign(self.name, message))
        self._may_crash()
        return self.last_signed.signature

    def _keep_block(self, raw: bytes) -> None:
        if block_id(raw) not in self.blocks:
            self.blocks[block_id(raw)] = raw
            self.log.append(raw)

    def _commit(self, raw: bytes, certificate: Certificate) -> None:
        self._witness.saw_commit(self.name, raw, self.tip, certificate)
        self.chain.append((raw, certificate))
        self._may_crash()
        self._begin()

    def _nonce(self) -> int:
        return next(self._nonces)
