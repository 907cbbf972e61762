"""The records of the catalog: controls, rules, profiles; and of a site: waivers and attestations.

Shapes and single values are checked here; what must hold between records is in ``catalog``.
"""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field

from provchain.baseline.resources import Check, Family
from provchain.baseline.values import Record
from provchain.spec.model import NodeRole

RULE = "^[a-z][a-z0-9]*(-[a-z0-9]+){1,6}$"
CONTROL = r"^(22239|39786|0184)\.[0-9]{1,2}(\.[0-9]{1,2}){0,3}(\.[a-z])?$"
UNIT = "^L3-[A-Z]{3}[12]-[0-9]{2}$"
NAME = "^[a-z][a-z0-9_]{1,47}$"
PROFILE = "^[a-z][a-z0-9-]{1,31}$"
LINE = r"^[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*\S[^\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]*$"
SM3 = "^[0-9a-f]{64}$"

MEANINGS = {
    RULE: "a rule's id: lower-case words joined by hyphens, such as ssh-root-login",
    CONTROL: "a control's id: 22239, 39786 or 0184, then the clause, such as 22239.8.1.4.1.a",
    UNIT: "an assessment unit such as L3-CES1-01",
    NAME: "2 to 48 lower-case letters, digits and underscores, a letter first",
    PROFILE: "a profile's id: lower-case letters, digits and hyphens",
    LINE: "one line of text that is not blank",
    SM3: "an SM3 digest: 64 hexadecimal digits in lower case",
}

Standard = Literal["GB/T 22239-2019", "GB/T 39786-2021", "JR/T 0184-2020"]
PREFIXES: dict[str, str] = {
    "GB/T 22239-2019": "22239.",
    "GB/T 39786-2021": "39786.",
    "JR/T 0184-2020": "0184.",
}

Line = Annotated[str, Field(pattern=LINE, max_length=400)]
RuleId = Annotated[str, Field(pattern=RULE, max_length=64)]
ControlId = Annotated[str, Field(pattern=CONTROL)]
Severity = Literal["high", "medium", "low"]


class Text(Record):
    """What officers and regulators read: Chinese, with English beside it."""

    zh: Line
    en: Line


# --- controls


class Control(Record):
    """A clause of a standard, in words of our own."""

    id: ControlId
    unit: Annotated[str, Field(pattern=UNIT)] | None = None
    """Assessment unit of GB/T 28448-2019."""
    point: Text
    """The control point that it belongs to."""
    title: Text
    """What it asks for."""
    kind: Annotated[Literal["host", "network", "organisational", "assisted"], Field(alias="class")]
    """host, network: seen by machine; organisational: by documents; assisted: documents with an attachment
    that a machine makes."""
    high_risk: bool = False
    """Often a trigger of a high-risk judgement (T/ISEAA 001-2020)."""
    optional: bool = False
    """The standard says may (可): facts are recorded, the assessor decides."""
    unsure: bool = False
    """Number or wording were not compared with the printed standard."""
    status: Literal["automated", "partly", "attestation", "not_applicable"]
    """How far it is shown: wholly by rules; by rules and an attestation; by an attestation; not at all."""
    reason: Text | None = None
    """What is left to people (partly), which document shows it (attestation), or why it has no object
    (not_applicable)."""


class ControlFile(Record):
    """A file of ``baselines/controls``."""

    standard: Standard
    section: Text
    controls: Annotated[tuple[Control, ...], Field(min_length=1)]


# --- rules


class Applies(Record):
    """Which hosts a rule is about; what is left out does not restrict."""

    roles: Annotated[tuple[NodeRole, ...], Field(min_length=1)] | None = None
    """Hosts with one of these roles."""
    without_roles: Annotated[tuple[NodeRole, ...], Field(min_length=1)] | None = None
    """Hosts with none of these roles."""
    families: Annotated[tuple[Family, ...], Field(min_length=1)] | None = None
    machines: Literal["machine", "container"] | None = None


class Rule(Record):
    """One thing to check on hosts, and what fixes it."""

    id: RuleId
    title: Text
    why: Text
    """What goes wrong without it."""
    clauses: Annotated[tuple[ControlId, ...], Field(min_length=1)]
    severity: Severity
    profile: Annotated[str, Field(pattern=PROFILE)] = "mlps3"
    """The profile that it belongs to, and with it those that extend that one."""
    applies: Applies = Applies()
    check: Check
    variants: dict[Family, Check] = Field(default_factory=dict)
    """The check on another family of systems, where it differs."""
    recorded: Annotated[tuple[Family, ...], Field(min_length=1)] | None = None
    """Families on which it was tested against recorded output only, never on a running host."""
    fix: Literal["machine", "person"] = "machine"
    """machine: hardening applies it, from the same parameters; person: ``remedy`` says what to do."""
    remedy: Text | None = None
    """What a person does; needed where the fix is a person's."""
    danger: Literal["none", "access", "service", "data"] = "none"
    """What a wrong fix could cost: access locks operators out, so the fix is on trial until a fresh
    connection confirms it."""
    reverted: Text | None = None
    """How it is taken back where ``unharden`` does not do it."""
    references: tuple[Line, ...] = ()

    def check_for(self, family: Family | None) -> Check:
        """Return the check on a family of systems."""
        return self.variants.get(family, self.check) if family else self.check


class RuleFile(Record):
    """A file of ``baselines/rules``."""

    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]


# --- profiles


class Threshold(Record):
    """A figure or list that rules name."""

    value: (
        Annotated[int, Field(ge=0, le=10_000_000)]
        | Annotated[tuple[Line, ...], Field(min_length=1, max_length=200)]
    )
    unit: Line | None = None
    note: Text
    """What it limits, and where the figure comes from."""


class Dropped(Record):
    """A rule that a profile leaves out."""

    rule: RuleId
    reason: Text


class Profile(Record):
    """The thresholds of a site's policy, and which rules it leaves out."""

    id: Annotated[str, Field(pattern=PROFILE)]
    title: Text
    extends: Annotated[str, Field(pattern=PROFILE)] | None = None
    """The profile whose thresholds and rules it starts from; a threshold given again replaces its value."""
    thresholds: dict[Annotated[str, Field(pattern=NAME)], Threshold] = Field(default_factory=dict)
    without: tuple[Dropped, ...] = ()


# --- of a site


class Waiver(Record):
    """A rule that is known to fail and is borne for a while. It is still run and shown."""

    rule: RuleId
    hosts: Annotated[tuple[Line, ...], Field(min_length=1)]
    """Names of hosts, or ``*`` for all."""
    reason: Text
    approver: Line
    compensation: Text
    """What is done instead."""
    expires: date
    """The last day on which it counts; after it, the waiver itself is a finding."""


class Attestation(Record):
    """A document that shows an organisational control."""

    control: ControlId
    document: Line
    """Its id and title."""
    file: Line
    """Its path, below the folder of the file that lists it."""
    sm3: Annotated[str, Field(pattern=SM3)]
    signer: Line
    signed: date
    valid_until: date


class SiteFile(Record):
    """A site's waivers and attestations: ``inventories/<network>/baseline.yml``."""

    waivers: tuple[Waiver, ...] = ()
    attestations: tuple[Attestation, ...] = ()
