"""What changed between two audits. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from provchain.audit.assessment import Assessment, ClauseChange, ClauseResult, Drift, FactMark, Place, sm3
from provchain.baseline.observation import Verdict

MOVING = (
    *(f"{kind}:/{top}/" for kind in ("file", "stat") for top in ("proc", "run", "var")),
    "run:/usr/bin/chronyc ", "run:/usr/bin/journalctl ", "run:/usr/bin/lastlog",
    "run:/usr/bin/systemctl list-units ", "run:/usr/sbin/auditctl -s",
)  # fmt: skip
"""What tells something else whenever it is asked, though nobody has changed anything."""


def drift(old: Assessment, new: Assessment, digest: str = "") -> Drift:
    """Return what changed; hosts are compared by name, and only where both audits looked at them.

    ``digest`` is that of the old one's canonical form, where it is known.
    """
    before = {(one.rule, one.host): one for one in old.results}
    now = {(one.rule, one.host): one for one in new.results}
    hosts, earlier = ({host.name: host for host in one.hosts} for one in (new, old))
    names = sorted({*old.thresholds, *new.thresholds})
    return Drift(
        audit=digest or sm3(old.canonical().encode()),
        finished=old.finished,
        profile=old.profile,
        catalog=old.catalog,
        found=tuple(
            Place(rule=one.rule, host=one.host)
            for key, one in now.items()
            if one.is_finding and not (key in before and before[key].is_finding)
        ),
        resolved=tuple(
            Place(rule=one.rule, host=one.host)
            for key, one in before.items()
            if one.is_finding
            and key in now
            and not now[key].is_finding
            and now[key].verdict != Verdict.UNKNOWN
        ),
        lost=tuple(
            Place(rule=one.rule, host=one.host)
            for key, one in now.items()
            if one.verdict == Verdict.UNKNOWN and key in before and before[key].verdict != Verdict.UNKNOWN
        ),
        clauses=tuple(_clauses(old, new)),
        # of an audit that was limited, what it left out says nothing
        came=() if old.limited else tuple(name for name in hosts if name not in earlier),
        gone=() if new.limited else tuple(name for name in earlier if name not in hosts),
        facts={
            name: changed
            for name, host in hosts.items()
            if name in earlier
            and not (host.unreachable or earlier[name].unreachable)
            and (changed := _changed(earlier[name].facts, host.facts))
        },
        thresholds=tuple(name for name in names if old.thresholds.get(name) != new.thresholds.get(name)),
    )


def _clauses(old: Assessment, new: Assessment) -> Iterator[ClauseChange]:
    """Yield the clauses with another verdict, where both audits judged them on the same object."""
    before = {_about(one): one.verdict for one in old.clauses}
    for one in new.clauses:
        was = before.get(_about(one), one.verdict)
        if was != one.verdict:
            yield ClauseChange(
                control=one.control, kind=one.kind, object=one.object, before=was, now=one.verdict
            )


def alike(changes: Iterable[ClauseChange]) -> list[list[ClauseChange]]:
    """Return the changes of clauses by what changed, whatever the object."""
    groups: dict[tuple[str, str, Verdict, Verdict], list[ClauseChange]] = {}
    for one in changes:
        groups.setdefault((one.control, one.kind, one.before, one.now), []).append(one)
    return list(groups.values())


def _about(clause: ClauseResult) -> tuple[str, str, str]:
    """Return what a clause is judged on; by documents it is the same object, whichever they are."""
    return clause.control, clause.kind, "" if clause.kind == "document" else clause.object


def _changed(old: Mapping[str, FactMark], new: Mapping[str, FactMark]) -> tuple[str, ...]:
    names = sorted({*old, *new})
    return tuple(name for name in names if old.get(name) != new.get(name) and not name.startswith(MOVING))
