"""The report that people read: one self-contained page in Chinese with English beside it, good to print.

No script and no resource of elsewhere: the policy in the page itself allows its one style sheet, by its
digest, and nothing more. All that hosts said is escaped, and what can't be printed is replaced.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from provchain.audit.assessment import (
    Assessment,
    ClauseChange,
    ClauseResult,
    Drift,
    HostState,
    Place,
    RuleResult,
)
from provchain.audit.drift import alike
from provchain.baseline import judge
from provchain.baseline.catalog import Catalog
from provchain.baseline.model import Control, ControlFile, Rule, Text
from provchain.baseline.observation import Verdict

MOST_LETTERS = 2_000
MOST_COLUMNS = 16
"""Objects side by side in one heat map: as many as fit on a sheet of A4."""
WIDE_COLUMNS = 6
"""Up to so many, their names stand beside one another; else upright."""
SEVERITIES = {
    "high": Text(zh="高", en="high"),
    "medium": Text(zh="中", en="medium"),
    "low": Text(zh="低", en="low"),
}
SYMBOLS = {
    Verdict.COMPLIANT: "●",
    Verdict.PARTIAL: "◐",
    Verdict.NONCOMPLIANT: "✕",
    Verdict.NOT_APPLICABLE: "–",
    Verdict.UNKNOWN: "?",
}
DANGERS = {
    "access": Text(zh="谨慎：可能影响登录", en="care: logins"),
    "service": Text(zh="谨慎：可能影响服务", en="care: services"),
    "data": Text(zh="谨慎：可能影响数据", en="care: data"),
}
CHANGES = {
    "found": Text(zh="新增问题", en="new findings"),
    "resolved": Text(zh="已整改", en="mended"),
    "lost": Text(zh="不再可见", en="no longer seen"),
}
_LOOKS_LIKE = {
    "found": Verdict.NONCOMPLIANT,
    "resolved": Verdict.COMPLIANT,
    "lost": Verdict.UNKNOWN,
}
STATES = {
    "in_force": "有效 in force",
    "unused": "未用到 not needed",
    "expired": "已过期 expired",
    "valid": "有效 valid",
    "not_yet": "尚未生效 not yet",
    "missing": "文件缺失 file missing",
    "mismatch": "摘要不符 digest differs",
}
KINDS = {
    "host": Text(zh="主机", en="hosts"),
    "zone": Text(zh="区域", en="zones"),
    "document": Text(zh="文档", en="docs"),
}
_FOLDER = Path(__file__).parent
_Object = tuple[str, str]
"""Kind and name of what a clause is judged on."""
_Point = tuple[int, str]
"""A control point: its section's place and its name."""
_DOCUMENTS: _Object = ("document", "")


@dataclass(frozen=True, slots=True)
class Share:
    """How many of a verdict; ``start`` and ``width`` are thousandths of a bar."""

    verdict: Verdict
    count: int
    start: int
    width: int


@dataclass(frozen=True, slots=True)
class Cell:
    """The verdict of a control point on an object, None where it has none; and that of each clause there."""

    verdict: Verdict | None
    clauses: str


@dataclass(frozen=True, slots=True)
class Row:
    """A control point."""

    number: str
    point: Text
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Map:
    """Control points on some objects, by section; ``kinds`` has each kind of object and how many of it."""

    kinds: tuple[tuple[str, int], ...]
    columns: tuple[str, ...]
    sections: tuple[tuple[ControlFile, tuple[Row, ...]], ...]


@dataclass(frozen=True, slots=True)
class Same:
    """What was found alike on several hosts."""

    hosts: tuple[str, ...]
    wanted: str
    found: tuple[str, ...]
    reason: str


@dataclass(frozen=True, slots=True)
class Matter:
    """A rule with what was found of it."""

    rule: Rule
    alike: tuple[Same, ...]


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of a rule on some hosts since the last audit: ``found``, ``resolved`` or ``lost``."""

    kind: str
    rule: Rule
    hosts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Since:
    """What changed since the last audit, on hosts of then: ``down`` could be reached then; new ones, and how
    many findings each has, are in ``came``."""

    drift: Drift
    other_catalog: bool
    rules: tuple[Changed, ...]
    clauses: tuple[tuple[ClauseChange, tuple[str, ...]], ...]
    """A change of a clause, and all objects on which it is the same one."""
    came: Mapping[str, int]
    down: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class HostPage:
    """A host with its results; ``failing`` the severest first, ``open`` what is not waived by severity."""

    host: HostState
    anchor: str
    rules: tuple[Share, ...]
    clauses: tuple[Share, ...]
    open: Mapping[str, int]
    failing: tuple[RuleResult, ...]
    unseen: tuple[RuleResult, ...]
    passing: tuple[str, ...]


def text(assessment: Assessment, catalog: Catalog) -> str:
    """Return the whole page."""
    waived = [one for one in assessment.results if one.waived]
    by_severity = {
        severity: matters([one for one in assessment.findings if one.severity == severity], catalog)
        for severity in SEVERITIES
    }
    page = _environment().get_template("page.html.j2")
    return (
        page.render(
            audit=assessment,
            catalog=catalog,
            profile=catalog.profiles.get(assessment.profile),
            digest=hashlib.new("sm3", assessment.canonical().encode()).hexdigest(),
            reached=sum(not host.unreachable for host in assessment.hosts),
            on_clauses=shares(one.verdict for one in assessment.clauses),
            on_rules=shares(one.verdict for one in assessment.results),
            maps=maps(assessment, catalog),
            findings=by_severity,
            waived=matters(waived, catalog),
            unseen=matters(_seen_in_part(assessment), catalog),
            pages=_host_pages(assessment),
            since=_since(assessment, catalog),
            wide=WIDE_COLUMNS,
            anchors={host.name: f"host-{number}" for number, host in enumerate(assessment.hosts)},
            severities=SEVERITIES,
            symbols=SYMBOLS,
            states=STATES,
            kinds=KINDS,
            changes=CHANGES,
            dangers=DANGERS,
            kinds_of_change=_LOOKS_LIKE,
            verdicts=list(Verdict),
        )
        + "\n"
    )


def shares(verdicts: Iterable[Verdict]) -> tuple[Share, ...]:
    """Return how many there are of each verdict, with its part of a bar."""
    counts = Counter(verdicts)
    total = sum(counts.values()) or 1
    found, before = [], 0
    for verdict in Verdict:
        start, end = before * 1000 // total, (before + counts[verdict]) * 1000 // total
        found.append(Share(verdict, counts[verdict], start, end - start))
        before += counts[verdict]
    return tuple(found)


def matters(results: Sequence[RuleResult], catalog: Catalog) -> tuple[Matter, ...]:
    """Return results by rule, hosts on which the same was found together; the order is that of results."""
    by: dict[str, dict[tuple[str, tuple[str, ...], str], list[str]]] = {}
    for one in results:
        by.setdefault(one.rule, {}).setdefault((one.wanted, one.found, one.reason), []).append(one.host)
    return tuple(
        Matter(catalog.rules[rule], tuple(Same(tuple(hosts), *what) for what, hosts in alike.items()))
        for rule, alike in by.items()
    )


def _seen_in_part(assessment: Assessment) -> list[RuleResult]:
    down = {host.name for host in assessment.hosts if host.unreachable}
    return [one for one in assessment.unseen if one.host not in down]


def _since(assessment: Assessment, catalog: Catalog) -> Since | None:
    drift = assessment.since
    if drift is None:
        return None
    down = {host.name for host in assessment.hosts if host.unreachable}
    return Since(
        drift,
        (drift.profile, drift.catalog) != (assessment.profile, assessment.catalog),
        (
            *_changed("found", [one for one in drift.found if one.host not in drift.came], catalog),
            *_changed("lost", [one for one in drift.lost if one.host not in down], catalog),
            *_changed("resolved", drift.resolved, catalog),
        ),
        tuple((some[0], tuple(one.object for one in some)) for some in alike(drift.clauses)),
        {name: sum(one.host == name for one in drift.found) for name in drift.came},
        tuple(dict.fromkeys(one.host for one in drift.lost if one.host in down)),
    )


def _changed(kind: str, places: Iterable[Place], catalog: Catalog) -> Iterable[Changed]:
    by: dict[str, list[str]] = {}
    for one in places:
        by.setdefault(one.rule, []).append(one.host)
    found = (Changed(kind, catalog.rules[rule], tuple(hosts)) for rule, hosts in by.items())
    return sorted(found, key=lambda one: list(SEVERITIES).index(one.rule.severity))


def maps(assessment: Assessment, catalog: Catalog) -> tuple[Map, ...]:
    """Return the heat maps: zones and hosts, so many side by side; then what documents alone show."""
    points = {
        one.id: (number, one.point.zh)
        for number, section in enumerate(catalog.sections)
        for one in section.controls
    }
    cells: dict[tuple[_Point, _Object], list[ClauseResult]] = {}
    for one in assessment.clauses:
        what = _DOCUMENTS if one.kind == "document" else (one.kind, one.object)
        cells.setdefault((points[one.control], what), []).append(one)
    seen = dict.fromkeys(what for _, what in cells if what != _DOCUMENTS)
    objects = sorted(seen, key=lambda what: what[0], reverse=True)
    machine = {point for point, what in cells if what != _DOCUMENTS}
    groups = [objects[at : at + MOST_COLUMNS] for at in range(0, len(objects), MOST_COLUMNS)]
    found = [_map(catalog, cells, machine, group) for group in groups]
    paper = {point for point, _ in cells} - machine
    return (*found, *([_map(catalog, cells, paper, [])] if paper else []))


def _map(
    catalog: Catalog,
    cells: Mapping[tuple[_Point, _Object], Sequence[ClauseResult]],
    points: set[_Point],
    objects: Sequence[_Object],
) -> Map:
    columns = [*objects, _DOCUMENTS]
    sections = []
    for number, section in enumerate(catalog.sections):
        clauses: dict[_Point, list[Control]] = {}
        for control in section.controls:
            clauses.setdefault((number, control.point.zh), []).append(control)
        rows = tuple(
            Row(_number(some), some[0].point, tuple(_cell(cells.get((point, one), ())) for one in columns))
            for point, some in clauses.items()
            if point in points
        )
        if rows:
            sections.append((section, rows))
    kinds = Counter(kind for kind, _ in columns)
    return Map(tuple(kinds.items()), tuple(name for _, name in columns), tuple(sections))


def _number(controls: Sequence[Control]) -> str:
    """Return what the numbers of a point's clauses have in common, four levels at most."""
    parts = [one.id.split(".")[1:5] for one in controls]
    same = takewhile(lambda level: len(set(level)) == 1, zip(*parts, strict=False))
    return ".".join(level[0] for level in same)


def _cell(clauses: Sequence[ClauseResult]) -> Cell:
    if not clauses:
        return Cell(None, "")
    words = ", ".join(f"{one.control.rpartition('.')[2]} {one.verdict.zh}" for one in clauses)
    return Cell(judge.rolled_up(one.verdict for one in clauses), words)


def _host_pages(assessment: Assessment) -> list[HostPage]:
    results: dict[str, list[RuleResult]] = {host.name: [] for host in assessment.hosts}
    clauses: dict[str, list[Verdict]] = {host.name: [] for host in assessment.hosts}
    for result in assessment.results:
        results[result.host].append(result)
    for clause in assessment.clauses:
        if clause.kind == "host":
            clauses[clause.object].append(clause.verdict)
    return [
        HostPage(
            host,
            f"host-{number}",
            shares(one.verdict for one in results[host.name]),
            shares(clauses[host.name]),
            Counter(one.severity for one in results[host.name] if one.is_finding),
            tuple(
                sorted(
                    (one for one in results[host.name] if one.verdict == Verdict.NONCOMPLIANT),
                    key=lambda one: list(SEVERITIES).index(one.severity),
                )
            ),
            tuple(one for one in results[host.name] if one.verdict == Verdict.UNKNOWN),
            tuple(one.rule for one in results[host.name] if one.verdict == Verdict.COMPLIANT),
        )
        for number, host in enumerate(assessment.hosts)
    ]


@functools.cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=shown,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (_FOLDER / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    environment.globals |= {"style": Markup(style), "style_digest": digest}  # noqa: S704 - our own file
    return environment


def shown(value: object) -> object:
    """Return what stands for a value on the page: no controls, no marks that turn text around, bounded."""
    if not isinstance(value, str) or isinstance(value, Markup):
        return value
    cut = value[: MOST_LETTERS + 1]
    if not cut.isprintable():
        cut = "".join(letter if letter.isprintable() else "\ufffd" for letter in cut)
    return cut if len(cut) <= MOST_LETTERS else cut[:MOST_LETTERS] + "…"
