"""Wait for a state, or see that it lasts; bounded, and clear about what was seen last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

import pytest

_T = TypeVar("_T")
_PAUSE = 0.2


def until(look: Callable[[], _T], good: Callable[[_T], bool], what: str, seconds: float) -> _T:
    """Look again and again until what is seen is good, and return it; fail the test after ``seconds``.

    ``look`` may raise OSError or AssertionError for "not yet", for example while a host boots.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            seen: object = (value := look())
            if good(value):
                return value
        except (OSError, AssertionError) as problem:
            seen = problem
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}; seen last: {seen}", pytrace=False)
        time.sleep(_PAUSE)


def lasts(look: Callable[[], _T], good: Callable[[_T], bool], what: str, seconds: float) -> None:
    """See that what is seen stays good for ``seconds``; fail the test at once when it does not."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        seen = look()
        if not good(seen):
            pytest.fail(f"did not last {seconds:g} s: {what}; seen: {seen}", pytrace=False)
        time.sleep(_PAUSE)
