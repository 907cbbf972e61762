"""The verdict of a soak: swings are no growth, a leak below them is."""

from __future__ import annotations

from typing import Any

import pytest

from bench.loopback.flat import judge


def minutes(count: int, an_hour: float, *, files: int = 0, swing: float = 45.0) -> list[dict[str, Any]]:
    """Two nodes whose memory swings, the second one's rising as well, after it has filled up."""
    found = []
    for at in range(count):
        held = min(200.0, 20.0 * at) + swing * (at * 0.27 % 1.0)
        leak = an_hour * at / 60
        told = {"anonymous_mib": [held, held + leak], "threads": [12, 12]}
        found.append(told | {"descriptors": [30 + at % 3, 30 + at * files // 10]})
    return found


def test_swings_are_no_growth() -> None:
    found = judge(minutes(60, 0.0), 15, 16)
    assert found["verdict"] == "flat" and not found["growing"]
    assert all(node["swing_mib"] > 40 for node in found["nodes"])


@pytest.mark.parametrize("an_hour", [20.0, 60.0, 3_000.0])
def test_a_leak_below_the_swings_is_found_and_named(an_hour: float) -> None:
    found = judge(minutes(60, an_hour), 15, 16)
    assert found["verdict"] == "grows"
    (told,) = found["growing"]
    assert told.startswith("node 2: peak of anonymous memory from ")
    assert found["nodes"][1]["peak_rise_mib_per_hour"] == pytest.approx(an_hour, rel=0.2, abs=5)


def test_a_leak_of_files_is_found() -> None:
    assert judge(minutes(60, 0.0, files=1), 15, 16)["verdict"] == "flat"
    (told,) = judge(minutes(60, 0.0, files=10), 15, 16)["growing"]
    assert told == "node 2: descriptors from 59 to 89"


def test_filling_up_counts_where_it_is_not_left_out_and_too_few_minutes_are_refused() -> None:
    assert judge(minutes(60, 0.0), 0, 16)["verdict"] == "flat"
    assert judge(minutes(20, 0.0), 0, 16)["verdict"] == "grows"
    with pytest.raises(ValueError, match="5 minutes after the warm-up"):
        judge(minutes(20, 0.0), 15, 16)
