"""Files and folders: kind, owner, group and mode, looked at without following links."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from provchain.baseline.facts import Facts, Probe, UnknownError, attributes
from provchain.baseline.observation import Observation, judged, not_applicable
from provchain.baseline.resources.base import Entry, Fix, Resource, Step, Target
from provchain.baseline.values import Values

Name = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_.-]{0,31}$")]


class Found:
    """A line of the probe ``facts.attributes``; size in bytes, time of change in Unix seconds."""

    def __init__(self, line: str) -> None:
        parts = line.split("|", 6)
        if len(parts) != 7 or not all(re.fullmatch(r"-?[0-9]{1,18}", one) for one in parts[4:6]):
            raise UnknownError(f"stat told something else: {line[:80]}")
        self.kind, mode, self.owner, self.group, size, changed, self.path = parts
        try:
            self.mode = int(mode, 8)
        except ValueError:
            raise UnknownError(f"stat told something else: {line[:80]}") from None
        self.size, self.changed = int(size), int(changed)

    def __str__(self) -> str:
        return f"{self.path}: {self.kind} {self.mode:04o} {self.owner}:{self.group}"


def found(facts: Facts, probe: Probe) -> list[Found]:
    """Return what a probe of attributes saw; none where nothing is there. Raises UnknownError."""
    return [Found(line) for line in (facts.text(probe) or "").splitlines() if line]


class File(Resource):
    """``file``: a path has at most these rights, and these owners. With ``*``, all that match have."""

    resource: Literal["file"]
    path: Annotated[str, Field(pattern=r"^/[A-Za-z0-9_./*-]{1,120}$")]
    mode: Annotated[str, Field(pattern=r"^[0-7]{4}$")]
    """The most that it may be; fewer rights are fine."""
    owners: Annotated[tuple[Name, ...], Field(min_length=1)] = ("root",)
    groups: Annotated[tuple[Name, ...], Field(min_length=1)] = ("root",)
    """The first of each is what a fix sets where another is found."""
    missing: Literal["fails", "passes", "no_object"] = "no_object"
    """What it means if nothing is there."""
    hidden: bool = False
    """Only root can look at it."""
    booted: bool = False
    """The distribution gives it more rights at each boot, by tmpfiles.d(5): a fix has the last word there."""

    @property
    def _probe(self) -> Probe:
        return attributes(self.path, root=self.hidden)

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (self._probe,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        seen = found(facts, self._probe)
        wanted = f"{self.path} {self.mode} or less, {'|'.join(self.owners)}:{'|'.join(self.groups)}"
        if not seen:
            if self.missing == "no_object":
                return not_applicable(f"{self.path} is not there")
            return judged(self.missing == "passes", wanted, f"{self.path} is not there")
        bad = [one for one in seen if not self._fits(one)]
        return judged(not bad, wanted, *(str(one) for one in bad or seen))

    def _fits(self, one: Found) -> bool:
        if one.kind == "symbolic link":
            # one of many that match may be one, if only the owner could have made it
            return "*" in self.path and one.owner in self.owners
        return not one.mode & ~int(self.mode, 8) and one.owner in self.owners and one.group in self.groups

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        step = {
            "path": self.path,
            "most": self.mode,
            "owners": list(self.owners),
            "groups": list(self.groups),
        }
        boot = (Entry("tmpfiles", self.path, self.mode),) if self.booted else ()
        return (*boot, Step("attributes", step))
