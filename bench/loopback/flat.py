"""Whether what processes held, minute by minute, stays what it is. Pure.

Memory that is kept in generations, or collected now and then, rises and falls by as much, so that a line
through it says little: what is judged is how high it gets. The peak of the last third is compared with that
of the first; each third should have several such swings.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

_SPARE = 4
LEAST_MINUTES = 6
"""After the warm-up; a verdict on a leak takes far more: an hour is what the bench is meant for."""


def judge(minutes: Sequence[dict[str, Any]], warm_up: float, most: float) -> dict[str, Any]:
    """The verdict on every node, from `anonymous_mib`, `descriptors` and `threads` of each minute.

    "flat" when after `warm_up` minutes no node's peak rises by more than `most` MiB an hour between the
    middles of the two thirds, and none has at most more open files or threads than four above those of the
    first third; else "grows" and what does. Raises ValueError where there are too few minutes.
    """
    settled = [one for at, one in enumerate(minutes, 1) if at > warm_up]
    if len(settled) < LEAST_MINUTES:
        raise ValueError(f"{len(settled)} minutes after the warm-up, needed: {LEAST_MINUTES} at least")
    third = len(settled) // 3
    hours = (len(settled) - third) / 60
    nodes, growing = [], []
    for node in range(len(settled[0]["anonymous_mib"])):
        held = [one["anonymous_mib"][node] for one in settled]
        before, after = max(held[:third]), max(held[-third:])
        slope = statistics.linear_regression(range(len(held)), held).slope * 60
        found = {
            "peak_mib": {"first_third": before, "last_third": after},
            "peak_rise_mib_per_hour": round((after - before) / hours, 1),
            "least_squares_slope_mib_per_hour": round(slope, 1),
            "swing_mib": round(max(held) - min(held), 1),
        }
        nodes.append(found)
        if found["peak_rise_mib_per_hour"] > most:
            growing.append(f"node {node + 1}: peak of anonymous memory from {before} to {after} MiB")
        for what in ("descriptors", "threads"):
            first, last = (
                max(one[what][node] for one in part) for part in (settled[:third], settled[-third:])
            )
            if last > first + _SPARE:
                growing.append(f"node {node + 1}: {what} from {first} to {last}")
    return {
        "nodes": nodes,
        "allowed_mib_per_hour": most,
        "verdict": "grows" if growing else "flat",
        "growing": growing,
    }
