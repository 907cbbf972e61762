"""Judging an audit again from the raw answers in its bundle: whoever has the catalog need not believe it.

What the inventory, the waivers and the attestations said is the auditor's word, sealed in the report. All
else follows from the hosts' answers and the catalog, and is derived here once more, offline.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path

from provchain.audit.assessment import Assessment, AttestationState, ClauseResult, RuleResult
from provchain.audit.clauses import state_on
from provchain.audit.orders import Source
from provchain.audit.run import Order, digest_of_catalog, judged, on_hosts, shipped
from provchain.audit.subjects import of_state
from provchain.baseline.catalog import Catalog
from provchain.baseline.facts import Facts
from provchain.baseline.model import SiteFile, Waiver
from provchain.evidence.bundle import EvidenceError

MOST_NAMED = 8
_Judged = RuleResult | ClauseResult
_AWAY = 1
"""Days by which the auditor's day may differ from that of UTC, wherever they sat."""


def again(
    report: Assessment,
    facts: Mapping[str, Facts],
    catalog: Catalog,
    sources: Mapping[str, str],
    own: Mapping[str, str],
) -> str:
    """Judge again; return why that can't be done, empty where it was done and gave the same.

    ``sources`` are the digests of the files that the audit went by, as its manifest has them; ``own`` is that
    of the site's own profile, where the verifier's ``catalog`` was read with one. Raises EvidenceError where
    the report says anything that does not follow.
    """
    if report.day is None:
        return "its report is of format 1, which does not say enough of its hosts"
    profile = catalog.profiles.get(report.profile)
    if profile is None:
        return f"there is no profile {report.profile} here; give the site's own by --profile FILE"
    here = digest_of_catalog(catalog, profile)
    if here != report.catalog:
        mine = {**shipped(), **own}
        if {name: sources.get(name) for name in mine} == mine and not _other_profiles(sources, mine):
            raise EvidenceError("the report names another catalog than the files that it was judged by")
        return f"catalog or profile of another version: {report.catalog[:16]}… there, {here[:16]}… here"
    same = _judged(report, report.day, facts, catalog)
    wrong = list(_differences(report, same))
    if not wrong and same.canonical() != report.canonical():
        wrong = ["order: other than what follows"]
    if wrong:
        more = f"; and {len(wrong) - MOST_NAMED} more" if len(wrong) > MOST_NAMED else ""
        raise EvidenceError(
            "the report does not follow from its own evidence",
            cause="; ".join(wrong[:MOST_NAMED]) + more,
            remedy="believe the raw answers in the bundle, not this report; ask the auditor",
        )
    return ""


def _judged(report: Assessment, day: date, facts: Mapping[str, Facts], catalog: Catalog) -> Assessment:
    """Return the report as it follows from the facts. Raises EvidenceError."""
    try:
        subjects = tuple(of_state(host) for host in report.hosts)
    except ValueError as error:
        raise EvidenceError("the report says of a host what no inventory could", cause=str(error)) from None
    names = {host.name for host in report.hosts}
    waivers = tuple(
        Waiver(
            rule=one.rule,
            hosts=one.hosts,
            reason=one.reason,
            approver=one.approver,
            compensation=one.compensation,
            expires=one.expires,
        )
        for one in report.waivers
    )
    order = Order(
        Source(report.network, subjects, (), Path(), report.profile),
        catalog,
        catalog.profiles[report.profile],
        SiteFile(waivers=waivers),
        Path(),
        hosts=frozenset(name for name in report.limited if name in names),
        rules=frozenset(name for name in report.limited if name not in names),
        auditor=report.auditor,
    )
    documents = tuple(_document(one, day) for one in report.attestations)
    when = (report.started, report.finished, day)
    found = judged(order, on_hosts(order, facts), documents, when)
    return found.model_copy(update={"since": report.since})


def _document(said: AttestationState, day: date) -> AttestationState:
    """Return an attestation with its state on that day; that its file was there is the auditor's word."""
    if said.state in ("missing", "mismatch"):
        return said
    return AttestationState.model_validate({**said.model_dump(), "state": state_on(day, said, said.sm3)})


def _differences(report: Assessment, same: Assessment) -> Iterator[str]:
    """Say in what a report is not what follows from its facts, verdicts first."""
    said, told = ({f"{one.rule} on {one.host}": one for one in each.results} for each in (report, same))
    yield from _other(said, told)
    clauses, derived = (
        {f"{one.control} {one.kind} {one.object}".strip(): one for one in each.clauses}
        for each in (report, same)
    )
    yield from _other(clauses, derived)
    for name in type(report).model_fields:
        if name not in ("results", "clauses") and getattr(report, name) != getattr(same, name):
            yield f"{name}: other than what follows"
    if report.day and abs((report.day - report.finished.date()).days) > _AWAY:
        yield f"day: {report.day}, though it ended on {report.finished:%Y-%m-%d}"


def _other(said: Mapping[str, _Judged], told: Mapping[str, _Judged]) -> Iterator[str]:
    """Say which verdicts are others than those that follow, or have other grounds."""
    for about in dict.fromkeys([*told, *said]):
        one, two = said.get(about), told.get(about)
        if one != two:
            first, second = (each.verdict if each else "nothing" for each in (one, two))
            grounds = "" if first != second else ", on other grounds"
            yield f"{about}: the report says {first}, its evidence {second}{grounds}"


def _other_profiles(sources: Mapping[str, str], mine: Mapping[str, str]) -> bool:
    """Tell whether the audit went by a catalog's file, or perhaps a profile, that is not here."""
    return any(name not in mine and name != "site/baseline.yml" for name in sources)
