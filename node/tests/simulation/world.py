"""Virtual time and a network that loses, doubles, delays and reorders: all of it follows from one seed."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from provnode import wire

# a network without faults
CALM_DELAY_MS = 20
# a run of four takes some thousand steps, of more as many times more as they have pairs; one that takes so
# many for each pair goes round in circles
MOST_STEPS = 1_250


class CrashedError(Exception):
    """The process of a replica ended here."""


class Member(Protocol):
    """Whoever is on the network."""

    name: str

    def receive(self, peer: str, message: wire.Message) -> None:
        """Take a message."""

    def down(self) -> None:
        """The process is gone; what was not on the disk is lost."""


@dataclass(frozen=True, slots=True)
class Weather:
    """The network's faults: chances of loss and doubling for each message, delays in milliseconds."""

    loss: float = 0.0
    doubling: float = 0.0
    most_delay: int = CALM_DELAY_MS


class World:
    """The clock, the network and chance."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.now = 0
        self.steps = 0
        self.weather = Weather()
        self.members: dict[str, Member] = {}
        self._groups: dict[str, int] = {}
        self._queue: list[tuple[int, int, Callable[[], None], Member | None]] = []
        self._order = itertools.count()

    def after(self, ms: int, call: Callable[[], None], owner: Member | None = None) -> None:
        """Call later. If `owner` crashes in the call, it goes down."""
        heapq.heappush(self._queue, (self.now + ms, next(self._order), call, owner))

    def send(self, source: str, target: str, message: wire.Message) -> None:
        """Hand a message to the network."""
        weather, chance = self.weather, self.random.random
        for _ in range(2 if chance() < weather.doubling else 1):
            if chance() >= weather.loss:
                delay = self.random.randint(1, weather.most_delay)
                self.after(delay, lambda: self._arrive(source, target, message), self.members[target])

    def broadcast(self, source: str, message: wire.Message) -> None:
        """Send to everybody else."""
        for name in self.members:
            if name != source:
                self.send(source, name, message)

    def part(self, groups: dict[str, int]) -> None:
        """Cut the network: only members of one group reach each other. An empty dict heals it."""
        self._groups = groups

    def run(self, until: int, done: Callable[[], bool] = lambda: False) -> bool:
        """Let time pass up to `until`, or until `done`; tells whether it was."""
        most = MOST_STEPS * len(self.members) ** 2
        while self._queue and self._queue[0][0] <= until and self.steps < most:
            self.steps += 1
            self.now, _, call, owner = heapq.heappop(self._queue)
            try:
                call()
            except CrashedError:
                assert owner is not None
                owner.down()
            if done():
                return True
        self.now = until
        return done()

    def _arrive(self, source: str, target: str, message: wire.Message) -> None:
        if self._groups.get(source) == self._groups.get(target):
            self.members[target].receive(source, message)
