"""What changed between two audits. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from provchain.audit.assessment import Assessment, FactMark, RuleResult
from provchain.baseline.observation import Verdict


@dataclass(frozen=True, slots=True)
class Drift:
    """Rules by what became of them, hosts that came and went, and probes that tell something else now."""

    found: tuple[RuleResult, ...]
    """Findings that were none before."""
    resolved: tuple[RuleResult, ...]
    """Findings of before that now pass, have no object, or are waived; as they are now."""
    lost: tuple[RuleResult, ...]
    """What was seen before and could not be looked at now."""
    came: tuple[str, ...]
    gone: tuple[str, ...]
    facts: dict[str, tuple[str, ...]]
    """The probes that changed, by host."""
    thresholds: tuple[str, ...]
    """The names of thresholds with another value; verdicts may differ for that alone."""

    @property
    def is_worse(self) -> bool:
        """Tell whether somebody has to act."""
        return bool(self.found or self.lost)


def drift(old: Assessment, new: Assessment) -> Drift:
    """Return what changed; hosts are compared by name, and only where both audits looked at them."""
    before = {(one.rule, one.host): one for one in old.results}
    now = {(one.rule, one.host): one for one in new.results}
    hosts, earlier = ({host.name: host for host in one.hosts} for one in (new, old))
    names = sorted({*old.thresholds, *new.thresholds})
    return Drift(
        found=tuple(
            one
            for key, one in now.items()
            if one.is_finding and not (key in before and before[key].is_finding)
        ),
        resolved=tuple(
            now[key]
            for key, one in before.items()
            if one.is_finding
            and key in now
            and not now[key].is_finding
            and now[key].verdict != Verdict.UNKNOWN
        ),
        lost=tuple(
            one
            for key, one in now.items()
            if one.verdict == Verdict.UNKNOWN and key in before and before[key].verdict != Verdict.UNKNOWN
        ),
        came=tuple(name for name in hosts if name not in earlier),
        gone=tuple(name for name in earlier if name not in hosts),
        facts={
            name: changed
            for name, host in hosts.items()
            if name in earlier and (changed := _changed(earlier[name].facts, host.facts))
        },
        thresholds=tuple(name for name in names if old.thresholds.get(name) != new.thresholds.get(name)),
    )


def _changed(old: Mapping[str, FactMark], new: Mapping[str, FactMark]) -> tuple[str, ...]:
    return tuple(name for name in sorted({*old, *new}) if old.get(name) != new.get(name))
