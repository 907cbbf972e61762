"""Good bytes are taken; what is kept in the corpus, and good bytes changed anywhere, is taken or refused.

Any other error than those that a target names, and any broken promise of a target, fails. Work and memory
are counted, not timed: both stay within what the length of the input allows.
"""

from __future__ import annotations

import sys
import tracemalloc
from types import FrameType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.fuzz import corpus
from tests.fuzz.mutate import mutated
from tests.fuzz.registry import TARGETS
from tests.fuzz.target import Target, attempt, seeds

every_target = pytest.mark.parametrize("target", TARGETS.values(), ids=lambda target: target.name)
# calls of Python functions, and bytes held at once, for an empty input and for each byte of one
CALLS, CALLS_A_BYTE = 50_000, 40
MEMORY, MEMORY_A_BYTE = 4 * 1024 * 1024, 200
BOMBS = (
    b"[",
    b'{"":',
    b"\x91",
    b"\x81\xa0",
    b"9",
    b"a=[",
    b"\0",
    b"\xdd\xff\xff\xff\xff",
    b"\n",
    b" ",
    b"30",
)


@every_target
def test_good_bytes_are_taken(target: Target) -> None:
    # frames end with the connection; a bundle is verified by real signatures, which no seed has
    refused = target.name in {"frames", "bundle"}
    assert {attempt(target, raw) for raw in seeds(target)} - {False} == (set() if refused else {True})


@every_target
def test_what_is_kept_is_taken_or_refused(target: Target) -> None:
    for raw in corpus.load(target.name):
        attempt(target, raw)


@every_target
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_changed_bytes_are_taken_or_refused(target: Target, data: st.DataObject) -> None:
    raw = mutated(target, seeds(target), lambda below: data.draw(st.integers(0, below - 1)))
    attempt(target, raw)


@every_target
def test_no_input_costs_more_than_its_length_allows(target: Target) -> None:
    calls = 0

    def count(frame: FrameType, event: str, _: Any) -> None:  # noqa: ANN401 - the profiler's argument
        nonlocal calls
        calls += event == "call"

    inputs = [*seeds(target), *(bomb * (20_000 // len(bomb)) for bomb in BOMBS)]
    attempt(target, inputs[0])  # what is made once is made
    before = sys.getprofile()
    for raw in inputs:
        calls = 0
        tracemalloc.start()
        sys.setprofile(count)
        try:
            attempt(target, raw)
        finally:
            sys.setprofile(before)
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert calls <= CALLS + CALLS_A_BYTE * len(raw), (calls, raw[:40])
        assert peak <= MEMORY + MEMORY_A_BYTE * len(raw), (peak, raw[:40])
