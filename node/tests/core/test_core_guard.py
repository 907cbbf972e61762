"""The guard: one message a place, and never back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provnode.core.guard import GuardError, Signed, decide

PLACE = st.tuples(st.integers(1, 4), st.integers(0, 3), st.integers(0, 2))
BYTES = st.sampled_from([b"a", b"b"])


def test_the_first_message_is_signed() -> None:
    assert decide(None, (1, 0, 0), b"a") is None


@settings(deadline=None)
@given(PLACE, PLACE, BYTES, BYTES)
def test_what_may_be_signed_follows_from_the_last(
    last: tuple[int, int, int], place: tuple[int, int, int], before: bytes, now: bytes
) -> None:
    signed = Signed(*last, before, b"signature")
    if place > last:
        assert decide(signed, place, now) is None
    elif place == last and before == now:
        assert decide(signed, place, now) == b"signature"
    else:
        with pytest.raises(GuardError):
            decide(signed, place, now)


@settings(deadline=None)
@given(st.lists(st.tuples(PLACE, BYTES)))
def test_no_place_is_ever_signed_twice(wishes: list[tuple[tuple[int, int, int], bytes]]) -> None:
    last: Signed | None = None
    signed: dict[tuple[int, int, int], bytes] = {}
    for place, message in wishes:
        try:
            reused = decide(last, place, message)
        except GuardError:
            continue
        assert signed.setdefault(place, message) == message
        if reused is None:
            last = Signed(*place, message, b"s")
    assert list(signed) == sorted(signed)
