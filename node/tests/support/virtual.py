"""An event loop whose time passes at once, for limits of many seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Virtual(asyncio.SelectorEventLoop):
    """When nothing is left to do now, it is the time of the next timer."""

    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0

    def time(self) -> float:
        return self._now

    def _run_once(self) -> None:
        timers: Any = self._scheduled  # type: ignore[attr-defined] # asyncio's own heap of timers
        if not self._ready and timers:  # type: ignore[attr-defined] # asyncio's own queue
            self._now = max(self._now, timers[0].when())
        super()._run_once()  # type: ignore[misc] # asyncio's own turn


def run(work: Coroutine[Any, Any, T]) -> T:
    """As asyncio.run, in no time."""
    with asyncio.Runner(loop_factory=_Virtual) as runner:
        return runner.run(work)
