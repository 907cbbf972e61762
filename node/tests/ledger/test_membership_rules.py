"""The rules of the membership as a pure function: no sequence of changes leads to a set that breaks them."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provnode.core.types import Validator
from provnode.ledger.changes import decode_state, encode_state
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.membership import EARLIEST, LATEST, Action, Change, Limits, Membership, Place

ORGANISATIONS = ("alpha", "beta", "gamma", "delta")
LIMITS = Limits(ORGANISATIONS, 9)
PLACE = Place("10.0.0.1", 26656)
HEIGHT = 100


def key(number: int) -> bytes:
    return b"\x04" + number.to_bytes(64, "big")


def member(number: int, organisation: str | None = None, power: int = 1, k: int | None = None) -> Validator:
    organisation = organisation or ORGANISATIONS[(number - 1) % 4]
    return Validator(f"v{number}", organisation, key(number if k is None else k), power)


def start(number: int = 5) -> Membership:
    members = tuple(member(n) for n in range(1, number + 1))
    return Membership(members, keys=frozenset(one.public_key for one in members))


def change(
    before: Membership, action: Action, one: Validator, at: int = HEIGHT + EARLIEST, *, sequence: int = 0
) -> Change:
    place = PLACE if action is Action.ADD else None
    return Change(action, one, at, sequence or before.sequence + 1, place)


def accept(before: Membership, action: Action, one: Validator, at: int = HEIGHT + EARLIEST) -> Membership:
    return before.accept(change(before, action, one, at), HEIGHT, LIMITS)


def refusal(before: Membership, wanted: Change, height: int = HEIGHT) -> TxError:
    with pytest.raises(TxError) as error:
        before.accept(wanted, height, LIMITS)
    return error.value


def names(found: Membership) -> list[str]:
    return [one.name for one in found.validators]


def test_each_action_does_its_own_at_its_height_and_not_before() -> None:
    before = start()
    new = member(2, k=22)
    found = before
    for action, one in (
        (Action.ADD, member(6)),
        (Action.REKEY, new),
        (Action.SUSPEND, member(3)),
        (Action.REMOVE, member(1)),
    ):
        found = accept(found, action, one, HEIGHT + 10)
    found = accept(found, Action.RESUME, member(3), HEIGHT + 11)
    assert found.at(HEIGHT + 9) is found and found.validators == before.validators
    then = found.at(HEIGHT + 10)
    assert names(then) == ["v2", "v4", "v5", "v6"]
    assert then.validators.get("v2") == new and [one.name for one in then.suspended] == ["v3"]
    assert then.places == {"v6": (member(6).organisation, PLACE)}
    later = then.at(HEIGHT + 11)
    assert names(later) == ["v2", "v3", "v4", "v5", "v6"] and (later.pending, later.suspended) == ((), ())
    assert later == found.at(HEIGHT + 11) and later.sequence == 5


def test_changes_of_one_height_take_effect_in_the_order_of_their_acceptance() -> None:
    found = accept(start(), Action.SUSPEND, member(1), HEIGHT + 5)
    found = accept(found, Action.RESUME, member(1), HEIGHT + 5)
    assert names(found.at(HEIGHT + 5)) == names(start())
    wrong = change(start(), Action.RESUME, member(1), HEIGHT + 5)
    assert "not suspended" in refusal(start(), wrong).message


def test_a_state_comes_back_from_its_bytes() -> None:
    found = accept(accept(start(), Action.ADD, member(6)), Action.SUSPEND, member(3), HEIGHT + 9)
    for one in (start(), found, found.at(HEIGHT + 2), found.at(HEIGHT + 9)):
        assert decode_state(encode_state(one)) == one
    for wrong in (b"", b"{}", b"[]", encode_state(found).replace(b'"v1"', b"1")):
        with pytest.raises(ValueError, match=r"."):
            decode_state(wrong)


@pytest.mark.parametrize(
    ("wanted", "code", "text"),
    [
        (change(start(), Action.REMOVE, member(9)), TxCode.UNFIT_CHANGE, "no validator"),
        (change(start(), Action.REKEY, member(9, k=90)), TxCode.UNFIT_CHANGE, "no validator"),
        (change(start(), Action.SUSPEND, member(9)), TxCode.UNFIT_CHANGE, "no validator"),
        (change(start(), Action.RESUME, member(1)), TxCode.UNFIT_CHANGE, "not suspended"),
        (change(start(), Action.ADD, member(1, k=90)), TxCode.UNFIT_CHANGE, "a validator already"),
        (change(start(), Action.ADD, member(9, k=1)), TxCode.UNFIT_CHANGE, "had before"),
        (change(start(), Action.REKEY, member(1)), TxCode.UNFIT_CHANGE, "had before"),
        (change(start(), Action.REKEY, member(1, k=2)), TxCode.UNFIT_CHANGE, "had before"),
        (change(start(), Action.ADD, member(9, "omega")), TxCode.UNFIT_CHANGE, "organisation: found 'omega'"),
        (change(start(), Action.REMOVE, member(1, "beta")), TxCode.UNFIT_CHANGE, "organisation of v1"),
        (change(start(), Action.REMOVE, member(1, power=2)), TxCode.UNFIT_CHANGE, "power of v1"),
        (change(start(), Action.SUSPEND, member(1, k=90)), TxCode.UNFIT_CHANGE, "public_key of v1"),
        (change(start(), Action.REKEY, member(1, power=2, k=90)), TxCode.UNFIT_CHANGE, "power of v1"),
        (replace(change(start(), Action.ADD, member(9)), place=None), TxCode.UNFIT_CHANGE, "address"),
        (replace(change(start(), Action.REMOVE, member(1)), place=PLACE), TxCode.UNFIT_CHANGE, "address"),
        (change(start(), Action.ADD, member(9), sequence=2), TxCode.SEQUENCE_AHEAD, "found 2, allowed: 1"),
        (change(start(), Action.ADD, member(9), HEIGHT + 1), TxCode.EFFECTIVE_HEIGHT, "102 to 1000100"),
        (change(start(), Action.ADD, member(9), HEIGHT + LATEST + 1), TxCode.EFFECTIVE_HEIGHT, "found 10001"),
        # 13 of 17: the quorum is 12
        (change(start(), Action.ADD, member(9, power=12)), TxCode.ORGANISATION_AT_QUORUM, "alpha at height"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(wanted: Change, code: TxCode, text: str) -> None:
    error = refusal(start(), wanted)
    assert error.code is code and text in error.message
    # only what an earlier change on its way can lift may wait
    assert error.may_come_true == (code is TxCode.SEQUENCE_AHEAD)


def test_an_approval_counts_once() -> None:
    wanted = change(start(), Action.SUSPEND, member(1))
    found = start().accept(wanted, HEIGHT, LIMITS).at(HEIGHT + EARLIEST)
    found = accept(found, Action.RESUME, member(1)).at(HEIGHT + EARLIEST)
    error = refusal(found, wanted)
    assert error.code is TxCode.STALE_SEQUENCE and "found 1, allowed: 3" in error.message


def test_four_validators_stay_whatever_the_changes_to_come() -> None:
    for action in (Action.REMOVE, Action.SUSPEND):
        error = refusal(start(4), change(start(4), action, member(1)))
        assert error.code is TxCode.TOO_FEW_VALIDATORS and "found 3, allowed: from 4" in error.message
    # the fifth may go later, but then no other may
    found = accept(start(), Action.SUSPEND, member(5), HEIGHT + 50)
    for at in (HEIGHT + 2, HEIGHT + 50, HEIGHT + 60):
        error = refusal(found, change(found, Action.REMOVE, member(1), at))
        assert error.code is TxCode.TOO_FEW_VALIDATORS
    # unless one comes before
    found = accept(found, Action.ADD, member(6), HEIGHT + 49)
    found = accept(found, Action.REMOVE, member(1), HEIGHT + 49)
    assert names(found.at(HEIGHT + 50)) == ["v2", "v3", "v4", "v6"]


def test_an_earlier_change_must_leave_the_later_ones_possible() -> None:
    found = accept(start(6), Action.SUSPEND, member(5), HEIGHT + 50)
    error = refusal(found, change(found, Action.REMOVE, member(5), HEIGHT + 20))
    assert error.code is TxCode.UNFIT_CHANGE
    assert re.search(r"^change 1, due at height 150, could not follow: .*no validator", error.message)
    error = refusal(found, change(found, Action.REKEY, member(5, k=55), HEIGHT + 20))
    assert "could not follow: change.validator.public_key of v5" in error.message


def test_a_suspended_validator_may_be_rekeyed_and_removed_but_not_suspended_twice() -> None:
    found = accept(start(6), Action.SUSPEND, member(5)).at(HEIGHT + 2)
    assert "suspended already" in refusal(found, change(found, Action.SUSPEND, member(5))).message
    rekeyed = accept(found, Action.REKEY, member(5, k=55)).at(HEIGHT + 2)
    assert rekeyed.suspended == (member(5, k=55),) and names(rekeyed) == names(found)
    assert names(accept(rekeyed, Action.RESUME, member(5, k=55)).at(HEIGHT + 2)) == names(start(6))
    removed = accept(found, Action.REMOVE, member(5)).at(HEIGHT + 2)
    assert (
        removed.suspended == ()
        and "no validator" in refusal(removed, change(removed, Action.RESUME, member(5))).message
    )
    # its name may come again, its key may not
    assert "had before" in refusal(removed, change(removed, Action.ADD, member(5))).message
    assert "v5" in names(accept(removed, Action.ADD, member(5, k=77)).at(HEIGHT + 2))


def test_there_are_not_more_validators_than_a_block_has_room_for() -> None:
    found = start(9)
    assert refusal(found, change(found, Action.ADD, member(10))).code is TxCode.TOO_MANY_VALIDATORS
    found = accept(found, Action.SUSPEND, member(1))
    assert len(accept(found, Action.ADD, member(10)).at(HEIGHT + 2).validators) == 9


changes = st.tuples(
    st.sampled_from(Action),
    st.integers(1, 9),
    st.sampled_from(ORGANISATIONS),
    st.sampled_from([1, 1, 1, 2, 5]),
    st.integers(5, 40),
    st.integers(0, 8),
    st.integers(0, 3),
)


@settings(max_examples=400, deadline=None)
@given(number=st.integers(4, 7), steps=st.lists(changes, min_size=5, max_size=40))
def test_no_sequence_of_changes_breaks_a_rule(number: int, steps: list[tuple[object, ...]]) -> None:
    found, height = start(number), HEIGHT
    ever = Counter(one.public_key for one in found.active)
    accepted: list[Change] = []
    for action, name, organisation, power, k, delay, blocks in steps:
        one = Validator(f"v{name}", str(organisation), key(int(str(k))), int(str(power)))
        listed = {item.name: item for item in (*found.active, *found.suspended)}
        if one.name in listed and action is not Action.ADD:  # else hardly any change would fit
            new = one.public_key if action is Action.REKEY else listed[one.name].public_key
            one = replace(listed[one.name], public_key=new)
        wanted = change(found, Action(str(action)), one, height + EARLIEST + int(str(delay)))
        before = found
        try:
            found = found.accept(wanted, height, LIMITS)
        except TxError:
            assert found is before
        else:
            accepted.append(wanted)
            if wanted.action in (Action.ADD, Action.REKEY):
                ever[one.public_key] += 1
        for at in range(height, height + 12):
            check(found.at(at))
        height += int(str(blocks))
        found = found.at(height + 1)
    assert found.sequence == len(accepted) and max(ever.values()) == 1
    end = found.at(height + LATEST)
    assert end.pending == () and end == decode_state(encode_state(end))


def check(found: Membership) -> None:
    """The rules, written down a second time."""
    assert 4 <= len(found.active) <= 9
    total = sum(one.power for one in found.active)
    for name in ORGANISATIONS:
        assert 3 * sum(one.power for one in found.active if one.organisation == name) <= 2 * total
    every = [*found.active, *found.suspended]
    assert len({one.name for one in every}) == len({one.public_key for one in every}) == len(every)
    assert {one.public_key for one in every} <= found.keys
