"""From what rules found to what each clause is worth on each object. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date

from provchain.audit.assessment import AttestationState, ClauseResult, WaiverState
from provchain.baseline import judge
from provchain.baseline.judge import Result
from provchain.baseline.model import Attestation, Control, Waiver
from provchain.baseline.observation import Verdict


def clauses(
    controls: Iterable[Control],
    results: Sequence[Result],
    zones: Mapping[str, str],
    attestations: Sequence[AttestationState],
) -> tuple[ClauseResult, ...]:
    """Return every clause on every object; ``zones`` has each host's zone, empty where it has none.

    A clause of the host class is judged on each host, one of the network class on each zone (all its hosts
    together), any other by its documents. Where rules show a part only, a valid attestation has to show the
    rest: without it the clause is at best unknown.
    """
    by_clause: dict[str, list[Result]] = {}
    for result in results:
        for clause in result.rule.clauses:
            by_clause.setdefault(clause, []).append(result)
    documents = {one.control: one for one in sorted(attestations, key=_worth)}
    return tuple(
        found
        for control in controls
        for found in _one(control, by_clause.get(control.id, []), zones, documents.get(control.id))
    )


def _worth(attestation: AttestationState) -> bool:
    """Sort those that count last, so that of several for a clause one that counts is taken."""
    return attestation.state == "valid"


def _one(
    control: Control, results: list[Result], zones: Mapping[str, str], document: AttestationState | None
) -> Iterator[ClauseResult]:
    needed = control.status in ("partly", "attestation")
    state = (document.state if document else "none") if needed else ""
    shown = Verdict.COMPLIANT if state == "valid" else Verdict.UNKNOWN
    if control.status == "not_applicable" or not results:
        verdict = Verdict.NOT_APPLICABLE if control.status == "not_applicable" else shown
        name = document.document if document else ""
        yield _clause(control, ("document", name), verdict, (), state)
        return
    objects: dict[str, list[Result]] = {}
    for result in results:
        name = zones[result.host] if control.kind == "network" else result.host
        objects.setdefault(name, []).append(result)
    kind = "zone" if control.kind == "network" else "host"
    for name, some in objects.items():
        verdict = judge.rolled_up(result.observation.verdict for result in some)
        if needed and verdict != Verdict.NOT_APPLICABLE:
            verdict = judge.rolled_up([verdict, shown])
        yield _clause(control, (kind, name), verdict, some, state)


def _clause(
    control: Control, about: tuple[str, str], verdict: Verdict, results: Sequence[Result], state: str
) -> ClauseResult:
    return ClauseResult.model_validate(
        {
            "control": control.id,
            "kind": about[0],
            "object": about[1],
            "verdict": verdict,
            "rules": tuple(dict.fromkeys(result.rule.id for result in results)),
            "waived": tuple(dict.fromkeys(result.rule.id for result in results if result.waiver)),
            "attestation": state,
        }
    )


def waiver_states(
    waivers: Sequence[Waiver], results: Sequence[Result], today: date
) -> tuple[WaiverState, ...]:
    """Return each waiver with whether it counts today."""
    used = {id(result.waiver) for result in results if result.waiver}
    over = {id(waiver) for waiver in judge.expired(waivers, today)}
    return tuple(
        WaiverState(
            rule=waiver.rule,
            hosts=waiver.hosts,
            reason=waiver.reason,
            approver=waiver.approver,
            compensation=waiver.compensation,
            expires=waiver.expires,
            state="expired" if id(waiver) in over else "in_force" if id(waiver) in used else "unused",
        )
        for waiver in waivers
    )


def attestation_states(
    attestations: Sequence[Attestation], digests: Mapping[str, str | None], today: date
) -> tuple[AttestationState, ...]:
    """Return each attestation with whether it counts today, by each file's digest, None if it is gone."""
    return tuple(
        AttestationState.model_validate(
            {
                **one.model_dump(exclude={"file"}),
                "state": state_on(today, one, digests.get(one.file)),
            }
        )
        for one in attestations
    )


def state_on(today: date, attestation: Attestation | AttestationState, digest: str | None) -> str:
    """Return whether a document counts today, by the digest of its file, None if there is none."""
    if digest is None:
        return "missing"
    if digest != attestation.sm3:
        return "mismatch"
    if today < attestation.signed:
        return "not_yet"
    return "expired" if today > attestation.valid_until else "valid"
