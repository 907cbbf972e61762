"""What peers send waits in bounds, of each and of all."""

from __future__ import annotations

import asyncio

from provnode.core.types import Proposal
from provnode.ops.inbox import Inbox, ProposalFrom

MIB = 1024 * 1024


def offer(inbox: Inbox, peer: str, size: int, times: int = 1) -> int:
    """How many of so many proposals of a peer are taken."""
    before = len(inbox.proposals)
    item = ProposalFrom(peer, Proposal(1, 0, -1, bytes(32), peer, b""), bytes(size))
    for _ in range(times):
        inbox.put_proposal(item)
    return len(inbox.proposals) - before


def test_no_peer_takes_the_others_places() -> None:
    inbox = Inbox()
    assert offer(inbox, "v1", 100, 1_000) == 8
    assert offer(inbox, "v2", 100) == 1
    for number in range(100):
        offer(inbox, f"n{number}", 100, 1_000)
    assert len(inbox.proposals) == 64


def test_blocks_that_wait_are_bounded_in_bytes_and_each_has_room_once_others_are_taken() -> None:
    inbox = Inbox()
    taken = [offer(inbox, f"n{number}", 16 * MIB, 3) for number in range(10)]
    assert sum(taken) == 4
    inbox.proposals.popleft()
    assert offer(inbox, "v2", 16 * MIB) == 1


def test_what_is_dropped_wakes_nobody() -> None:
    async def scenario() -> None:
        inbox = Inbox()
        offer(inbox, "v1", 100, 8)
        await inbox.wait(None)
        assert offer(inbox, "v1", 100) == 0
        assert not inbox._wake.is_set()

    asyncio.run(scenario())
