"""Token buckets: how much a peer may send before this node reads on more slowly."""

from __future__ import annotations


class Bucket:
    """`rate` units a second on average, `burst` at once. Pure: the caller brings the clock, in seconds."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._level = burst
        self._then = now

    def take(self, amount: float, now: float) -> float:
        """Take `amount`; gives the seconds to wait until it is earned (0 when the bucket had enough)."""
        self._level = min(self._burst, self._level + (now - self._then) * self._rate)
        self._then = now
        self._level -= amount
        return max(0.0, -self._level / self._rate)
