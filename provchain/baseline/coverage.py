"""The coverage table: each clause, how it is shown, by which rules, and what is left to people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from provchain.baseline.catalog import Catalog
from provchain.baseline.model import PREFIXES, Control, ControlFile, Text

CLASSES = {
    "host": "主机 host",
    "network": "网络 network",
    "assisted": "辅助 assisted",
    "organisational": "组织 organisational",
}
STATUSES = {
    "automated": "自动 automated",
    "partly": "部分自动 partly",
    "attestation": "举证 attestation",
    "not_applicable": "不适用 not applicable",
}
FLAGS = {
    "high_risk": "高风险 high risk",
    "optional": "可 may",
    "unsure": "待核对 to be compared",
}
_HEAD = """\
# 等级保护三级覆盖表 / Coverage of the Level-3 requirements

由目录生成，不要手工修改：`provchain baseline coverage docs/coverage.md`。
Generated from the catalog; do not edit: run `provchain baseline coverage docs/coverage.md`.

每一条款要么由规则自动判定，要么写明留给人的部分；目录中有条款既无规则又无说明时，加载即被拒绝。要求用自己的话写成，以标准原文为准。
Every clause is shown by rules or says what is left to people; a catalog with a clause that has neither is
refused. Requirements are in words of our own; the printed standards prevail.

- 类别 class: 主机与网络由机器查看 host and network are seen by machine; 辅助 assisted: 文件为主，机器附件为辅
  documents, with an attachment that a machine makes; 组织 organisational: 由文件证明 by documents.
- 状态 status: 自动 automated: 规则证明整条 rules show the whole clause; 部分自动 partly: 规则证明一部分
  rules show a part; 举证 attestation: 由签署的文件证明 a signed document shows it; 不适用 not applicable.
- 高风险 high risk: 常触发高风险判定 (T/ISEAA 001-2020)。可 may: 标准用语为“可”。待核对 to be compared:
  编号或内容尚未与标准原文核对 number or content was not compared with the printed standard.
"""


def table(catalog: Catalog) -> str:
    """Return the coverage table as Markdown."""
    shown: dict[str, list[str]] = {}
    for rule in catalog.rules.values():
        for clause in rule.clauses:
            shown.setdefault(clause, []).append(rule.id)
    parts = [_HEAD, *_totals(catalog.sections, shown)]
    for section in catalog.sections:
        parts += _section(section, shown)
    return "\n".join(parts) + "\n"


def _totals(sections: Iterable[ControlFile], shown: Mapping[str, list[str]]) -> list[str]:
    head = ["章节 Section", "条款 Clauses", *CLASSES.values(), *STATUSES.values(), "规则 Rules"]
    lines = ["## 合计 / Totals", "", _row(head), _row("---" for _ in head)]
    sections = tuple(sections)
    for standard in PREFIXES:
        own = [section for section in sections if section.standard == standard]
        lines += [_row([_title(section), *_counts(section.controls, shown)]) for section in own]
        every = [control for section in own for control in section.controls]
        lines.append(_row(f"**{cell}**" for cell in (standard, *_counts(every, shown))))
    return [*lines, ""]


def _counts(controls: Iterable[Control], shown: Mapping[str, list[str]]) -> list[str]:
    controls = tuple(controls)
    kinds: Counter[str] = Counter(control.kind for control in controls)
    states: Counter[str] = Counter(control.status for control in controls)
    rules = {rule for control in controls for rule in shown.get(control.id, ())}
    figures = [len(controls), *(kinds[k] for k in CLASSES), *(states[s] for s in STATUSES), len(rules)]
    return [str(figure) for figure in figures]


def _section(section: ControlFile, shown: Mapping[str, list[str]]) -> list[str]:
    head = [
        "条款 Clause",
        "要求 Requirement",
        "类别 Class",
        "状态 Status",
        "规则 Rules",
        "留给人的 Left to people",
    ]
    rows = [_row(_cells(control, shown.get(control.id, ()))) for control in section.controls]
    return [f"## {section.standard} {_title(section)}", "", _row(head), _row("---" for _ in head), *rows, ""]


def _title(section: ControlFile) -> str:
    """Return a section's number, where a standard numbers its sections, and its name."""
    depth = {"GB/T 22239-2019": 3, "GB/T 39786-2021": 2, "JR/T 0184-2020": 0}[section.standard]
    number = ".".join(section.controls[0].id.split(".")[1 : depth + 1])
    return f"{number} {_both(section.section, ' / ')}".strip()


def _number(control: Control) -> str:
    """Return the number of the control point: 8.1.4.1 of 22239.8.1.4.1.a."""
    parts = control.id.split(".")[1:]
    last = parts[:-1] if parts[-1].isalpha() else parts
    return ".".join(last)


def _cells(control: Control, rules: Iterable[str]) -> list[str]:
    letter = control.id.rpartition(".")[2]
    clause = f"{_number(control)} {letter})" if letter.isalpha() else _number(control)
    flags = [word for name, word in FLAGS.items() if getattr(control, name)]
    return [
        "<br>".join([f"`{control.id}`", clause, *([control.unit] if control.unit else [])]),
        f"**{_both(control.point, ' / ')}**<br>{_both(control.title)}",
        "<br>".join([CLASSES[control.kind], *flags]),
        STATUSES[control.status],
        " ".join(f"`{rule}`" for rule in rules),
        _both(control.reason) if control.reason else "",
    ]


def _both(text: Text, between: str = "<br>") -> str:
    return f"{text.zh}{between}{text.en}"


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
