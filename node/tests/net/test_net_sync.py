"""Block sync's choices, what is sent again, and rate limits: pure, so every case is cheap."""

from __future__ import annotations

from itertools import pairwise

import pytest
from provnode import wire
from provnode.core.events import Params, ProposalReceived, Start, VoteReceived
from provnode.core.machine import Machine
from provnode.core.types import Certificate, Proposal, Validator, ValidatorSet, Vote, VoteType
from provnode.net.limits import Bucket
from provnode.net.resend import missing, round_state
from provnode.net.sync import WINDOW_BLOCKS, WINDOW_BYTES, Answer, Block, BlockSync, Request

VALIDATORS = ValidatorSet(
    tuple(Validator(f"v{n}", f"o{n}", bytes([4, n]) * 32 + b"\0", 1) for n in range(1, 5))
)
BLOCK = bytes(range(32))


def sync(**heights: int) -> BlockSync:
    found = BlockSync(lambda: VALIDATORS)
    for peer, height in heights.items():
        found.note(peer, height)
    return found


def blocks(first: int, count: int, size: int = 10) -> tuple[Block, ...]:
    return tuple((bytes(size), Certificate(height, 0, BLOCK, ())) for height in range(first, first + count))


def heights(answer: Answer | None) -> tuple[int, int] | None:
    return None if answer is None else (answer.first, answer.last)


def test_nothing_is_asked_for_when_nobody_is_ahead() -> None:
    found = sync(v1=5, v2=4)
    assert found.requests(5, 0.0) == [] and found.requests(5, 100.0) == []


def test_one_block_behind_waits_for_the_votes_first() -> None:
    found = sync(v1=6)
    assert found.requests(5, 10.0) == []
    assert found.requests(5, 10.3) == []
    assert found.requests(5, 10.6) == [Request("v1", 6, 1)]


def test_consecutive_ranges_are_asked_of_all_who_have_them() -> None:
    found = sync(v1=1000, v2=1000, v3=150)
    assert found.requests(5, 0.0) == [
        Request("v3", 6, 64),
        Request("v1", 70, 64),
        Request("v2", 134, 64),
        Request("v1", 198, 64),
        Request("v2", 262, 64),
    ]
    assert found.requests(5, 0.1) == []


def test_answers_are_handed_on_in_order_whatever_the_order_they_come_in() -> None:
    found = sync(v1=200, v2=200)
    assert [(one.peer, one.height) for one in found.requests(0, 0.0)] == [
        ("v1", 1),
        ("v2", 65),
        ("v1", 129),
        ("v2", 193),
    ]
    assert found.answered("v2", blocks(65, 64), 0.1)
    assert found.ready(0) is None
    assert found.answered("v1", blocks(1, 10), 0.2)  # fewer than asked: they were large
    assert heights(found.ready(0)) == (1, 10)
    assert found.ready(0) is None
    (again,) = found.requests(0, 0.3)
    assert (again.height, again.count) == (11, 54)
    assert found.answered(again.peer, blocks(11, 54), 0.4)
    assert heights(found.ready(0)) == (11, 64)
    assert found.ready(0) is None  # the ledger has two: it is given the next when it has done one
    assert heights(found.ready(10)) == (65, 128)


def test_no_more_is_asked_for_than_the_window_holds() -> None:
    found = sync(**{f"v{n}": 10_000 for n in range(1, 9)})
    first, *others = found.requests(0, 0.0)
    assert others[-1].last == WINDOW_BLOCKS
    for one in others:
        assert found.answered(one.peer, blocks(one.height, one.count), 0.1)
    assert found.requests(0, 0.2) == []
    assert found.answered(first.peer, blocks(1, 64), 0.3)
    assert heights(found.ready(0)) == (1, 64)
    assert found.requests(0, 0.4) == []
    assert [one.last for one in found.requests(64, 0.5)] == [WINDOW_BLOCKS + 64]
    large = sync(**{f"v{n}": 10_000 for n in range(1, 9)})
    first, *others = large.requests(0, 0.0)
    for one in others:
        assert large.answered(one.peer, blocks(one.height, 1, 6 * 1024 * 1024), 0.1)
    # what did not fit was dropped
    assert WINDOW_BYTES - 6 * 1024 * 1024 < large.held <= WINDOW_BYTES
    assert large.requests(0, 0.2) == []
    assert large.answered(first.peer, blocks(1, 1, 16 * 1024 * 1024), 0.3)  # but not what all others wait for
    assert heights(large.ready(0)) == (1, 1)
    assert [one.height for one in large.requests(0, 0.4)] == [2]


@pytest.mark.parametrize(("peer", "height", "count"), [("v2", 6, 1), ("v1", 7, 1), ("v1", 6, 65)])
def test_answers_to_nothing_that_was_asked_are_dropped(peer: str, height: int, count: int) -> None:
    found = sync(v1=200)
    assert not found.answered(peer, blocks(height, count), 0.0)
    assert not found.answered(peer, (), 0.0)
    assert found.requests(5, 0.0)
    assert not found.answered(peer, blocks(height, count), 0.0)
    assert found.ready(5) is None


def test_an_answer_with_a_gap_is_nobody_s_block() -> None:
    found = sync(v1=200)
    found.requests(0, 0.0)
    assert not found.answered("v1", blocks(1, 3) + blocks(5, 3), 0.1)
    assert found.ready(0) is None and found.requests(0, 0.2) == []


def test_a_silent_an_empty_handed_and_a_wrong_peer_are_left_for_others() -> None:
    found = sync(v1=64)
    found.requests(0, 0.0)
    assert found.requests(0, 9.9) == []
    found.note("v2", 64)
    assert found.requests(0, 10.1) == [Request("v2", 1, 64)]  # v1 has not answered
    assert found.answered("v2", blocks(1, 64), 10.2)
    assert heights(found.ready(0)) == (1, 64)
    found.failed("v2", 10.3)  # its blocks were no good: from the ledger's height, from somebody else
    found.note("v3", 64)
    assert found.requests(0, 10.4) == [Request("v3", 1, 64)]
    assert found.answered("v3", (), 10.5)
    assert found.requests(0, 10.6) == []
    assert [one.peer for one in found.requests(0, 12.2)] == ["v1"]  # it may be the only one
    found.forget("v1")
    found.forget("v3")
    assert found.requests(0, 23.0) == [Request("v2", 1, 64)]


def test_a_peer_that_is_silent_again_and_again_is_asked_less_often() -> None:
    found, asked, now = sync(v1=64), [], 0.0
    while now < 100.0:
        asked += [now] * len(found.requests(0, now))
        now += 0.5
    waits = [after - before for before, after in pairwise(asked)]
    assert waits == [12.0, 14.0, 18.0, 26.0, 26.0]


def test_what_a_peer_that_is_gone_owes_is_asked_of_others_at_once() -> None:
    found = sync(v1=64)
    assert found.requests(0, 0.0) == [Request("v1", 1, 64)]
    found.note("v2", 64)
    assert found.requests(0, 0.1) == []
    found.forget("v1")
    assert found.requests(0, 0.1) == [Request("v2", 1, 64)]
    assert not found.answered("v1", blocks(1, 64), 0.2)


def test_what_was_handed_on_and_did_not_help_is_asked_for_again() -> None:
    found = sync(v1=64)
    found.requests(0, 0.0)
    assert found.answered("v1", blocks(1, 64), 0.1)
    assert heights(found.ready(0)) == (1, 64)
    assert found.requests(0, 9.0) == []
    assert found.requests(0, 10.1) == [Request("v1", 1, 64)]


def test_a_late_answer_is_better_than_none() -> None:
    found = sync(v1=64)
    assert found.requests(0, 0.0)
    assert found.requests(0, 10.5) == []
    assert found.answered("v1", blocks(1, 64), 10.6)
    assert heights(found.ready(0)) == (1, 64)


def test_of_an_answer_that_overlaps_only_the_rest_is_handed_on() -> None:
    found = sync(v1=64)
    found.requests(0, 0.0)
    found.note("v2", 64)
    assert found.requests(0, 10.1) == [Request("v2", 1, 64)]
    assert found.answered("v2", blocks(1, 10), 10.2)
    assert heights(found.ready(0)) == (1, 10)
    assert found.answered("v1", blocks(1, 64), 10.3)
    assert heights(found.ready(0)) == (11, 64)


def test_who_holds_up_the_others_is_overtaken() -> None:
    found = sync(v1=1000, v2=1000)
    assert found.requests(0, 0.0)[0] == Request("v1", 1, 64)
    assert found.answered("v2", blocks(65, 64), 0.2)
    assert [one.peer for one in found.requests(0, 0.9)] == ["v2"]
    assert Request("v2", 1, 64) not in found.asked
    assert found.answered("v2", blocks(193, 64), 0.9)
    assert Request("v2", 1, 64) in found.requests(0, 1.7)
    assert Request("v1", 1, 64) not in found.asked
    assert found.answered("v1", blocks(1, 64), 1.8)  # after all
    assert found.answered("v2", blocks(1, 64), 1.9)
    assert [heights(found.ready(0)) for _ in range(3)] == [(1, 64), (65, 128), None]
    assert heights(found.ready(64)) is None  # what is next was asked of v1, which is avoided


def test_nobody_is_overtaken_for_a_long_way() -> None:
    found = sync(v1=1000, v2=1000)
    assert found.requests(0, 0.0)[0] == Request("v1", 1, 64)
    assert found.answered("v2", blocks(65, 64), 1.5)  # that is how far they are
    assert Request("v1", 1, 64) in found.asked
    assert found.requests(0, 4.4) != []
    assert Request("v1", 1, 64) in found.asked
    found.requests(0, 4.6)  # three times that
    assert Request("v1", 1, 64) not in found.asked


def test_of_who_failed_nothing_is_kept() -> None:
    found = sync(v1=1000, v2=1000)
    for one in found.requests(0, 0.0):
        assert found.answered(one.peer, blocks(one.height, one.count), 0.1)
    assert heights(found.ready(0)) == (1, 64)
    found.failed("v1", 0.2)
    assert found.requests(0, 0.3)[0] == Request("v2", 1, 64)
    assert found.held == 2 * 64 * 10  # those of v2


def test_the_boaster_is_not_asked_first_and_stops_no_vote() -> None:
    found = sync(v1=9, v2=9, v3=10**6)
    assert found.requests(5, 0.0)[0].peer == "v1"
    assert found.behind(5)  # three say so
    assert not found.behind(8)  # one says so
    assert not sync(a1=100, v3=10**6).behind(8)  # a1 has no vote


def test_whoever_dropped_old_blocks_is_not_asked_for_them() -> None:
    found = sync(v1=100)
    found.note("v2", 100, oldest=40)
    found.note("v4", 100, oldest=50)
    assert found.requests(0, 0.0) == [Request("v1", 1, 64), Request("v2", 65, 36)]
    assert found.stranded(0, 100.0) is None
    found.forget("v1")
    assert found.requests(0, 1.0) == []
    assert found.stranded(0, 9.0) is None and found.stranded(0, 10.1) == 40
    found.note("v3", 100, oldest=1)
    assert found.stranded(0, 10.2) is None and found.requests(0, 10.2) != []
    found.forget("v3")
    assert found.stranded(39, 100.0) is None  # the next is kept


def test_a_liar_alone_strands_nobody() -> None:
    found = sync(v1=9, v2=9)
    found.note("v3", 1000, oldest=900)
    found.requests(9, 0.0)
    assert found.stranded(9, 100.0) is None
    found.note("v2", 1000, oldest=800)
    assert found.stranded(9, 100.0) == 800
    # who knows no validator has nobody else to ask
    alone = sync()
    alone.note("a1", 1000, oldest=900)
    alone.requests(9, 0.0)
    assert alone.stranded(9, 100.0) == 900


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
