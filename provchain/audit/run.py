"""One audit from beginning to end: what to ask, the asking, and what follows from the answers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import signal
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

from provchain.audit import looks, ssh
from provchain.audit.assessment import Assessment, AttestationState, HostState, RuleResult, marks, sm3
from provchain.audit.clauses import attestation_states, clauses, waiver_states
from provchain.audit.orders import Source
from provchain.audit.subjects import HOSTNAME, Subject, described, everything, known
from provchain.baseline import judge
from provchain.baseline.catalog import BASELINES, Catalog, Resolved
from provchain.baseline.facts import Facts, Probe, Status
from provchain.baseline.judge import Result
from provchain.baseline.model import SiteFile
from provchain.baseline.observation import one_line

MOST_DOCUMENT = 512 << 20
Told = Callable[[str, Facts], None]


@dataclass(frozen=True)
class Order:
    """What is to be audited, and against what."""

    source: Source
    catalog: Catalog
    profile: Resolved
    site: SiteFile
    site_folder: Path
    """Where the documents of attestations lie."""
    hosts: frozenset[str] = frozenset()
    """The hosts that it is limited to; empty for all."""
    rules: frozenset[str] = frozenset()
    """The rules that it is limited to; empty for all."""
    auditor: str = ""
    """Who answers for it."""
    read: tuple[Path, ...] = ()
    """The site's own files that it goes by, beside the catalog's."""

    @property
    def asked(self) -> tuple[Probe, ...]:
        """Return all that is asked: the same of every host, and for any choice of rules."""
        return everything(self.profile, [one.target for one in self.source.subjects])

    @cached_property
    def digest(self) -> str:
        """Return the SM3 digest of the controls, rules and thresholds that it goes by."""
        return digest_of_catalog(self.catalog, self.profile)

    def sources(self) -> dict[str, str]:
        """Return the SM3 digest of every file that it goes by: the catalog's, and the site's own by name."""
        own = {f"site/{path.name}": sm3(path.read_bytes()) for path in self.read}
        return dict(sorted({**shipped(), **own}.items()))


def shipped() -> dict[str, str]:
    """Return the SM3 digest of every file of the catalog, by its name."""
    files = sorted(path for path in BASELINES.rglob("*.yml") if path.is_file())
    return {f"baselines/{path.relative_to(BASELINES)}": sm3(path.read_bytes()) for path in files}


@dataclass(frozen=True, slots=True)
class OnHost:
    """A host that was asked: how it was found, and what every rule found on it."""

    state: HostState
    results: tuple[Result, ...]


def audit(
    order: Order,
    told: Told = lambda _name, _facts: None,
    meanwhile: Callable[[], object] = lambda: None,
) -> Assessment:
    """Look at every host side by side and return what was found; read-only.

    What can be done while hosts are at work is done then: those that have answered are judged, and
    ``meanwhile`` is called once.
    """
    started = _now()
    reaches = [reach for reach in order.source.reaches if not order.hosts or reach.name in order.hosts]
    subjects = {one.name: one for one in order.source.subjects}
    hosts: dict[str, OnHost] = {}

    def arrived(name: str, facts: Facts) -> None:
        hosts[name] = on_host(order, subjects[name], facts)
        told(name, facts)

    def beside() -> None:
        _ = order.digest  # it is kept
        meanwhile()

    _run(ssh.ask_all(reaches, looks.plan(order.asked), told=arrived, meanwhile=beside))
    return assess(order, [hosts[name] for name in subjects if name in hosts], started, _now())


def _run(work: Coroutine[Any, Any, object]) -> None:
    """Run to the end; an interrupt from the keyboard ends every connection first. Raises InterruptedError."""
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # which asyncio turns into an orderly end
    try:
        asyncio.run(work)
    except KeyboardInterrupt:
        raise InterruptedError("interrupted") from None
    finally:
        signal.signal(signal.SIGINT, before)


def on_host(order: Order, subject: Subject, facts: Facts) -> OnHost:
    """Return the verdicts on one host from its facts. Pure."""
    whole = known(subject, facts)
    results = tuple(
        result
        for result in judge.judge(order.profile, whole.target, facts)
        if not order.rules or result.rule.id in order.rules
    )
    return OnHost(_host(whole, facts), results)


def on_hosts(order: Order, facts: Mapping[str, Facts]) -> tuple[OnHost, ...]:
    """Return the verdicts on the audit's hosts, in its order, as far as there are facts of them. Pure."""
    return tuple(on_host(order, one, facts[one.name]) for one in order.source.subjects if one.name in facts)


def assess(order: Order, hosts: Sequence[OnHost], started: datetime, finished: datetime) -> Assessment:
    """Return the verdicts on all hosts together; reads the documents of attestations, and nothing else."""
    today = finished.astimezone().date()
    documents = attestation_states(
        order.site.attestations,
        {one.file: digest_of(order.site_folder, one.file) for one in order.site.attestations},
        today,
    )
    return judged(order, hosts, documents, (started, finished, today))


def judged(
    order: Order,
    hosts: Sequence[OnHost],
    documents: tuple[AttestationState, ...],
    when: tuple[datetime, datetime, date],
) -> Assessment:
    """Return the verdicts from those on hosts and what is known of documents; pure.

    ``when`` is when the audit started and finished, and the auditor's day.
    """
    started, finished, today = when
    results = [result for host in hosts for result in host.results]
    waived = judge.waived(results, order.site.waivers, today)
    limited = (*sorted(order.hosts), *sorted(order.rules))
    zones = {host.state.name: host.state.zone or order.source.network for host in hosts}
    return Assessment(
        network=order.source.network,
        profile=order.profile.id,
        auditor=one_line(order.auditor),
        catalog=order.digest,
        thresholds=dict(sorted(order.profile.values.items())),
        started=started,
        finished=finished,
        day=today,
        limited=limited,
        hosts=tuple(host.state for host in hosts),
        results=tuple(_result(result) for result in waived),
        clauses=() if limited else clauses(order.catalog.controls.values(), waived, zones, documents),
        waivers=waiver_states(order.site.waivers, waived, today),
        attestations=documents,
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(microsecond=0)


def digest_of(folder: Path, name: str) -> str | None:
    """Return the SM3 digest of a document below a folder, or None if there is none that can be read.

    One of more than 512 MiB is not read.
    """
    digest = hashlib.new("sm3")
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        return None
    try:
        if not path.is_file() or path.stat().st_size > MOST_DOCUMENT:
            return None
        with path.open("rb") as source:
            while chunk := source.read(1 << 20):
                digest.update(chunk)
    except OSError:
        return None
    return digest.hexdigest()


def digest_of_catalog(catalog: Catalog, profile: Resolved) -> str:
    """Return the SM3 digest of all that verdicts are judged by: controls, the profile's rules, thresholds."""
    records: Iterable[Sequence[object]] = (
        [control.model_dump(mode="json") for control in catalog.controls.values()],
        [rule.model_dump(mode="json") for rule in profile.rules],
        [profile.id, dict(profile.values)],
    )
    return sm3(json.dumps(list(records), ensure_ascii=False, sort_keys=True).encode())


def _host(subject: Subject, facts: Facts) -> HostState:
    hostname = facts.outputs.get(HOSTNAME.id)
    return HostState(
        name=subject.name,
        zone=subject.zone,
        roles=tuple(sorted(subject.target.roles)),
        family=subject.target.family,
        container=subject.target.container,
        hostname=one_line(hostname.text.strip()) if hostname and hostname.status == Status.SEEN else "",
        unreachable=one_line(facts.unreachable),
        taken=datetime.fromtimestamp(facts.taken, UTC),
        facts=marks(facts),
        outside=dict(sorted(facts.external.items())),
        described=described(subject),
    )


def _result(result: Result) -> RuleResult:
    seen = result.observation
    return RuleResult(
        rule=result.rule.id,
        host=result.host,
        severity=result.rule.severity,
        verdict=seen.verdict,
        wanted=seen.wanted,
        found=seen.found,
        reason=seen.reason,
        waived=result.waiver is not None,
    )
