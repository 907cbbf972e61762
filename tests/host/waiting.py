"""Wait for a state, or for the end of change; bounded, and clear about what was seen last."""

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


def settled(look: Callable[[], _T], what: str, quiet: float, seconds: float) -> _T:
    """Return what is seen once it has not changed for ``quiet`` seconds; fail after ``seconds``."""
    deadline = time.monotonic() + seconds
    value, since = look(), time.monotonic()
    while time.monotonic() - since < quiet:
        if time.monotonic() > deadline:
            pytest.fail(f"not within {seconds:g} s: {what}; seen last: {value}", pytrace=False)
        time.sleep(_PAUSE)
        now = look()
        if now != value:
            value, since = now, time.monotonic()
    return value
