"""A network that loses, doubles, delays, reorders and cuts: each direction of each pair by itself."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from tests.simulation.world import Process, World

# a network without faults
CALM_DELAY_MS = 20


@dataclass(frozen=True, slots=True)
class Weather:
    """Chances of loss and doubling for each message, the longest delay in milliseconds."""

    loss: float = 0.0
    doubling: float = 0.0
    most_delay: int = CALM_DELAY_MS

    def with_(self, other: Weather) -> Weather:
        """Both at once."""
        return Weather(
            max(self.loss, other.loss),
            max(self.doubling, other.doubling),
            max(self.most_delay, other.most_delay),
        )


@dataclass(frozen=True, slots=True)
class Cut:
    """Nothing gets from one group to the other; back neither, where it cuts both ways."""

    sources: frozenset[str]
    targets: frozenset[str]
    both: bool = True

    def stops(self, source: str, target: str) -> bool:
        """Whether a message is lost here."""
        if source in self.sources and target in self.targets:
            return True
        return self.both and source in self.targets and target in self.sources


class Member(Process, Protocol):
    """Whoever is on the network; two that claim to be one have the same name."""

    address: str
    name: str

    def receive(self, source: Member, body: bytes) -> None:
        """Take a message."""


class Network:
    """Carries messages between addresses."""

    def __init__(self, world: World) -> None:
        self.members: dict[str, Member] = {}
        self.weathers: list[Weather] = []
        self.cuts: list[Cut] = []
        self._world = world
        self._weather = Weather()
        self._chances: dict[tuple[str, str], random.Random] = {}

    def change(self, *, begins: Weather | None = None, ends: Weather | None = None) -> None:
        """A kind of weather comes up, or is over."""
        if begins is not None:
            self.weathers.append(begins)
        if ends is not None and ends in self.weathers:
            self.weathers.remove(ends)
        self._weather = Weather()
        for weather in self.weathers:
            self._weather = self._weather.with_(weather)

    def heal(self, cut: Cut) -> None:
        """A cut is over."""
        if cut in self.cuts:
            self.cuts.remove(cut)

    def calm(self) -> None:
        """All faults are over."""
        self.weathers.clear()
        self.cuts.clear()
        self.change()

    def send(self, source: Member, target: str, body: bytes) -> None:
        """Hand a message to the network."""
        weather = self._weather
        pair = source.address, target
        chance = self._chances.get(pair)
        if chance is None:
            chance = self._chances[pair] = self._world.chance(f"{source.address}>{target}")
        copies = 2 if weather.doubling and chance.random() < weather.doubling else 1
        member = self.members[target]
        for _ in range(copies):
            if not weather.loss or chance.random() >= weather.loss:
                delay = 1 + int(chance.random() * weather.most_delay)
                self._world.after(delay, self._arrive, source, member, body, owner=member)

    def reaches(self, source: str, target: str) -> bool:
        """Whether nothing is cut between the two."""
        return not any(cut.stops(source, target) for cut in self.cuts)

    def _arrive(self, source: Member, target: Member, body: bytes) -> None:
        if not self.cuts or self.reaches(source.address, target.address):
            target.receive(source, body)
