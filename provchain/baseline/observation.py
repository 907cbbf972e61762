"""What a rule found on a host."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """The verdicts of GB/T 28448-2019, and unknown for what could not be looked at."""

    COMPLIANT = "compliant"
    PARTIAL = "partial"
    NONCOMPLIANT = "noncompliant"
    NOT_APPLICABLE = "not_applicable"
    UNKNOWN = "unknown"

    @property
    def zh(self) -> str:
        """Return the assessor's word."""
        return _ZH[self]


_ZH = {
    Verdict.COMPLIANT: "符合",
    Verdict.PARTIAL: "部分符合",
    Verdict.NONCOMPLIANT: "不符合",
    Verdict.NOT_APPLICABLE: "不适用",
    Verdict.UNKNOWN: "未知",
}

MOST_LINES = 20
MOST_LETTERS = 300


@dataclass(frozen=True, slots=True)
class Observation:
    """A verdict with its evidence: what was wanted, what was found (bounded lines), why it is unknown."""

    verdict: Verdict
    wanted: str = ""
    found: tuple[str, ...] = ()
    reason: str = ""


def judged(fits: bool, wanted: str, *found: str) -> Observation:
    """Return a plain yes or no with its evidence, bounded and printable."""
    lines = [one_line(line) for line in found[:MOST_LINES]]
    if len(found) > MOST_LINES:
        lines.append(f"… and {len(found) - MOST_LINES} more")
    return Observation(Verdict.COMPLIANT if fits else Verdict.NONCOMPLIANT, wanted, tuple(lines))


def unknown(reason: str) -> Observation:
    """Return that it could not be looked at."""
    return Observation(Verdict.UNKNOWN, reason=one_line(reason))


def not_applicable(reason: str) -> Observation:
    """Return that the rule has no object on this host."""
    return Observation(Verdict.NOT_APPLICABLE, reason=one_line(reason))


def one_line(line: str) -> str:
    """Make a host's words safe to print and to store: one line, no controls, bounded."""
    text = line[: MOST_LETTERS + 1]
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return text if len(text) <= MOST_LETTERS else text[:MOST_LETTERS] + "…"
