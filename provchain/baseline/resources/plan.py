"""What the description of a network promises: its zones, its redundancy, the supervisor's links."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from provchain.baseline.facts import Facts, Probe
from provchain.baseline.observation import Observation, judged, not_applicable
from provchain.baseline.resources.base import Plan, Resource, Target
from provchain.baseline.values import Threshold, Values, number

_COUNTED = {"bear_faults": "faults", "keep_copies": "copies", "serve_supervisor": "supervised"}


class PlanCheck(Resource):
    """``plan``: the network's description has what its clause asks for. It needs no look at a host."""

    resource: Literal["plan"]
    must: Literal[
        "have_zones",
        "stand_in_zone",
        "be_administered_from",
        "bear_faults",
        "spread_validators",
        "keep_copies",
        "serve_supervisor",
    ]
    zones: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """Kinds of zones, for the first three."""
    least: Threshold | None = None
    """The least count, for those that count."""

    @model_validator(mode="after")
    def _complete(self) -> PlanCheck:
        about_zones = self.must in ("have_zones", "stand_in_zone", "be_administered_from")
        if about_zones != (self.zones is not None) or (self.must in _COUNTED) != (self.least is not None):
            raise ValueError("zones where it is about zones, least where it counts, and not otherwise")
        return self

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return ()

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        if target.plan is None:
            return not_applicable("no description names this host")
        if self.zones is not None:
            return self._zones(target.plan, set(self.zones))
        if self.must == "spread_validators":
            plan = target.plan
            shown = f"{plan.together} validators share a failure domain; {plan.faults} may fail"
            return judged(plan.together <= plan.faults, "no domain with more than may fail", shown)
        found, least = getattr(target.plan, _COUNTED[self.must]), number(values, self.least or "")
        return judged(found >= least, f">= {least}", f"{found}")

    def _zones(self, plan: Plan, zones: set[str]) -> Observation:
        seen = {"have_zones": plan.zones, "stand_in_zone": {plan.own}}.get(self.must, plan.ssh_from)
        fits = zones <= seen if self.must == "have_zones" else bool(seen) and seen <= zones
        return judged(fits, ", ".join(sorted(zones)), ", ".join(sorted(seen)) or "none")
