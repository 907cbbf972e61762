"""Drives the machine: one height after another, from what peers and timers bring to durable blocks.

One task does all of this, one thing after another, so there is no lock to forget. What costs time
(signatures, execution, the disk) runs in threads meanwhile; the event loop stays free.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Iterable, Sequence
from typing import Protocol

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
from provnode.core.guard import GuardError
from provnode.core.machine import Machine
from provnode.core.types import Certificate, Proposal, Vote
from provnode.crypto.provider import Provider
from provnode.ledger.app import Committed, Ledger
from provnode.ledger.errors import BlockError, OtherBlockError
from provnode.ledger.mempool import Mempool
from provnode.ledger.misconduct import MAX_PER_BLOCK, evidence_transaction
from provnode.net.events import log_event
from provnode.ops.clock import Clock, SystemClock, Timer
from provnode.ops.evidence import EvidencePool
from provnode.ops.inbox import BlocksFrom, Inbox, ProposalFrom
from provnode.ops.intake import Intake
from provnode.ops.journal import Journal
from provnode.ops.room import BlockRoom
from provnode.ops.signer import Signer
from provnode.ops.threads import Threads
from provnode.ops.timing import StepTimes

log = logging.getLogger(__name__)
# without transactions, a block is made after so many intervals, so that it shows that the chain lives
EMPTY_BLOCK_INTERVALS = 5


class Outlet(Protocol):
    """Where the consensus speaks to."""

    def send_proposal(self, proposal: Proposal, block: bytes) -> None:
        """Send this node's proposal to every peer."""

    def send_vote(self, vote: Vote) -> None:
        """Send this node's vote to every peer."""

    def send_evidence(self, evidence: Sequence[wire.Evidence]) -> None:
        """Send evidence to every peer."""

    def behind(self, height: int) -> bool:
        """Whether blocks come by sync, so that there is nothing to vote on."""

    def on_committed(self, committed: Committed) -> None:
        """A block is durable."""

    def on_violation(self, peer: str, reason: str, message: str) -> None:
        """A peer sent what no correct node sends."""

    def on_unusable(self, peer: str) -> None:
        """The blocks of a peer do not continue this node's chain."""


class Consensus:
    """The consensus of one node. Without `signer` it follows and votes for nothing."""

    def __init__(
        self,
        ledger: Ledger,
        mempool: Mempool,
        signer: Signer | None,
        journal: Journal | None,
        threads: Threads,
        outlet: Outlet,
        provider: Provider,
        evidence: EvidencePool,
        clock: Clock | None = None,
    ) -> None:
        self.inbox = Inbox()
        self.started = False
        # a block is being executed
        self.judging = False
        self._clock = clock or SystemClock()
        self.step_times = StepTimes(self._clock.monotonic)
        self._ledger = ledger
        self._mempool = mempool
        self._signer = signer
        self._journal = journal
        self._evidence = evidence
        self._threads = threads
        self._outlet = outlet
        params = ledger.genesis.params
        self._params = Params(params.propose_timeout_ms, params.vote_timeout_ms, params.timeout_delta_ms)
        self._interval = params.block_interval_ms / 1000
        self._room = BlockRoom(params.max_block_bytes)
        self._intake = Intake(ledger.genesis.hash, threads, provider)
        self._timers: list[Timer] = []
        self._started_at = self._clock.monotonic() - self._interval
        self._called = False
        self._new_height()

    # --- life

    async def run(self) -> None:
        """Run until cancelled. Raises StoreError for a disk that can't be trusted."""
        await self.replay()
        while True:
            await self.inbox.wait(self.patience())
            await self.turn()

    async def turn(self) -> None:
        """Take what has come, and begin the height if it is time."""
        await self._take_blocks()
        await self._take_votes()
        await self._take_proposals()
        # timers last: what came in time counts, even if this task was busy when it came
        await self._take_timeouts()
        if not self.started and self._may_start():
            await self._start()

    def _new_height(self) -> None:
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self.inbox.timeouts.clear()
        validators = self._ledger.validators
        me = self._signer.take_part(validators, self._ledger.height + 1) if self._signer else None
        self.machine = Machine(validators, me, self._ledger.height + 1, self._params)
        self.blocks: dict[bytes, bytes] = {}
        self._own: bytes | None = None
        self.started = self._called = False
        self.step_times.enter("wait", self.machine.height, 0)
        self._intake.new_height(self.inbox)

    async def replay(self) -> None:
        """Continue the height where the process before this one ended. Raises StoreError."""
        if self._journal is None:
            return
        events, self.blocks = self._journal.replay()
        pending: list[Effect] = []
        for event in events:
            pending = [effect for effect in pending if not _answers(event, effect, self.machine.me)]
            pending += self.machine.handle(event)
        if events:
            self.started, self._called = self.machine.round >= 0, True
            log_event(log, logging.INFO, "consensus.replayed", height=self.machine.height, events=len(events))
        await self._carry_on(pending)

    def patience(self) -> float | None:
        """Seconds until this node has a reason of its own to look again."""
        if self.started or self._outlet.behind(self._ledger.height):
            return 1.0
        return max(0.0, self._start_time() - self._clock.monotonic())

    def _start_time(self) -> float:
        if self._called:
            return 0.0
        intervals = 1 if len(self._mempool) else EMPTY_BLOCK_INTERVALS
        return self._started_at + intervals * self._interval

    def _may_start(self) -> bool:
        return self._clock.monotonic() >= self._start_time() and not self._outlet.behind(self._ledger.height)

    async def _start(self) -> None:
        self.started = True
        self._started_at = self._clock.monotonic()
        await self._feed([Start()])

    # --- intake

    async def _take_votes(self) -> None:
        votes = await self._intake.votes(self.machine, self.inbox, self._outlet.on_violation)
        if votes:
            self._called = True  # somebody has begun this height: so do we
            await self._feed(VoteReceived(vote) for vote in votes)

    async def _take_proposals(self) -> None:
        while self.inbox.proposals:
            item = self.inbox.proposals.popleft()
            if await self._intake.proposal(self.machine, item, self._outlet.on_violation):
                self._called = True
                if self.machine.proposal(item.proposal.round) is None:
                    await self._judge(item)
                else:  # another block of this round's proposer: evidence, whatever the block
                    await self._feed([ProposalReceived(item.proposal, valid=False)])

    async def _judge(self, item: ProposalFrom) -> None:
        block_id = item.proposal.block_id
        valid = block_id in self.blocks  # proposed again, in a later round
        if not valid:
            now_ms = self._clock.now_ms()
            try:
                self.judging = True
                await self._threads.write(self._ledger.validate_block, item.block, now_ms, block_id)
                valid = True
                self._keep_block(block_id, item.block)
            except OtherBlockError as error:
                return self._outlet.on_violation(item.peer, "block_id", str(error))
            except BlockError as error:
                log_event(
                    log, logging.WARNING, "consensus.bad_block", proposer=item.proposal.proposer, error=error
                )
            finally:
                self.judging = False
        return await self._feed([ProposalReceived(item.proposal, valid)])

    async def _take_timeouts(self) -> None:
        while self.inbox.timeouts:
            await self._feed([self.inbox.timeouts.popleft()])

    async def _take_blocks(self) -> None:
        while self.inbox.blocks:
            item = self.inbox.blocks.popleft()
            try:
                await self._take_response(item)
            except BlockError as error:
                log_event(log, logging.WARNING, "sync.bad_block", peer=item.peer, error=error)
                self._outlet.on_unusable(item.peer)
                self._outlet.on_violation(item.peer, "bad_block", str(error))

    async def _take_response(self, item: BlocksFrom) -> None:
        for raw, certificate in item.blocks:
            if certificate.height <= self._ledger.height:
                continue
            if certificate.height != self._ledger.height + 1:
                return  # those before it could not be used: all are asked for again
            await self._commit(raw, certificate)

    # --- the machine

    async def _feed(self, events: Iterable[Event]) -> None:
        """Give events to the machine and carry out what it asks for, and what follows from that."""
        machine, waiting = self.machine, deque(events)
        while waiting and machine is self.machine:
            event = waiting.popleft()
            if self._journal is not None:
                self._journal.event(event)
            effects = machine.handle(event)
            if machine.round >= 0 and not machine.committed:
                self.step_times.enter(machine.step.name.lower(), machine.height, machine.round)
            for effect in effects:
                if machine is self.machine:
                    waiting.extend(await self._carry_out(effect))

    async def _carry_on(self, effects: Iterable[Effect]) -> None:
        machine = self.machine
        for effect in effects:
            if machine is self.machine:
                await self._feed(await self._carry_out(effect))

    async def _carry_out(self, effect: Effect) -> list[Event]:
        match effect:
            case RequestValue(height, round_):
                return await self._build(height, round_)
            case SendProposal(proposal):
                return await self._send_proposal(proposal)
            case SendVote(vote):
                return await self._send_vote(vote)
            case ScheduleTimeout(step, height, round_, ms):
                fired = TimeoutFired(step, height, round_)
                self._timers.append(self._clock.call_later(ms / 1000, self.inbox.put_timeout, fired))
            case Commit(certificate):
                await self._commit(self.blocks[certificate.block_id], certificate)
            case DoubleVote(first, second):
                await self._report(wire.make_evidence(first, second))
            case DoubleProposal(one, other):
                await self._report(wire.make_evidence(one, other))
        return []

    async def _report(self, found: wire.Evidence) -> None:
        new = await self._threads.durably(lambda: self._evidence.add(found))
        log_event(
            log,
            logging.ERROR,
            "evidence.found",
            validator=found.validator,
            height=found.height,
            round=found.round,
            kind=found.kind,
            first=found.first.block_id,
            second=found.second.block_id,
        )
        if new:
            self._outlet.send_evidence([found])

    async def _build(self, height: int, round_: int) -> list[Event]:
        """Make this node's block of the height, once: in later rounds it is known, and judged, already.

        A new one each round would fill memory and log, and take each round the time that the last one lacked.
        """
        if self._own is None:
            self._own = await self._new_block()
        return [ValueReady(height, round_, self._own)]

    async def _new_block(self) -> bytes:
        genesis = self._ledger.genesis
        evidence = self._evidence.pending()[:MAX_PER_BLOCK]
        txs = [evidence_transaction(genesis.hash, found) for found in evidence]
        txs += self._mempool.reap(self._room.bytes)
        now_ms, me = self._clock.now_ms(), self.machine.me or ""
        raw = await self._threads.write(self._ledger.build_block, now_ms, me, txs)
        block_id = wire.decode_block(raw).block_id
        self._keep_block(block_id, raw)
        return block_id

    async def _send_proposal(self, unsigned: Proposal) -> list[Event]:
        signer, journal = self._signer, self._journal
        if signer is None or journal is None:
            return []

        def sign() -> Proposal:
            # as with votes: a restart that came back to an earlier round could never vote there again, since
            # the guard remembers this later place, and the votes it had cast there might have reached nobody
            journal.sync()
            return signer.proposal(unsigned)

        try:
            signed = await self._threads.durably(sign)
        except GuardError as error:
            log_event(log, logging.WARNING, "signer.refused", error=error)
            return []
        self._outlet.send_proposal(signed, self.blocks[signed.block_id])
        return [ProposalReceived(signed, valid=True)]

    async def _send_vote(self, unsigned: Vote) -> list[Event]:
        signer, journal = self._signer, self._journal
        if signer is None or journal is None:
            return []

        def sign() -> Vote:
            # what led to this vote is on the disk before the vote leaves, so a restart votes the same way
            journal.sync()
            return signer.vote(unsigned)

        try:
            signed = await self._threads.durably(sign)
        except GuardError as error:
            log_event(log, logging.WARNING, "signer.refused", error=error)
            return []
        self._outlet.send_vote(signed)
        return [VoteReceived(signed)]

    async def _commit(self, raw: bytes, certificate: Certificate) -> None:
        self.step_times.enter("commit", certificate.height, certificate.round)
        passed = [self.machine.proposal(round_) for round_ in range(certificate.round)]
        self._room.settle(
            len(self.blocks[one.block_id]) for one in passed if one and one.block_id in self.blocks
        )
        committed = await self._threads.durably(lambda: self._ledger.commit(raw, certificate))
        await self._threads.check(self._mempool.remove, committed.txids)
        if len(self._evidence):
            await self._threads.durably(self._evidence.settle)
        journal = self._journal
        if journal is not None:
            await self._threads.durably(lambda: journal.reset(committed.height + 1))
        self._outlet.on_committed(committed)
        self._new_height()

    def _keep_block(self, block_id: bytes, raw: bytes) -> None:
        self.blocks[block_id] = raw
        if self._journal is not None:
            self._journal.block(block_id, raw)


def _answers(event: Event, effect: Effect, me: str | None) -> bool:
    """Whether a logged event shows that this effect was carried out before the crash."""
    match effect, event:
        case RequestValue(height, round_), ValueReady():
            return (event.height, event.round) == (height, round_)
        case SendProposal(proposal), ProposalReceived(found, _):
            return found.proposer == me and found.round == proposal.round
        case SendVote(vote), VoteReceived(given):
            return given.validator == me and (given.type, given.round) == (vote.type, vote.round)
        case ScheduleTimeout(step, height, round_, _), TimeoutFired():
            return (event.step, event.height, event.round) == (step, height, round_)
    return False
