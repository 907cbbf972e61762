"""What will go wrong in a run: an explicit list, drawn from the seed. Any part of it can be left out."""

from __future__ import annotations

import random
from collections.abc import Iterable
from dataclasses import dataclass

from provnode.ledger.membership import Action
from tests.simulation.network import Cut, Weather
from tests.simulation.replica import FILES, LOG

STORM_MS = 3_000
# how many validators, and how often of a hundred
SIZES = {4: 62, 7: 26, 10: 9, 19: 3}
HABITS = (
    "equivocate",
    "withhold",
    "lie about height",
    "replay",
    "send to some only",
    "propose unsound blocks",
    "false round states",
    "forge",
)
TWINS = "two copies of one identity"


@dataclass(frozen=True, slots=True)
class Storm:
    """Bad weather from `at` to `until`."""

    at: int
    until: int
    weather: Weather

    def __str__(self) -> str:
        """In plain words."""
        found = self.weather
        return (
            f"from {self.at} to {self.until} ms: {found.loss:.0%} of the messages are lost, "
            f"{found.doubling:.0%} doubled, all take up to {found.most_delay} ms"
        )


@dataclass(frozen=True, slots=True)
class Partition:
    """A cut from `at` to `until`."""

    at: int
    until: int
    cut: Cut

    def __str__(self) -> str:
        """In plain words."""
        way = "between" if self.cut.both else "from"
        sources, targets = (", ".join(sorted(group)) for group in (self.cut.sources, self.cut.targets))
        link = "and" if self.cut.both else "to"
        return f"from {self.at} to {self.until} ms: nothing gets {way} {sources} {link} {targets}"


@dataclass(frozen=True, slots=True)
class Crash:
    """A process ends at one of the boundaries between two effects that come after `at`.

    With `once_signed`, they are those after the next time that it has signed something.
    """

    at: int
    who: str
    boundaries: int
    down_ms: int
    once_signed: bool

    def __str__(self) -> str:
        """In plain words."""
        when = " once it has signed" if self.once_signed else ""
        return (
            f"at {self.at} ms: {self.who} crashes{when} {self.boundaries} boundaries later, "
            f"and starts again after {self.down_ms} ms"
        )


@dataclass(frozen=True, slots=True)
class Skew:
    """A host's clocks go wrong."""

    at: int
    until: int
    who: str
    offset_ms: int
    rate: float

    def __str__(self) -> str:
        """In plain words."""
        return (
            f"from {self.at} to {self.until} ms: the clock of {self.who} is wrong by {self.offset_ms} ms "
            f"and goes {self.rate} times as fast"
        )


@dataclass(frozen=True, slots=True)
class Slow:
    """A host gets round to its work late."""

    at: int
    until: int
    who: str
    by_ms: int

    def __str__(self) -> str:
        """In plain words."""
        return f"from {self.at} to {self.until} ms: {self.who} does everything {self.by_ms} ms late"


@dataclass(frozen=True, slots=True)
class Refusal:
    """A disk takes nothing."""

    at: int
    until: int
    who: str
    file: str

    def __str__(self) -> str:
        """In plain words."""
        return f"from {self.at} to {self.until} ms: the disk of {self.who} refuses to write {self.file}"


@dataclass(frozen=True, slots=True)
class Forgetful:
    """A log's disk keeps nothing over a crash: the validator is one of the faulty ones."""

    who: str

    def __str__(self) -> str:
        """In plain words."""
        return f"always: the disk of {self.who} loses {LOG} at each crash, synced or not"


@dataclass(frozen=True, slots=True)
class Byzantine:
    """A validator does not follow the protocol."""

    who: str
    habits: tuple[str, ...]

    def __str__(self) -> str:
        """In plain words."""
        return f"always: {self.who} is Byzantine: {', '.join(self.habits)}"


@dataclass(frozen=True, slots=True)
class Reform:
    """A change of the membership is submitted; it is in force `later` blocks after the earliest height."""

    at: int
    action: Action
    who: str
    later: int

    def __str__(self) -> str:
        """In plain words."""
        return f"at {self.at} ms: the organisations agree to {self.action.value} {self.who}"


@dataclass(frozen=True, slots=True)
class Late:
    """A node without a vote starts with an empty disk."""

    at: int
    who: str

    def __str__(self) -> str:
        """In plain words."""
        return f"at {self.at} ms: {self.who} joins with an empty disk"


@dataclass(frozen=True, slots=True)
class Submit:
    """A client gives its transaction to a node."""

    at: int
    who: str
    number: int

    def __str__(self) -> str:
        """In plain words."""
        return f"at {self.at} ms: a client submits transaction {self.number} to {self.who}"


Fault = Storm | Partition | Crash | Skew | Slow | Refusal | Forgetful | Byzantine | Reform | Late | Submit


@dataclass(frozen=True, slots=True)
class Schedule:
    """A run: validators v01, v02, … of these powers, `late` nodes more, and what goes wrong."""

    seed: int
    powers: tuple[int, ...]
    late: int
    faults: tuple[Fault, ...]

    @property
    def names(self) -> list[str]:
        """All nodes; the last `late` ones have no vote at first."""
        return [f"v{n:02}" for n in range(1, len(self.powers) + self.late + 1)]

    def only(self, places: Iterable[int]) -> Schedule:
        """The same run with some of its faults."""
        faults = tuple(self.faults[place] for place in sorted(set(places)))
        return Schedule(self.seed, self.powers, self.late, faults)


def of_seed(seed: int, sizes: dict[int, int] | None = None) -> Schedule:
    """The schedule of a seed, in the usual mix of sizes or another."""
    chance = random.Random(f"{seed}/schedule")
    sizes = sizes or SIZES
    number = chance.choices(list(sizes), list(sizes.values()))[0]
    powers = tuple(chance.randint(1, 5) if chance.random() < 0.2 else 1 for _ in range(number))
    if chance.random() < 0.7:
        powers = (1,) * number
    late = chance.choice((0, 0, 0, 1, 2))
    names = [f"v{n:02}" for n in range(1, number + late + 1)]
    faults: list[Fault] = [*_faulty(chance, dict(zip(names, powers, strict=False)))]
    faults += [Late(chance.randrange(STORM_MS), name) for name in names[number:]]
    faults += _weather(chance, names)
    faults += _hosts(chance, names, [fault.who for fault in faults if isinstance(fault, Forgetful)])
    faults += _reforms(chance, names, late)
    faults += [
        Submit(chance.randrange(STORM_MS), chance.choice(names), n) for n in range(chance.choice((2, 4, 8)))
    ]
    return Schedule(seed, powers, late, tuple(faults))


def _span(chance: random.Random, shortest: int, longest: int) -> tuple[int, int]:
    begin = chance.randrange(STORM_MS)
    return begin, min(STORM_MS, begin + chance.randint(shortest, longest))


def _faulty(chance: random.Random, powers: dict[str, int]) -> list[Fault]:
    """Up to f of the power is faulty: Byzantine, twins, or without memory."""
    faults: list[Fault] = []
    room = (sum(powers.values()) - 1) // 3
    wanted = chance.choice((0, 1, 1, 99, 99)) if room > 1 else chance.choice((0, 1, 1, 1, 1, 1))
    for name in chance.sample(list(powers), len(powers)):
        if not wanted or powers[name] > room:
            continue
        wanted -= 1
        room -= powers[name]
        kind = chance.random()
        if kind < 0.08:
            faults.append(Forgetful(name))
        elif kind < 0.18:
            faults.append(Byzantine(name, (TWINS,)))
        elif kind < 0.62:
            faults.append(Byzantine(name, ("equivocate",)))
        else:
            faults.append(Byzantine(name, tuple(chance.sample(HABITS, chance.choice((1, 2, 3, 4))))))
    return faults


def _weather(chance: random.Random, names: list[str]) -> list[Fault]:
    faults: list[Fault] = []
    for _ in range(chance.choice((0, 1, 1, 2))):
        weather = Weather(
            loss=chance.choice((0.0, 0.05, 0.3)),
            doubling=chance.choice((0.0, 0.2)),
            most_delay=chance.choice((10, 60, 250)),
        )
        faults.append(Storm(*_span(chance, 500, STORM_MS), weather))
    for _ in range(chance.choice((0, 0, 1, 2))):
        group = frozenset(name for name in names if chance.random() < 0.5)
        cut = Cut(group, frozenset(names) - group, both=chance.random() < 0.6)
        if cut.sources and cut.targets:
            faults.append(Partition(*_span(chance, 100, 1_000), cut))
    return faults


def _hosts(chance: random.Random, names: list[str], forgetful: list[str]) -> list[Fault]:
    faults: list[Fault] = []
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        who, (at, until) = chance.choice(names), _span(chance, 50, 1_000)
        faults.append(Refusal(at, until, who, chance.choice((*FILES, LOG))))
        if chance.random() < 0.7:  # it matters most to who ends soon after
            faults += _crash(chance, chance.randint(at, until), who, once_signed=True)
    for who in forgetful * 3:
        faults += _crash(chance, chance.randrange(STORM_MS), who, once_signed=chance.random() < 0.4)
    for _ in range(chance.choice((0, 1, 3, 5))):
        at, who = chance.randrange(STORM_MS), chance.choice(names)
        faults += _crash(chance, at, who, once_signed=chance.random() < 0.4)
    for _ in range(chance.choice((0, 0, 0, 1, 2))):
        offset = chance.choice((-9_000, -400, 400, 4_000, 7_000, 60_000))
        faults.append(
            Skew(*_span(chance, 300, STORM_MS), chance.choice(names), offset, chance.choice((0.8, 1.0, 1.25)))
        )
    faults += [
        Slow(*_span(chance, 300, 2_000), chance.choice(names), chance.choice((5, 40, 150)))
        for _ in range(chance.choice((0, 0, 0, 1, 2)))
    ]
    return faults


def _crash(chance: random.Random, at: int, who: str, *, once_signed: bool) -> list[Fault]:
    """A crash, and sometimes another one soon after it."""
    down = chance.choice((20, 100, 400, 1_200))
    crashes: list[Fault] = [Crash(at, who, chance.randint(0, 4 if once_signed else 60), down, once_signed)]
    if chance.random() < 0.2:
        again = min(STORM_MS - 1, at + down + chance.randint(50, 300))
        crashes.append(Crash(again, who, chance.randint(0, 30), down, once_signed=False))
    return crashes


def _reforms(chance: random.Random, names: list[str], late: int) -> list[Fault]:
    faults: list[Fault] = []
    if late:
        # if there are two, the other one never gets a vote
        faults.append(Reform(chance.randrange(STORM_MS // 2), Action.ADD, names[-late], chance.randint(0, 2)))
    if late or chance.random() < 0.3:
        for _ in range(chance.choice((1, 2, 4))):
            action = chance.choice((Action.REMOVE, Action.REKEY, Action.REKEY, Action.SUSPEND, Action.RESUME))
            at = chance.randrange(STORM_MS)
            faults.append(Reform(at, action, chance.choice(names), chance.randint(0, 2)))
    return faults
