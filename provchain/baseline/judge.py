"""From facts to verdicts: each rule on each host, with waivers; then each clause on each object."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import date

from provchain.baseline.catalog import Resolved
from provchain.baseline.facts import Facts, Probe, UnknownError
from provchain.baseline.model import Rule, Waiver
from provchain.baseline.observation import Observation, Verdict, not_applicable, unknown
from provchain.baseline.resources import Target

CARRIED = "the kernel is that of the machine that carries this container: audit that machine"


@dataclass(frozen=True, slots=True)
class Result:
    """What a rule found on a host, and the waiver that bears it, if one does."""

    rule: Rule
    host: str
    observation: Observation
    waiver: Waiver | None = None

    @property
    def is_finding(self) -> bool:
        """Tell whether somebody has to act: not compliant, and not waived."""
        return self.observation.verdict == Verdict.NONCOMPLIANT and self.waiver is None


def applies(rule: Rule, target: Target) -> bool:
    """Tell whether a rule is about this host."""
    wanted = rule.applies
    return (
        (wanted.roles is None or not target.roles.isdisjoint(wanted.roles))
        and target.roles.isdisjoint(wanted.without_roles or ())
        and (wanted.families is None or target.family in wanted.families)
        and (wanted.machines is None or (wanted.machines == "container") == target.container)
    )


def probes(profile: Resolved, target: Target) -> tuple[Probe, ...]:
    """Return every look that the profile's rules need on this host, each once, in a stable order."""
    wanted = {
        probe
        for rule in profile.rules
        if applies(rule, target)
        for probe in rule.check_for(target.family).probes(target, profile.values)
    }
    return tuple(sorted(wanted))


def judge(profile: Resolved, target: Target, facts: Facts) -> tuple[Result, ...]:
    """Return what every rule of the profile found on this host."""
    return tuple(Result(rule, target.name, observe(rule, profile, target, facts)) for rule in profile.rules)


def observe(rule: Rule, profile: Resolved, target: Target, facts: Facts) -> Observation:
    """Return what one rule found on this host."""
    if facts.unreachable:
        return unknown(f"host not reached: {facts.unreachable}")
    if not applies(rule, target):
        machine = rule.applies.machines == "machine" and target.container
        return not_applicable(CARRIED if machine else "the rule is about other hosts")
    try:
        return rule.check_for(target.family).judge(facts, profile.values, target)
    except UnknownError as error:
        return unknown(str(error))


def waived(results: Iterable[Result], waivers: Sequence[Waiver], today: date) -> tuple[Result, ...]:
    """Return the results with the waivers that are in force today, borne to the end of their last day."""

    def borne(result: Result) -> Result:
        waiver = next((one for one in waivers if _bears(one, result, today)), None)
        return replace(result, waiver=waiver) if waiver else result

    return tuple(borne(result) for result in results)


def _bears(waiver: Waiver, result: Result, today: date) -> bool:
    return (
        result.observation.verdict == Verdict.NONCOMPLIANT
        and waiver.rule == result.rule.id
        and ("*" in waiver.hosts or result.host in waiver.hosts)
        and today <= waiver.expires
    )


def expired(waivers: Sequence[Waiver], today: date) -> tuple[Waiver, ...]:
    """Return the waivers whose last day is over: each is a finding."""
    return tuple(waiver for waiver in waivers if today > waiver.expires)


def rolled_up(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the verdict of a clause on one object from those of its rules there.

    What fails beside what passes is partly compliant; what is unknown keeps a clause from being compliant.
    """
    seen = set(verdicts) - {Verdict.NOT_APPLICABLE}
    if not seen:
        return Verdict.NOT_APPLICABLE
    if Verdict.NONCOMPLIANT in seen or Verdict.PARTIAL in seen:
        whole = seen <= {Verdict.NONCOMPLIANT, Verdict.UNKNOWN}
        return Verdict.NONCOMPLIANT if whole else Verdict.PARTIAL
    return Verdict.UNKNOWN if Verdict.UNKNOWN in seen else Verdict.COMPLIANT
