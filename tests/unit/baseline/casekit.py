"""Cases of rules, told as data: what a host's probes said, and the verdict that must follow.

``{name}`` in a text is the profile's threshold of that name, ``{name+1}`` and ``{name-1}`` its neighbours, so
that a boundary is tried where it is, whatever the figure. ``{name days ago}`` is that day as lastlog(8) has
it, ``{name days ago utc}`` as journalctl(1), ``{name hours ago unix}`` in seconds, ``{name days ahead}`` as
x509(1); ``{name times TEXT}`` is the text so often, each with its number for ``#``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from provchain.baseline import catalog
from provchain.baseline.facts import Facts, Output, Status
from provchain.baseline.resources import Plan, Target
from provchain.baseline.values import Values

CASES = Path(__file__).parent / "cases"
CATALOG = catalog.load()
STRICT = CATALOG.profiles["mlps3-chain"]
TAKEN = 1_800_000_000
_PLACE = re.compile(
    r"\{([a-z][a-z0-9_]*)([+-][0-9]+)?(?: (days|hours) (ago|ahead)(?: (unix|utc))?| times ([^{}]*))?\}", re.S
)
_FORMS = {"ago": "%a %b %d %H:%M:%S %z %Y", "ahead": "%b %d %H:%M:%S %Y", "utc": "%a %Y-%m-%d %H:%M:%S UTC"}


@dataclass(frozen=True)
class Case:
    """One host as a rule sees it."""

    rule: str
    number: int
    told: dict[str, Any]

    @property
    def id(self) -> str:
        return f"{self.rule}-{self.number}-{self.told['verdict']}"

    @property
    def target(self) -> Target:
        """The host: a Debian machine, unless told otherwise."""
        told = self.told
        listeners = told.get("listeners")
        return Target(
            "h1",
            told.get("family", "debian"),
            told.get("container", False),
            frozenset(told.get("roles", ())),
            None if listeners is None else frozenset((p, int(n)) for p, n in listeners),
            tuple(told.get("admins", ())),
            told.get("unit"),
            _plan(told["plan"]) if "plan" in told else None,
        )

    def facts(self, values: Values) -> Facts:
        """What was seen of it; a probe that is not told was not looked at."""
        outputs = {name: _output(told, values) for name, told in self.told["facts"].items()}
        external = {name: tuple(one) for name, one in self.told.get("external", {}).items()}
        return Facts(outputs, taken=TAKEN, external=external)


def cases() -> Iterator[Case]:
    """Every case of every file."""
    for path in sorted(CASES.glob("*.yml")):
        for entry in yaml.safe_load(path.read_text(encoding="utf-8")):
            for number, told in enumerate(entry["cases"]):
                yield Case(entry["rule"], number, told)


def _plan(told: dict[str, Any]) -> Plan:
    """A plan that passes, but for what is told."""

    def kinds(key: str, *good: str) -> frozenset[str]:
        return frozenset(told.get(key, good))

    def figure(key: str, good: int) -> int:
        found = told.get(key, good)
        placed = isinstance(found, str) and _PLACE.fullmatch(found)
        return int(_value(placed, STRICT.values)) if placed else int(found)

    return Plan(
        kinds("zones", "consensus", "access", "management"),
        str(told.get("own", "consensus")),
        figure("faults", 1),
        figure("together", 1),
        figure("copies", 5),
        figure("supervised", 2),
        kinds("ssh_from", "management"),
    )


def _output(told: str | dict[str, Any], values: Values) -> Output:
    given = {"text": told} if isinstance(told, str) else told
    text = _PLACE.sub(lambda found: _value(found, values), given.get("text", ""))
    return Output(Status(given.get("status", "seen")), int(given.get("code", 0)), text)


def _value(found: re.Match[str], values: Values) -> str:
    value = values[found[1]]
    if not isinstance(value, int):
        return ",".join(value)
    figure = value + int(found[2] or 0)
    if found[6]:
        return "".join(found[6].replace("#", str(one)) for one in range(figure))
    if found[3]:
        passed = timedelta(**{found[3]: figure if found[4] == "ahead" else -figure})
        when = datetime.fromtimestamp(TAKEN, UTC) + passed
        form = found[5] or found[4]
        return str(int(when.timestamp())) if form == "unix" else when.strftime(_FORMS[form])
    return str(figure)
