"""What an audit found, as data: the one model that every report is made from. Pure; its JSON is versioned.

The canonical form has sorted keys, no spaces and no floating-point numbers, so equal assessments are equal
bytes and a digest of them means something. Format 1, which knew neither what the inventory says of hosts nor
the last audit, is still read, and keeps its bytes. What hosts answered is in it by digest only: evidence that
it was looked at, without what it says; a verdict's own evidence is bounded text.
"""

from __future__ import annotations

import hashlib
import json
from datetime import date, datetime
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from provchain.audit.connectors import Connector
from provchain.baseline.facts import Facts, Status
from provchain.baseline.model import ControlId, RuleId, Severity, Text
from provchain.baseline.observation import Verdict, one_line
from provchain.baseline.values import Record, Value
from provchain.document.described import json_schema

Sm3 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Time = Annotated[datetime, Field(description="UTC, whole seconds")]


class FactMark(Record):
    """How a probe ended, and the SM3 digest of what it told (UTF-8)."""

    status: Status
    code: int
    bytes: Annotated[int, Field(ge=0)]
    sm3: Sm3


class Described(Record):
    """What the inventory says of a host, and rules compare it with: verdicts can be derived again from it."""

    listeners: tuple[str, ...] | None
    """The ends that may listen, such as ``tcp/22``; null where no description names them."""
    admins: tuple[str, ...]
    unit: str | None
    plan: PlanState | None
    connector: Connector | None = None
    """The way to it, where no ssh leads there."""


class PlanState(Record):
    """What a network's description promises, seen from one of its hosts."""

    zones: tuple[str, ...]
    own: str
    faults: int
    together: int
    copies: int
    supervised: int
    ssh_from: tuple[str, ...]


class HostState(Record):
    """A host as it was found."""

    name: str
    zone: str
    roles: tuple[str, ...]
    family: Literal["debian", "rpm"] | None
    container: bool
    hostname: str
    """The name that it gives itself."""
    unreachable: str
    """Why it was not reached; empty if it was."""
    taken: Time
    facts: dict[str, FactMark]
    outside: dict[str, tuple[str, ...]]
    """What was seen from outside."""
    described: Described | None = None
    """Null in format 1 only."""


class WaiverState(Record):
    """A waiver, and whether it counts."""

    rule: RuleId
    hosts: tuple[str, ...]
    reason: Text
    approver: str
    compensation: Text
    expires: date
    state: Literal["in_force", "unused", "expired"]
    """unused: nothing that it is about fails; expired: a finding of its own."""


class AttestationState(Record):
    """A document that shows a control, and whether it counts."""

    control: ControlId
    document: str
    sm3: Sm3
    signer: str
    signed: date
    valid_until: date
    state: Literal["valid", "expired", "not_yet", "missing", "mismatch"]
    """missing: there is no such file; mismatch: its digest is another one. Only valid counts."""


class RuleResult(Record):
    """What a rule found on a host."""

    rule: RuleId
    host: str
    severity: Severity
    verdict: Verdict
    wanted: str
    found: tuple[str, ...]
    reason: str
    """Why it is unknown or not applicable."""
    waived: bool
    """Not compliant, and a waiver in force bears it."""

    @property
    def is_finding(self) -> bool:
        """Tell whether somebody has to act."""
        return self.verdict == Verdict.NONCOMPLIANT and not self.waived


class ClauseResult(Record):
    """A clause on an object: a host, a zone, or the documents."""

    control: ControlId
    kind: Literal["host", "zone", "document"]
    object: str
    """The host's or zone's name; for documents, the attestation's, or empty where there is none."""
    verdict: Verdict
    rules: tuple[RuleId, ...]
    """The rules that speak for it here."""
    waived: tuple[RuleId, ...]
    attestation: str
    """The state of the attestation that it needs, ``none`` where there is none; empty where it needs none."""


class Place(Record):
    """A rule on a host."""

    rule: RuleId
    host: str


class ClauseChange(Record):
    """A clause whose verdict on an object is another one now."""

    control: ControlId
    kind: Literal["host", "zone", "document"]
    object: str
    before: Verdict
    now: Verdict


class Drift(Record):
    """What changed since another audit."""

    audit: Sm3
    """Digest of the canonical form of the one that it is compared with."""
    finished: Time
    """When that one ended."""
    profile: str
    catalog: Sm3
    found: tuple[Place, ...]
    """Findings that were none before."""
    resolved: tuple[Place, ...]
    """Findings of before that now pass, have no object, or are waived."""
    lost: tuple[Place, ...]
    """What was seen before and could not be looked at now."""
    clauses: tuple[ClauseChange, ...]
    came: tuple[str, ...]
    """Hosts that the other audit had not."""
    gone: tuple[str, ...]
    """Hosts that only the other audit had."""
    facts: dict[str, tuple[str, ...]]
    """The probes that tell something else now, by host that both reached, without those that always do."""
    thresholds: tuple[str, ...]
    """The names of thresholds with another value; verdicts may differ for that alone."""

    @property
    def is_worse(self) -> bool:
        """Tell whether somebody has to act."""
        return bool(self.found or self.lost)

    @property
    def is_empty(self) -> bool:
        """Tell whether all is as it was."""
        changes = (self.found, self.resolved, self.lost, self.clauses, self.came, self.gone)
        return not (any(changes) or self.facts or self.thresholds)


class Assessment(Record):
    """A whole audit."""

    format: Literal[1, 2] = 2
    network: str
    profile: str
    auditor: str = ""
    """Who answers for the audit, in their own words; empty where nobody was named."""
    catalog: Sm3
    """Digest of the controls, rules, and thresholds that were used."""
    thresholds: dict[str, Value]
    started: Time
    finished: Time
    day: date | None = None
    """The auditor's day, on which waivers and attestations had to be in force; null in format 1 only."""
    limited: tuple[str, ...] = ()
    """What the audit was limited to; then no clause is judged."""
    hosts: tuple[HostState, ...]
    results: tuple[RuleResult, ...]
    clauses: tuple[ClauseResult, ...]
    waivers: tuple[WaiverState, ...]
    attestations: tuple[AttestationState, ...]
    since: Drift | None = None
    """What changed since the last audit of these hosts; null where there is none."""

    @model_validator(mode="after")
    def _of_its_format(self) -> Assessment:
        told = [one.described is not None for one in self.hosts] + [self.day is not None]
        if any(told) or self.since if self.format == 1 else not all(told):
            raise ValueError("a field of another format")
        return self

    @property
    def findings(self) -> tuple[RuleResult, ...]:
        """Return what somebody has to act on, the severest first."""
        order = ("high", "medium", "low")
        found = (result for result in self.results if result.is_finding)
        return tuple(sorted(found, key=lambda one: (order.index(one.severity), one.rule, one.host)))

    @property
    def expired(self) -> tuple[WaiverState, ...]:
        """Return the waivers that are findings themselves."""
        return tuple(waiver for waiver in self.waivers if waiver.state == "expired")

    @property
    def unseen(self) -> tuple[RuleResult, ...]:
        """Return what could not be looked at."""
        return tuple(result for result in self.results if result.verdict == Verdict.UNKNOWN)

    @property
    def exit_code(self) -> int:
        """Return 1 for a finding, else 3 where something could not be looked at, else 0."""
        if self.findings or self.expired:
            return 1
        return 3 if self.unseen or any(host.unreachable for host in self.hosts) else 0

    def canonical(self) -> str:
        """Return the JSON of which a digest or signature is taken."""
        data = self.model_dump(mode="json", exclude=_LATER if self.format == 1 else None)
        return json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n"


_LATER: Any = {"day": True, "since": True, "hosts": {"__all__": {"described"}}}
"""What format 1 had not."""


def sm3(data: bytes) -> str:
    """Return the SM3 digest in hexadecimal, by OpenSSL."""
    return hashlib.new("sm3", data).hexdigest()


def marks(facts: Facts) -> dict[str, FactMark]:
    """Return how each probe ended, by name, with the digest of what it told."""
    return {
        one_line(name): FactMark(
            status=output.status,
            code=output.code,
            bytes=len(output.text.encode()),
            sm3=sm3(output.text.encode()),
        )
        for name, output in sorted(facts.outputs.items())
    }


def read(text: str) -> Assessment:
    """Return an assessment from its JSON. Raises pydantic's ValidationError."""
    return Assessment.model_validate_json(text)


def schema() -> dict[str, Any]:
    """Return the JSON Schema of the canonical form."""
    return json_schema(Assessment)
