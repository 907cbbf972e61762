"""Block sync's choices, what is sent again, and rate limits: pure, so every case is cheap."""

from __future__ import annotations

import pytest
from provnode import wire
from provnode.core.events import Params, ProposalReceived, Start, VoteReceived
from provnode.core.machine import Machine
from provnode.core.types import Proposal, Validator, ValidatorSet, Vote, VoteType
from provnode.net.limits import Bucket
from provnode.net.resend import missing, round_state
from provnode.net.sync import BATCH_BLOCKS, BlockSync, Request

VALIDATORS = ValidatorSet(
    tuple(Validator(f"v{n}", f"o{n}", bytes([4, n]) * 32 + b"\0", 1) for n in range(1, 5))
)
BLOCK = bytes(range(32))


def sync(**heights: int) -> BlockSync:
    found = BlockSync(lambda: VALIDATORS)
    for peer, height in heights.items():
        found.note(peer, height)
    return found


def test_nothing_is_asked_for_when_nobody_is_ahead() -> None:
    found = sync(v1=5, v2=4)
    assert found.next(5, 0.0) is None and found.next(5, 100.0) is None


def test_one_block_behind_waits_for_the_votes_first() -> None:
    found = sync(v1=6)
    assert found.next(5, 10.0) is None
    assert found.next(5, 10.3) is None
    assert found.next(5, 10.6) == Request("v1", 6, 1)


def test_far_behind_asks_at_once_and_one_at_a_time_and_goes_on_where_the_answer_ended() -> None:
    found = sync(v1=200)
    assert found.next(5, 0.0) == Request("v1", 6, BATCH_BLOCKS)
    assert found.next(5, 1.0) is None
    assert found.answered("v1", 6, 10, 1.0)  # fewer than asked: they were large
    assert found.next(5, 1.0) == Request("v1", 16, BATCH_BLOCKS)
    assert found.answered("v1", 16, 64, 1.1)
    assert found.next(5, 1.2) == Request("v1", 80, BATCH_BLOCKS)
    assert found.answered("v1", 80, 64, 1.3)
    assert found.next(5, 1.4) is None  # the ledger has enough to do
    assert found.next(60, 1.5) == Request("v1", 144, 57)


@pytest.mark.parametrize(("peer", "height", "blocks"), [("v2", 6, 1), ("v1", 7, 1), ("v1", 6, 65)])
def test_answers_to_nothing_that_was_asked_are_dropped(peer: str, height: int, blocks: int) -> None:
    found = sync(v1=200)
    assert not found.answered(peer, height, blocks, 0.0)
    assert found.next(5, 0.0)
    assert not found.answered(peer, height, blocks, 0.0)


def test_a_silent_an_empty_handed_and_a_wrong_peer_are_left_for_others() -> None:
    found = sync(v1=100)
    found.next(5, 0.0)
    found.note("v2", 100)
    again = found.next(5, 10.1)  # v1 has not answered
    assert again is not None and again.peer == "v2"
    assert found.answered("v2", 6, 64, 10.2)
    found.failed("v2", 10.3)  # its blocks were no good: from the ledger's height, from somebody else
    found.note("v3", 100)
    assert found.next(5, 10.4) == Request("v3", 6, BATCH_BLOCKS)
    assert found.answered("v3", 0, 0, 10.5)
    assert found.next(5, 10.6) is None
    found.forget("v3")
    assert found.next(5, 23.0) == Request("v2", 6, BATCH_BLOCKS)


def test_the_boaster_is_not_asked_first_and_stops_no_vote() -> None:
    found = sync(v1=9, v2=9, v3=10**6)
    asked = found.next(5, 0.0)
    assert asked is not None and asked.peer == "v2"
    assert found.behind(5)  # three say so
    assert not found.behind(8)  # one says so
    assert not sync(a1=100, v3=10**6).behind(8)  # a1 has no vote


def machine(*prevotes: str, proposal: bool = True) -> Machine:
    found = Machine(VALIDATORS, None, 7, Params(1000, 500, 100))
    found.handle(Start())
    if proposal:
        proposer = VALIDATORS.proposer(7, 0)
        found.handle(ProposalReceived(Proposal(7, 0, -1, BLOCK, proposer, b"s"), valid=True))
    for name in prevotes:
        found.handle(VoteReceived(Vote(VoteType.PREVOTE, 7, 0, BLOCK, name, b"s")))
    return found


def test_a_peer_gets_exactly_what_it_lacks() -> None:
    ahead, lagging = machine("v1", "v2"), machine("v2", proposal=False)
    sent = missing(ahead, {BLOCK: b"raw"}, round_state(lagging))
    kinds = [type(message) for message in sent]
    assert kinds == [wire.ProposalMsg, wire.VoteMsg]
    votes = [message.vote for message in sent if isinstance(message, wire.VoteMsg)]
    assert [vote.validator for vote in votes] == ["v1"]
    assert missing(ahead, {BLOCK: b"raw"}, round_state(ahead)) == []


def test_a_peer_in_an_earlier_round_gets_the_later_one_too() -> None:
    ahead = machine()
    for name in ("v1", "v2"):  # f+1 in round 3: skip to it
        ahead.handle(VoteReceived(Vote(VoteType.PREVOTE, 7, 3, None, name, b"s")))
    assert ahead.round == 3
    sent = missing(ahead, {}, round_state(machine()))
    rounds = {message.vote.round for message in sent if isinstance(message, wire.VoteMsg)}
    assert rounds == {3}


def test_a_peer_at_another_height_gets_nothing_this_way() -> None:
    other = Machine(VALIDATORS, None, 8, Params(1000, 500, 100))
    assert missing(machine("v1"), {BLOCK: b"raw"}, round_state(other)) == []


def test_a_bucket_earns_its_rate_and_no_more_than_its_burst() -> None:
    bucket = Bucket(rate=10, burst=20, now=0.0)
    assert bucket.take(20, 0.0) == 0
    assert bucket.take(5, 0.0) == pytest.approx(0.5)
    assert bucket.take(5, 1.0) == 0
    assert bucket.take(20, 1000.0) == 0
    assert bucket.take(1, 1000.0) == pytest.approx(0.1)
