"""Quorums, and whose turn it is."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provnode.core.types import Validator, ValidatorSet
from tests.core.story import make_validators

POWERS = st.lists(st.integers(1, 40), min_size=1, max_size=10).map(
    lambda powers: make_validators({f"v{n}": power for n, power in enumerate(powers)})
)


@settings(deadline=None)
@given(POWERS)
def test_two_quorums_share_more_than_the_faulty_can_hold(validators: ValidatorSet) -> None:
    total, faulty = validators.total_power, validators.minority - 1
    assert 3 * faulty < total <= 3 * validators.minority
    assert 2 * validators.quorum - total > faulty
    assert total - faulty >= validators.quorum, "the honest alone are a quorum"


@settings(deadline=None)
@given(POWERS, st.integers(1, 10**9), st.integers(0, 1000))
def test_turns_go_by_power(validators: ValidatorSet, height: int, round_: int) -> None:
    total = validators.total_power
    turns = Counter(validators.proposer(height, round_ + turn) for turn in range(total))
    assert turns == {validator.name: validator.power for validator in validators}


@settings(deadline=None)
@given(POWERS, st.integers(1, 10**9), st.integers(1, 1000))
def test_a_turn_follows_from_height_and_round(validators: ValidatorSet, height: int, round_: int) -> None:
    again = ValidatorSet(tuple(reversed(validators.validators)))
    assert validators.proposer(height, round_) == again.proposer(height, round_)
    assert validators.proposer(height, round_) == validators.proposer(height + 1, round_ - 1)


def test_equal_validators_follow_each_other_by_name() -> None:
    four = make_validators({"v3": 7, "v1": 7, "v4": 7, "v2": 7})
    assert [four.proposer(1, round_) for round_ in range(5)] == ["v2", "v3", "v4", "v1", "v2"]


def test_a_heavy_validator_does_not_take_its_turns_in_a_row() -> None:
    validators = make_validators({"v1": 500_001, "v2": 300_000, "v3": 300_000, "v4": 300_001})
    turns = "".join(validators.proposer(height, 0)[1] for height in range(1, 2000))
    assert "111" not in turns


@pytest.mark.parametrize(
    "members",
    [
        (),
        (Validator("v1", "o", bytes(65), 1), Validator("v1", "o", bytes([1]) * 65, 1)),
        (Validator("v1", "o", bytes(65), 1), Validator("v2", "o", bytes(65), 1)),
        (Validator("v1", "o", bytes(65), 0),),
    ],
    ids=["none", "name twice", "key twice", "no power"],
)
def test_what_is_no_validator_set_is_refused(members: tuple[Validator, ...]) -> None:
    with pytest.raises(ValueError, match="validator"):
        ValidatorSet(members)
