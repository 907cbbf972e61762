"""Virtual time: what happens when, and chance. All of it follows from one seed."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from typing import Protocol

# Unix time at the beginning of a run, in milliseconds
EPOCH_MS = 1_770_000_000_000


class CrashedError(BaseException):
    """The process of a node ended here. Nothing in the node may catch it."""


class Process(Protocol):
    """Whoever may crash in what it does."""

    def down(self) -> None:
        """The process is gone; what was not on the disk is lost."""


class World:
    """The clock, and what is to come."""

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self.now = 0
        self.steps = 0
        self._queue: list[tuple[int, int, Callable[..., None], tuple[object, ...], Process | None]] = []
        self._order = itertools.count()

    def chance(self, of: str) -> random.Random:
        """A stream of chance of its own, so that leaving out one fault changes little of the others."""
        return random.Random(f"{self.seed}/{of}")

    def after(self, ms: int, call: Callable[..., None], *args: object, owner: Process | None = None) -> None:
        """Call later. If `owner` crashes in the call, it goes down."""
        heapq.heappush(self._queue, (self.now + ms, next(self._order), call, args, owner))

    def run(self, until: int, most_steps: int) -> None:
        """Let time pass, through at most so many steps in all."""
        queue = self._queue
        while queue and queue[0][0] <= until and self.steps < most_steps:
            self.steps += 1
            self.now, _, call, args, owner = heapq.heappop(queue)
            try:
                call(*args)
            except CrashedError:
                if owner is None:
                    raise
                owner.down()
        self.now = until
