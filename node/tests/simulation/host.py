"""What a node in the simulation has for its host's clocks, threads and connections."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from math import ceil
from typing import Any, Protocol, TypeVar

from provnode.ops.threads import Threads
from tests.simulation.world import EPOCH_MS, World

T = TypeVar("T")


class Alarm:
    """A call that is to come."""

    def __init__(self) -> None:
        self.cancelled = False

    def cancel(self) -> None:
        """Leave it out."""
        self.cancelled = True


# what is called when an alarm goes off: the alarm, and what was to be called with what
Ring = Callable[[Alarm, Callable[..., None], tuple[object, ...]], None]


class HostClock:
    """One host's clocks: the date may be wrong, and both may go too fast or too slowly."""

    def __init__(self, world: World, ring: Ring) -> None:
        self.offset_ms = 0
        self._world = world
        self._ring = ring
        self._rate = 1.0
        self._since = (0.0, 0.0)

    def set(self, offset_ms: int, rate: float) -> None:
        """From now on the date is wrong by so much, and a second takes 1/rate."""
        self._since = (self.monotonic(), float(self._world.now))
        self.offset_ms, self._rate = offset_ms, rate

    def monotonic(self) -> float:
        """Seconds since the run began, as this host counts them."""
        seconds, then = self._since
        return seconds + (self._world.now - then) * self._rate / 1000

    def now_ms(self) -> int:
        """The date, as this host has it."""
        return EPOCH_MS + self._world.now + self.offset_ms

    def ms(self, seconds: float) -> int:
        """How long that takes on this host: at least a millisecond."""
        return max(1, ceil(seconds * 1000 / self._rate))

    def call_later(self, seconds: float, call: Callable[..., None], *args: object) -> Alarm:
        """Call after so many seconds of this host."""
        alarm = Alarm()
        self._world.after(self.ms(seconds), self._ring, alarm, call, args)
        return alarm


class _Pause:
    """Something waits for time to pass."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds

    def __await__(self) -> Generator[float, None, None]:
        yield self.seconds


class InlineThreads(Threads):
    """Everything is done at once, by whoever asks; `boundary` is called before and after."""

    def __init__(self, boundary: Callable[[], None]) -> None:
        self.problem: str | None = None
        self._boundary = boundary

    async def write(self, call: Callable[..., T], *args: object) -> T:
        """Do it."""
        self._boundary()
        found = call(*args)
        self._boundary()
        return found

    async def check(self, call: Callable[..., T], *args: object) -> T:
        """Do it."""
        return call(*args)

    async def rest(self, seconds: float) -> None:
        """The disk is tried again later; until then this part of the node stands still."""
        await _Pause(seconds)

    def close(self) -> None:
        """There is nothing to close."""


class Speaker(Protocol):
    """The node behind the connections."""

    def transmit(self, target: str, body: bytes) -> None:
        """Send to an address."""

    def addresses(self) -> list[tuple[str, str]]:
        """The name and address of everybody who is connected."""


class Line:
    """A connection to a peer."""

    def __init__(self, speaker: Speaker, name: str, address: str) -> None:
        self.name = name
        self.address = address
        self._speaker = speaker

    def send(self, body: bytes, *, urgent: bool) -> bool:
        """Send."""
        self._speaker.transmit(self.address, body)
        return True


class Lines:
    """All connections of a node."""

    def __init__(self, speaker: Speaker) -> None:
        self._speaker = speaker

    @property
    def connected(self) -> dict[str, Line]:
        """The peers by name; of two that claim one name, the one that connected later."""
        return {name: Line(self._speaker, name, address) for name, address in self._speaker.addresses()}

    def broadcast(self, body: bytes, *, urgent: bool, but: str | None = None) -> None:
        """Send to every peer, leaving out `but`."""
        for name, address in self._speaker.addresses():
            if name != but:
                self._speaker.transmit(address, body)


def advance(work: Coroutine[Any, Any, None]) -> float | None:
    """Let a coroutine go on; gives the seconds that it wants to wait, None when it is done."""
    try:
        return float(work.send(None))
    except StopIteration:
        return None
