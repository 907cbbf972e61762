"""The vote keeper under a validator that floods it."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from provnode.core.types import Vote, VoteType
from provnode.core.votes import MAX_ROUNDS_AHEAD, VoteKeeper
from tests.core.story import FOUR, block

VOTE = st.builds(
    Vote,
    type=st.sampled_from(VoteType),
    height=st.just(1),
    round=st.integers(-2, 40),
    block_id=st.sampled_from([None, *map(block, "ABCD")]),
    validator=st.sampled_from(["v1", "v2", "v3", "v4", "v5"]),
    signature=st.just(b"s"),
)


def test_a_flood_of_one_validator_is_not_kept() -> None:
    keeper = VoteKeeper(FOUR)
    for round_ in range(200):
        for name in range(200):
            keeper.add(Vote(VoteType.PREVOTE, 1, round_, bytes([name]) * 32, "v4", b"s"), 0)
    assert keeper.rounds() == tuple(range(MAX_ROUNDS_AHEAD + 1))
    assert all(len(keeper.votes(round_, VoteType.PREVOTE)) == 1 for round_ in keeper.rounds())
    assert keeper.skip_round(0) is None


@settings(deadline=None)
@given(st.lists(VOTE, max_size=60))
def test_what_is_not_wanted_changes_nothing(votes: list[Vote]) -> None:
    keeper, lean = VoteKeeper(FOUR), VoteKeeper(FOUR)
    for vote in votes:
        wanted = lean.wants(vote, 0)
        conflict = keeper.add(vote, 0)
        if wanted:
            assert lean.add(vote, 0) == conflict
        else:
            assert conflict is None
        assert not keeper.wants(vote, 0)
    for kind in VoteType:
        for round_ in range(MAX_ROUNDS_AHEAD + 1):
            assert keeper.votes(round_, kind) == lean.votes(round_, kind)
            assert keeper.quorum_any(round_, kind) == lean.quorum_any(round_, kind)
            assert keeper.quorum_block(round_, kind) == lean.quorum_block(round_, kind)
    assert keeper.skip_round(0) == lean.skip_round(0)


@settings(deadline=None)
@given(st.lists(VOTE, max_size=80))
def test_a_quorum_is_as_many_different_validators(votes: list[Vote]) -> None:
    keeper = VoteKeeper(FOUR)
    for vote in votes:
        keeper.add(vote, 0)
    for kind in VoteType:
        for round_ in keeper.rounds():
            held = keeper.votes(round_, kind)
            assert len({(vote.validator, vote.block_id) for vote in held}) == len(held)
            for block_id in {vote.block_id for vote in held}:
                voters = {vote.validator for vote in held if vote.block_id == block_id}
                assert keeper.quorum_for(round_, kind, block_id) == (len(voters) >= 3)
            assert keeper.quorum_any(round_, kind) == (len({vote.validator for vote in held}) >= 3)
