"""The assessor's table: a line for every clause on every object, as CSV for spreadsheets.

UTF-8 with a byte-order mark (else Chinese is garbled there); a cell never begins with what a spreadsheet
takes for a formula (OWASP, CSV injection).
"""

from __future__ import annotations

import csv
import io

from provchain.audit.assessment import Assessment, ClauseResult, RuleResult
from provchain.baseline.catalog import Catalog
from provchain.baseline.observation import Verdict

HEADS = (
    "条款 clause",
    "测评单元 unit",
    "控制点 control point",
    "要求 requirement",
    "对象类型 kind of object",
    "对象 object",
    "结果 verdict",
    "verdict",
    "高风险 high risk",
    "不符合的规则 failing rules",
    "现状 found",
    "整改 remedy",
    "豁免 waived",
    "证明材料 attestation",
)
_KINDS = {"host": "主机", "zone": "安全区域", "document": "文档"}
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def text(assessment: Assessment, catalog: Catalog) -> str:
    """Return the whole table."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(HEADS)
    results = {(one.rule, one.host): one for one in assessment.results}
    zones = {host.name: host.zone or assessment.network for host in assessment.hosts}
    for clause in assessment.clauses:
        failing = _failing(clause, results, zones)
        writer.writerow([safe(cell) for cell in _row(clause, failing, catalog)])
    return "\ufeff" + stream.getvalue()


def safe(cell: str) -> str:
    """Return a cell that no spreadsheet computes."""
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def _failing(
    clause: ClauseResult, results: dict[tuple[str, str], RuleResult], zones: dict[str, str]
) -> list[RuleResult]:
    hosts = [clause.object] if clause.kind == "host" else [h for h, z in zones.items() if z == clause.object]
    some = (results.get((rule, host)) for rule in clause.rules for host in hosts)
    return [one for one in some if one and one.verdict == Verdict.NONCOMPLIANT]


def _row(clause: ClauseResult, failing: list[RuleResult], catalog: Catalog) -> list[str]:
    control = catalog.controls[clause.control]
    remedies = dict.fromkeys(
        rule.remedy.zh if rule.remedy else f"provchain 加固：{rule.id}"
        for rule in (catalog.rules[one.rule] for one in failing)
    )
    return [
        control.id,
        control.unit or "",
        f"{control.point.zh} {control.point.en}",
        f"{control.title.zh} {control.title.en}",
        f"{_KINDS[clause.kind]} {clause.kind}",
        clause.object,
        clause.verdict.zh,
        clause.verdict,
        "是 yes" if control.high_risk else "",
        " ".join(dict.fromkeys(one.rule for one in failing)),
        "; ".join(f"{one.host}: {', '.join(one.found)}" for one in failing),
        "; ".join(remedies),
        " ".join(clause.waived),
        clause.attestation,
    ]
