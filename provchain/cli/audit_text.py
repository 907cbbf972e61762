"""What ``provchain audit`` says to people, as lines. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from provchain.audit.assessment import Assessment, Drift, RuleResult
from provchain.audit.drift import alike
from provchain.baseline.catalog import Catalog, Resolved
from provchain.baseline.model import Rule
from provchain.baseline.observation import Verdict
from provchain.baseline.resources import Target
from provchain.baseline.resources.base import Entry

MOST_HOSTS = 6
_NO_WAY = "is it up, are address and port right, does the bastion (jump) lead there?"
_HINTS = {
    "Permission denied (": "auditor's account or key is missing there: the script of `provchain audit enrol`",
    "Host key verification failed": "its key is not the host_key of the list: compare both at its console",
    "timed out": _NO_WAY,
    "refused": _NO_WAY,
    "No route to host": _NO_WAY,
    "sudo: ": "no sudo list, or an older one: run the script of `provchain audit enrol` there again",
}
"""What helps, by what ssh or sudo said."""
_SEVERITIES = {"high": "高 high", "medium": "中 medium", "low": "低 low"}


def summary(found: Assessment, catalog: Catalog) -> list[str]:
    """Say what was found, the severest first, hosts with the same finding together."""
    lines = [f"{host.name}: not reached: {host.unreachable}" for host in found.hosts if host.unreachable]
    lines += _hints(host.unreachable for host in found.hosts)
    for rule, results in _by_rule(found.findings).items():
        record = catalog.rules[rule]
        lines.append(f"{_SEVERITIES[record.severity]}  {rule}  {record.title.zh}  {record.title.en}")
        lines.append(f"    {_hosts(results)}: {', '.join(results[0].found)}; wanted: {results[0].wanted}")
        remedy = f"{record.remedy.zh} {record.remedy.en}" if record.remedy else f"harden, rule {rule}"
        lines.append(f"    {remedy}")
    lines += [
        f"{_SEVERITIES['high']}  waiver of {one.rule} expired on {one.expires}" for one in found.expired
    ]
    for rule, results in _by_rule([one for one in found.unseen if not _down(found, one.host)]).items():
        lines.append(f"{Verdict.UNKNOWN.zh} unknown  {rule}  {_hosts(results)}: {results[0].reason}")
    lines += _hints(one.reason for one in found.unseen if not _down(found, one.host))
    waived = [one for one in found.results if one.waived]
    for rule, results in _by_rule(waived).items():
        lines.append(f"豁免 waived  {rule}  {_hosts(results)}")
    rules = Counter(one.verdict for one in found.results)
    lines += ["", f"{found.network}, profile {found.profile}, {len(found.hosts)} hosts"]
    lines.append("rules on hosts:  " + _counts(rules))
    if found.clauses:
        lines.append("clauses on objects:  " + _counts(Counter(one.verdict for one in found.clauses)))
    lines.append(f"findings: {len(found.findings) + len(found.expired)}, waived: {len(waived)}")
    return lines


def _hints(reasons: Iterable[str]) -> list[str]:
    some = list(reasons)
    found = (hint for words, hint in _HINTS.items() if any(words in one for one in some))
    return [f"    {hint}" for hint in dict.fromkeys(found)]


def _down(found: Assessment, name: str) -> bool:
    return any(host.name == name and host.unreachable for host in found.hosts)


def _by_rule(results: tuple[RuleResult, ...] | list[RuleResult]) -> dict[str, list[RuleResult]]:
    grouped: dict[str, list[RuleResult]] = {}
    for result in results:
        grouped.setdefault(result.rule, []).append(result)
    return grouped


def _hosts(results: list[RuleResult]) -> str:
    names = [result.host for result in results]
    more = f" and {len(names) - MOST_HOSTS} more" if len(names) > MOST_HOSTS else ""
    return " ".join(names[:MOST_HOSTS]) + more


def _counts(counts: Mapping[Verdict, int]) -> str:
    return "  ".join(f"{verdict.zh} {counts.get(verdict, 0)}" for verdict in Verdict)


def drift_lines(found: Drift, new: Assessment) -> list[str]:
    """Say what changed since another audit; nothing where nothing did."""
    if found.is_empty:
        return []
    now = {(one.rule, one.host): one for one in new.results}
    lines = [
        f"new finding  {one.rule}  {one.host}: {', '.join(now[one.rule, one.host].found)}"
        for one in found.found
    ]
    lines += [f"resolved  {one.rule}  {one.host}" for one in found.resolved]
    lines += [
        f"no longer seen  {one.rule}  {one.host}: {now[one.rule, one.host].reason}" for one in found.lost
    ]
    lines += [f"new host  {name}" for name in found.came] + [f"host gone  {name}" for name in found.gone]
    lines += [
        f"clause  {' '.join([some[0].control, *(one.object for one in some)]).strip()}: "
        f"{some[0].before.zh} → {some[0].now.zh}"
        for some in alike(found.clauses)
    ]
    lines += [f"changed  {host}: {', '.join(names)}" for host, names in found.facts.items()]
    lines += [f"threshold changed  {name}" for name in found.thresholds]
    return ["", f"since {found.finished:%Y-%m-%d %H:%M:%S} UTC:", *lines]


def listed(what: str, catalog: Catalog, profile: Resolved) -> list[dict[str, str]]:
    """Return rows: of rules those in the profile, of controls and profiles all."""
    if what == "rules":
        return [
            {"id": one.id, "severity": one.severity, "zh": one.title.zh, "en": one.title.en}
            for one in profile.rules
        ]
    if what == "controls":
        return [
            {"id": one.id, "status": one.status, "zh": one.title.zh, "en": one.title.en}
            for one in catalog.controls.values()
        ]
    return [
        {"id": one.id, "rules": str(len(one.rules)), "zh": one.profile.title.zh, "en": one.profile.title.en}
        for one in catalog.profiles.values()
    ]


def explained(rule: Rule, catalog: Catalog, profile: Resolved) -> dict[str, list[str]]:
    """Return all that there is to say of a rule, by heading."""
    target = Target("any", None, False)
    named = {
        name: profile.thresholds[name]
        for check in (rule.check, *rule.variants.values())
        for name in check.thresholds()
        if name in profile.thresholds
    }
    fixes = [
        f"{fix.dropin}: {fix.key} {fix.value}"
        if isinstance(fix, Entry)
        else f"{fix.kind}: {dict(fix.parameters)}"
        for fix in rule.check.fixes(profile.values, target)
    ]
    found: dict[str, list[str]] = {
        "rule": [rule.id],
        "标题": [rule.title.zh],
        "title": [rule.title.en],
        "原因": [rule.why.zh],
        "why": [rule.why.en],
        "severity": [rule.severity],
        "clauses": [
            f"{clause} {catalog.controls[clause].title.zh} {catalog.controls[clause].title.en}"
            for clause in rule.clauses
        ],
        "in profile": ["yes" if rule in profile.rules else f"no, not in {profile.id}"],
        "thresholds": [
            f"{name} = {one.value} {one.unit or ''} {one.note.zh} {one.note.en}"
            for name, one in named.items()
        ],
        "looks": [probe.id for probe in rule.check.probes(target, profile.values)],
        "fix": fixes if rule.fix == "machine" else [],
        "处置": [rule.remedy.zh] if rule.remedy else [],
        "remedy": [rule.remedy.en] if rule.remedy else [],
        "danger": [rule.danger],
        "reverted": [f"{rule.reverted.zh} {rule.reverted.en}"] if rule.reverted else [],
        "only recorded": list(rule.recorded or ()),
        "references": list(rule.references),
    }
    return {name: lines for name, lines in found.items() if lines}
