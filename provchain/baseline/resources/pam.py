"""Pluggable authentication: the stacks as PAM loads them, includes followed."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from provchain.baseline.facts import Facts, Probe, file
from provchain.baseline.observation import Observation, judged, not_applicable
from provchain.baseline.resources.base import Fix, Resource, Step, Target
from provchain.baseline.resources.options import FLAG, PamLine, stack
from provchain.baseline.values import Expect, Plain, Record, Values

FILES = file("/etc/pam.d/*")


class Argument(Record):
    """An argument of a module: ``name=value``, or a name that stands alone (its value is ``set``)."""

    name: Annotated[str, Field(pattern=r"^[a-z_]{2,30}$")]
    expect: Expect


class Pam(Resource):
    """``pam``: a module is in the stack of each of these services, before what would make it void."""

    resource: Literal["pam"]
    services: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{1,30}$")], ...], Field(min_length=1)
    ]
    """Services whose stack must have it; one that is not installed is passed over."""
    kind: Annotated[Literal["auth", "account", "password", "session"], Field(alias="type")]
    module: Annotated[str, Field(pattern=r"^pam_[a-z0-9_]{2,30}\.so$")]
    flag: Plain | None = None
    """An argument that stands alone and must be there, such as ``preauth``."""
    never: Plain | None = None
    """An argument that must not be there, such as ``nullok``."""
    arguments: tuple[Argument, ...] = ()
    before: Annotated[str, Field(pattern=r"^pam_[a-z0-9_]{2,30}\.so$")] | None = None
    """It must stand above this module, which otherwise would decide without it."""
    profile: Annotated[str, Field(pattern=r"^[a-z]{3,20}$")] | None = None
    """The PAM profile of ours that a fix enables."""

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (FILES,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        texts = facts.files(FILES)
        there = [name for name in self.services if f"/etc/pam.d/{name}" in texts]
        if not there:
            return not_applicable(f"no such service: {', '.join(self.services)}")
        found, fits = [], True
        for service in there:
            good, shown = self._in_stack(stack(service, self.kind, texts), values)
            fits &= good
            found.append(f"{service}: {shown}")
        return judged(fits, self._wanted(values), *found)

    def _in_stack(self, lines: list[PamLine], values: Values) -> tuple[bool, str]:
        for place, line in enumerate(lines):
            if line.module != self.module or (self.flag and self.flag not in line.arguments):
                continue
            if self.before and any(one.module == self.before for one in lines[:place]):
                return False, f"{self.module} stands below {self.before}"
            given = dict(_split(argument) for argument in line.arguments)
            fits = all(one.expect.fits(given.get(one.name), values) for one in self.arguments)
            fits &= self.never not in line.arguments
            return fits, " ".join((line.control, line.module, *line.arguments))
        return False, f"no {self.module}{f' {self.flag}' if self.flag else ''} in {self.kind}"

    def _wanted(self, values: Values) -> str:
        words = [self.kind, self.module, *([self.flag] if self.flag else [])]
        words += [f"{one.name} {one.expect.text(values)}" for one in self.arguments]
        words += [f"without {self.never}"] if self.never else []
        return " ".join(words) + (f" above {self.before}" if self.before else "")

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        if self.profile is None:
            return ()
        arguments = {one.name: one.expect.value(values) or "" for one in self.arguments}
        return (Step("pam_profile", {"name": self.profile, "arguments": arguments}),)


def _split(argument: str) -> tuple[str, str]:
    name, equals, value = argument.partition("=")
    return name, value if equals else FLAG
