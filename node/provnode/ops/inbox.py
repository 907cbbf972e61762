"""What the consensus takes in, one after another: votes, proposals, blocks, timers."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from dataclasses import dataclass

from provnode.core.events import TimeoutFired
from provnode.core.types import Certificate, Proposal, Vote

_MOST_VOTES = 20_000
_MOST_PROPOSALS = 64
# of one peer: its own, and what it passes on of others'
_MOST_PROPOSALS_OF_PEER = 8
# bytes of the blocks that come along; at least the largest one fits
_MOST_PROPOSED = 64 * 1024 * 1024
_MOST_RESPONSES = 4


@dataclass(frozen=True, slots=True)
class VoteFrom:
    """A vote as `peer` sent it; nothing about it is checked."""

    peer: str
    vote: Vote


@dataclass(frozen=True, slots=True)
class ProposalFrom:
    """A proposal and its block as `peer` sent it; nothing about it is checked."""

    peer: str
    proposal: Proposal
    block: bytes


@dataclass(frozen=True, slots=True)
class BlocksFrom:
    """Committed blocks as `peer` sent them; nothing about them is checked."""

    peer: str
    blocks: tuple[tuple[bytes, Certificate], ...]


class Inbox:
    """Bounded by kind, so that none keeps the others out. What does not fit is dropped: it is resent."""

    def __init__(self) -> None:
        self.votes: deque[VoteFrom] = deque()
        self.proposals: deque[ProposalFrom] = deque()
        self.blocks: deque[BlocksFrom] = deque()
        self.timeouts: deque[TimeoutFired] = deque()
        self._wake = asyncio.Event()

    def put_vote(self, item: VoteFrom) -> None:
        """Add a vote, unless there are too many."""
        if len(self.votes) < _MOST_VOTES:
            self.votes.append(item)
            self._wake.set()

    def put_proposal(self, item: ProposalFrom) -> None:
        """Add a proposal, unless there are too many, of this peer or of all."""
        of_peer = sum(one.peer == item.peer for one in self.proposals)
        size = len(item.block) + sum(len(one.block) for one in self.proposals)
        room = len(self.proposals) < _MOST_PROPOSALS and size <= _MOST_PROPOSED
        if room and of_peer < _MOST_PROPOSALS_OF_PEER:
            self.proposals.append(item)
            self._wake.set()

    def put_blocks(self, item: BlocksFrom) -> None:
        """Add an answer of block sync, unless there are too many."""
        if len(self.blocks) < _MOST_RESPONSES:
            self.blocks.append(item)
            self._wake.set()

    def put_timeout(self, event: TimeoutFired) -> None:
        """Add a timer of this node's own."""
        self.timeouts.append(event)
        self._wake.set()

    def wake(self) -> None:
        """Let the consensus look around: something outside has changed."""
        self._wake.set()

    async def wait(self, seconds: float | None) -> None:
        """Return when there is something new, or after `seconds`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()
