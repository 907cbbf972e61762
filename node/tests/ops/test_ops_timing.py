"""Step times: each step is timed once from entering it to leaving it, and counted where it belongs."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from provnode.ops.timing import BUCKETS, Histogram, StepTimes


def test_a_step_lasts_until_another_is_entered() -> None:
    now = [0.0]
    times = StepTimes(lambda: now[0])
    for at, step, height, round_ in (
        (0.0, "wait", 1, 0),
        (1.0, "propose", 1, 0),
        (1.2, "propose", 1, 0),
        (1.5, "prevote", 1, 0),
        (1.6, "propose", 1, 1),
        (1.6, "wait", 2, 0),
    ):
        now[0] = at
        times.enter(step, height, round_)
    found = {step: (one.count, round(one.sum, 6)) for step, one in times.histograms.items()}
    assert found == {"wait": (1, 1.0), "propose": (2, 0.5), "prevote": (1, 0.1)}


@given(st.lists(st.floats(0, 20)))
def test_the_buckets_count_what_is_at_most_their_bound(seconds: list[float]) -> None:
    histogram = Histogram()
    for one in seconds:
        histogram.add(one)
    assert histogram.cumulative() == [(bound, sum(one <= bound for one in seconds)) for bound in BUCKETS]
    assert histogram.count == len(seconds)
