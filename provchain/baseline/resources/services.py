"""Services and packages: what runs, what starts at boot, what is installed."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import Field

from provchain.baseline.facts import Facts, Probe, UnknownError, command
from provchain.baseline.observation import Observation, judged, not_applicable
from provchain.baseline.resources.base import Fix, Listed, Resource, Step, Target
from provchain.baseline.values import Values, words

_LISTED = ("--type=service,socket,timer", "--no-legend", "--no-pager", "--plain")
STARTED = command("/usr/bin/systemctl", "list-unit-files", *_LISTED)
"""What starts at boot. Only ever asked of named units, as ``_started`` does: to look all up costs 0.3 s."""
RUNNING = command("/usr/bin/systemctl", "list-units", "--all", *_LISTED)
SHOWN = command("/usr/bin/systemctl", "show", "--no-pager")
"""Properties of units: those of all units that somebody asks for, a block each."""
_ALWAYS = "systemd-journald.service"
"""A unit that is everywhere: a list without any could also come from something else than systemctl."""
DPKG = command("/usr/bin/dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\\n")
RPM = command("/usr/bin/rpm", "-qa", "--qf", "%{NAME} installed\\n")
_ENABLED = ("enabled", "enabled-runtime", "linked", "alias")

UnitName = Annotated[str, Field(pattern=r"^[A-Za-z0-9@_.-]{1,60}\.(service|socket|timer)$")]
PackageName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+._-]{0,60}$")]


class Service(Resource):
    """``service``: units are off, or one of them is on: now, and after the next boot."""

    resource: Literal["service"]
    units: Annotated[tuple[UnitName, ...], Field(min_length=1)]
    must: Literal["be_off", "be_on"]

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (_started(self.units), RUNNING)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        boots = {row[0]: row[1] for row in _rows(facts.succeeded(STARTED), 2)}
        active = {row[0]: row[2] for row in _rows(facts.succeeded(RUNNING), 4)}
        states = {unit: (boots.get(unit, ""), active.get(unit, "inactive")) for unit in self.units}
        shown = [f"{unit}: {boot or 'not there'}, {now}" for unit, (boot, now) in states.items()]
        if self.must == "be_off":
            on = [
                line
                for line, (boot, now) in zip(shown, states.values(), strict=True)
                if boot in _ENABLED or now == "active"
            ]
            return judged(not on, f"off: {', '.join(self.units)}", *(on or shown))
        fits = any(boot in (*_ENABLED, "static") and now == "active" for boot, now in states.values())
        return judged(fits, f"on: {' or '.join(self.units)}", *shown)

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        if self.must == "be_off":
            return (Step("units_off", {"names": list(self.units)}),)
        return (Step("unit", {"name": self.units[0]}),)


class AnyService(Resource):
    """``any_service``: at least one of the units that a profile lists runs, and does after the next boot."""

    resource: Literal["any_service"]
    names: Listed

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (_started(words(values, self.names)), RUNNING)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        return Service(resource="service", units=words(values, self.names), must="be_on").judge(
            facts, values, target
        )


class Packages(Resource):
    """``packages``: none of these is installed, or one of them is."""

    resource: Literal["packages"]
    absent: Listed | None = None
    """A threshold: packages of which none may be there."""
    one_of: Annotated[tuple[PackageName, ...], Field(min_length=1)] | None = None

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (DPKG if target.family == "debian" else RPM,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        there = installed(facts, target)
        if self.absent is not None:
            names = words(values, self.absent)
            found = sorted(there & set(names))
            return judged(
                not found, f"none of {', '.join(names)}", *(found or [f"{len(there)} packages, none of them"])
            )
        wanted = self.one_of or ()
        found = sorted(there & set(wanted))
        return judged(bool(found), f"one of {', '.join(wanted)}", *(found or ["none of them"]))

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        if self.absent is None:
            return ()
        return (Step("packages_absent", {"names": list(words(values, self.absent))}),)


def installed(facts: Facts, target: Target) -> set[str]:
    """Return the names of a host's packages. Raises UnknownError."""
    rows = [line.split() for line in facts.succeeded(DPKG if target.family == "debian" else RPM).splitlines()]
    names = {row[0].partition(":")[0] for row in rows if len(row) == 2 and row[1] == "installed"}
    if not names:
        raise UnknownError("the package manager told of no package")
    return names


class UnitProperty(Resource):
    """``unit_property``: a property of a unit, as systemd has it in force."""

    resource: Literal["unit_property"]
    unit: UnitName | None = None
    """Whose property it is; without it, the engine's."""
    section: Literal["Unit", "Service"] = "Service"
    """Where a fix writes it."""
    name: Annotated[str, Field(pattern=r"^[A-Za-z]{2,40}$")]
    one_of: Annotated[tuple[Annotated[str, Field(max_length=100)], ...], Field(min_length=1)] | None = None
    holds: (
        Annotated[tuple[Annotated[str, Field(min_length=1, max_length=60)], ...], Field(min_length=1)] | None
    ) = None

    written: bool = False
    """It is read from the unit's text, since systemd doesn't tell it."""

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        unit = self.unit or target.unit
        if unit is None:
            return ()
        if self.written:
            return (command("/usr/bin/systemctl", "cat", unit, "--no-pager"),)
        told = ("Id", "LoadState", self.name)
        return (replace(SHOWN, over=(unit, *(f"--property={name}" for name in told))),)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        unit = self.unit or target.unit
        if unit is None:
            return not_applicable("no engine runs on this host")
        (probe,) = self.probes(target, values)
        text = facts.succeeded(probe)
        rows = _properties(text) if self.written else _block(text, unit)
        if self.unit and rows.get("LoadState") == "not-found":
            return not_applicable(f"{unit} is not installed")
        if self.unit and target.container and rows.get("LoadState") == "masked":
            return not_applicable(f"{unit} is masked: the machine that carries this container has its own")
        if not self.written and rows["LoadState"] != "loaded":
            raise UnknownError(f"{unit} is {rows['LoadState']}")
        found = rows.get(self.name, "")
        shown = f"{unit}: {self.name}={found}"
        if self.one_of is not None:
            return judged(found in self.one_of, f"{self.name}={' | '.join(self.one_of)}", shown)
        wanted = self.holds or ()
        return judged(set(wanted) <= set(found.split()), f"{self.name} with {' '.join(wanted)}", shown)

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        """The engine's own unit comes with its package; another gets a drop-in."""
        if self.unit is None or not self.one_of:
            return ()
        folder = f"/etc/systemd/system/{self.unit}.d"
        content = f"[{self.section}]\n{self.name}={self.one_of[0]}\n"
        path = f"{folder}/50-provchain-{self.name.lower()}.conf"
        return Step("directory", {"path": folder}), Step("file", {"path": path, "content": content})


def _properties(text: str) -> dict[str, str]:
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _block(text: str, unit: str) -> dict[str, str]:
    """Return what systemctl shows of one of several units. Raises UnknownError if there is nothing of it."""
    rows = next((rows for rows in map(_properties, text.split("\n\n")) if rows.get("Id") == unit), {})
    if "LoadState" not in rows:
        raise UnknownError(f"systemctl told nothing of {unit}")
    return rows


def _started(units: tuple[str, ...]) -> Probe:
    return replace(STARTED, over=(_ALWAYS, *units))


def _rows(text: str, least: int) -> list[list[str]]:
    rows = [line.replace("●", " ").split() for line in text.splitlines()]
    rows = [row for row in rows if row]
    if not rows or any(len(row) < least for row in rows):
        raise UnknownError("systemctl told something else")
    return rows
