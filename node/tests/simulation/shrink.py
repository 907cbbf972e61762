"""Which of a run's faults it takes to make it fail: delta debugging (Zeller and Hildebrandt 2002, ddmin)."""

from __future__ import annotations

from collections.abc import Callable, Sequence


def shrink(places: Sequence[int], fails: Callable[[Sequence[int]], bool], most_runs: int = 200) -> list[int]:
    """A list of places none of which can be left out, as far as so many runs can tell.

    `fails` says whether the run with these faults alone still fails; it does with all of `places`.
    """
    left, parts, runs = list(places), 2, 0
    while left and runs < most_runs:
        size = -(-len(left) // parts)
        for begin in range(0, len(left), size):
            rest = left[:begin] + left[begin + size :]
            runs += 1
            if fails(rest):
                left, parts = rest, max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(len(left), parts * 2)
    return left
