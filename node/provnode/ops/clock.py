"""The clocks and timers of the consensus: the system's, or a simulation's."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol


class Timer(Protocol):
    """A call that is to come."""

    def cancel(self) -> None:
        """Leave it out."""


class Clock(Protocol):
    """Two clocks, one that only goes forward and one that tells the date; and an alarm."""

    def monotonic(self) -> float:
        """Seconds since whenever."""

    def now_ms(self) -> int:
        """Unix time in milliseconds."""

    def call_later(self, seconds: float, call: Callable[..., None], *args: object) -> Timer:
        """Call after so many seconds."""


class SystemClock:
    """The clocks of the host and the timers of the running event loop."""

    def monotonic(self) -> float:
        """Seconds since whenever."""
        return time.monotonic()

    def now_ms(self) -> int:
        """Unix time in milliseconds."""
        return time.time_ns() // 1_000_000

    def call_later(self, seconds: float, call: Callable[..., None], *args: object) -> Timer:
        """Call from the event loop after so many seconds."""
        return asyncio.get_running_loop().call_later(seconds, call, *args)
