"""Kernel parameters: the value in force."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from provchain.baseline.facts import Facts, Probe, file
from provchain.baseline.observation import Observation, judged, not_applicable
from provchain.baseline.resources.base import Entry, Fix, Resource, Step, Target
from provchain.baseline.values import Expect, Values

_ALWAYS = file("/proc/sys/kernel/hostname")
"""A parameter that every kernel has: where it is not seen, nothing says that another one does not exist."""
_OWN = ("net.",)
"""What a container has of its own; the rest is its machine's, and is to be judged there."""


class Sysctl(Resource):
    """``sysctl``: a kernel parameter's value in force."""

    resource: Literal["sysctl"]
    name: Annotated[str, Field(pattern=r"^[a-z0-9_]+(\.[a-zA-Z0-9_-]+){1,8}$")]
    expect: Expect

    @property
    def _probe(self) -> Probe:
        """As root: what only root can read would else be unknown, and which ones do differs by kernel."""
        return file(f"/proc/sys/{self.name.replace('.', '/')}", root=True)

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (self._probe, _ALWAYS)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        if target.container and not self.name.startswith(_OWN):
            return not_applicable(
                f"{self.name} is the machine's that carries this container: audit that machine"
            )
        text = facts.text(self._probe)
        if text is None:
            facts.succeeded(_ALWAYS)
            return not_applicable(f"this kernel has no parameter {self.name}")
        found = " ".join(text.split())
        wanted = f"{self.name} = {self.expect.text(values)}"
        return judged(self.expect.fits(found, values), wanted, f"{self.name} = {found}")

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        if target.container and not self.name.startswith(_OWN):
            return ()
        value = self.expect.value(values) or ""
        others = list(self.expect.one_of or ())
        # the file counts from the next boot on
        return Entry("sysctl", self.name, value), Step(
            "knob", {"name": self.name, "value": value, "fits": others}
        )
