"""Kernel parameters: the value in force."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field

from provchain.baseline.facts import Facts, Probe, command
from provchain.baseline.observation import Observation, judged, not_applicable
from provchain.baseline.resources.base import Entry, Fix, Resource, Target
from provchain.baseline.values import Expect, Values

LIVE = command("/usr/sbin/sysctl", "-a", root=True)
"""All that are in force. As root: some, which differ by kernel, nobody else can read, and one that was not
read would look like one that this kernel lacks."""
_OWN = ("net.",)
"""What a container has of its own; the rest is its machine's, and is to be judged there."""


class Sysctl(Resource):
    """``sysctl``: a kernel parameter's value in force."""

    resource: Literal["sysctl"]
    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-zA-Z0-9_-]+){1,8}$")]
    expect: Expect

    def probes(self, target: Target) -> tuple[Probe, ...]:
        return (LIVE,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        if target.container and not self.name.startswith(_OWN):
            return not_applicable(
                f"{self.name} is the machine's that carries this container: audit that machine"
            )
        found = _values(facts.succeeded(LIVE)).get(self.name)
        if found is None:
            return not_applicable(f"this kernel has no parameter {self.name}")
        wanted = f"{self.name} = {self.expect.text(values)}"
        return judged(self.expect.fits(found, values), wanted, f"{self.name} = {found}")

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        if target.container and not self.name.startswith(_OWN):
            return ()
        return (Entry("sysctl", self.name, self.expect.value(values) or ""),)


@lru_cache(maxsize=4)  # many rules ask it of the same host
def _values(text: str) -> dict[str, str]:
    rows = (line.partition(" = ") for line in text.splitlines())
    return {name.strip(): " ".join(value.split()) for name, _, value in rows}
