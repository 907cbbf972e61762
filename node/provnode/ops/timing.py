"""How long the steps of the consensus take, counted into fixed buckets (a Prometheus histogram each)."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Callable

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds; what took longer is counted by the total alone."""


class Histogram:
    """Durations in seconds."""

    def __init__(self) -> None:
        self.sum = 0.0
        self.count = 0
        self._counts = [0] * (len(BUCKETS) + 1)

    def add(self, seconds: float) -> None:
        """Count one."""
        self.sum += seconds
        self.count += 1
        self._counts[bisect_left(BUCKETS, seconds)] += 1

    def cumulative(self) -> list[tuple[float, int]]:
        """How many took at most each bound, as Prometheus wants them."""
        found, total = [], 0
        for bound, count in zip(BUCKETS, self._counts, strict=False):
            total += count
            found.append((bound, total))
        return found


class StepTimes:
    """A stopwatch that runs through the steps: wait, propose, prevote, precommit, commit."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.histograms: dict[str, Histogram] = {}
        self._clock = clock
        self._place: tuple[str, int, int] | None = None
        self._since = clock()

    def enter(self, step: str, height: int, round_: int) -> None:
        """The consensus is in this step of a height and round now; nothing new if it was already."""
        place = (step, height, round_)
        if place == self._place:
            return
        now = self._clock()
        if self._place is not None:
            self.histograms.setdefault(self._place[0], Histogram()).add(now - self._since)
        self._place, self._since = place, now
