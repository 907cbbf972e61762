"""A catalog that does not hold together is refused, and the refusal says where and what is allowed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from provchain.baseline import catalog, schemas
from provchain.document import DocumentError

CONTROL = """\
standard: GB/T 22239-2019
section: {zh: 计算环境, en: Computing}
controls:
  - id: 22239.8.1.4.1.b
    unit: L3-CES1-02
    point: {zh: 鉴别, en: Authentication}
    title: {zh: 登录失败, en: Failed logins}
    class: host
    status: automated
"""
RULE = """\
rules:
  - id: ssh-tries
    title: {zh: 次数, en: Tries}
    why: {zh: 试探, en: Guessing}
    clauses: [22239.8.1.4.1.b]
    severity: high
    check: {resource: sshd, option: maxauthtries, expect: {at_most: $ssh_tries}}
"""
PROFILE = """\
id: mlps3
title: {zh: 三级, en: Level 3}
thresholds:
  ssh_tries: {value: 4, note: {zh: 次数, en: Tries}}
"""
STRICT = PROFILE.replace("mlps3", "strict").replace("value: 4", "value: 3") + "extends: mlps3\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a catalog that holds together."""
    for place, text in (
        ("controls/a.yml", CONTROL),
        ("rules/ssh.yml", RULE),
        ("profiles/mlps3.yml", PROFILE),
        ("profiles/strict.yml", STRICT),
    ):
        path = tmp_path / place
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def test_profiles_inherit(folder: Path) -> None:
    found = catalog.load(folder)
    assert [found.profiles[one].values["ssh_tries"] for one in ("mlps3", "strict")] == [4, 3]
    assert [rule.id for rule in found.profiles["strict"].rules] == ["ssh-tries"]


def _edit(place: str, old: str, new: str) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        path = folder / place
        text = path.read_text(encoding="utf-8")
        assert old in text
        path.write_text(text.replace(old, new, 1), encoding="utf-8")

    return edit


RULES, CONTROLS, MLPS3 = "rules/ssh.yml", "controls/a.yml", "profiles/mlps3.yml"
FIRST = "ssh.yml:7: rules[0].check"
REFUSED = {
    "figure": (_edit(RULES, "$ssh_tries", "4"), "ssh.yml:7: rules[0].check.expect.at_most", "text"),
    "figure-as-text": (_edit(RULES, "$ssh_tries", '"4"'), "ssh.yml:7", "figures stand in profiles only"),
    "unknown-key": (_edit(RULES, "severity", "gravity"), "ssh.yml:6: rules[0].gravity", "severity"),
    "unknown-check-key": (
        _edit(RULES, "option:", "optoin:"),
        "ssh.yml:7: rules[0].check.optoin",
        "option, expect",
    ),
    "pattern": (
        _edit(RULES, "maxauthtries", "MaxAuthTries"),
        "ssh.yml:7: rules[0].check",
        "text that matches ^",
    ),
    "unknown-resource": (
        _edit(RULES, "resource: sshd", "resource: shd"),
        "ssh.yml:7: rules[0].check",
        "sshd",
    ),
    "two-ways": (_edit(RULES, "at_most:", "absent: true, at_most:"), "ssh.yml:7", "one way to compare"),
    "no-way": (_edit(RULES, "at_most: $ssh_tries", ""), "ssh.yml:7", "one way to compare"),
    "severity": (_edit(RULES, "high", "huge"), "ssh.yml:6: rules[0].severity", "high, medium or low"),
    "clause": (_edit(RULES, "8.1.4.1.b]", "8.1.4.1.c]"), "ssh.yml:5: rules[0].clauses[0]", "id of a control"),
    "clause-form": (_edit(RULES, "[22239.8.1.4.1.b]", "[8.1.4.1 b)]"), "ssh.yml:5", "22239, 39786 or 0184"),
    "threshold": (_edit(RULES, "$ssh_tries", "$ssh_tires"), FIRST, "of the profile mlps3"),
    "threshold-list": (_edit(MLPS3, "value: 4", "value: [a]"), "ssh.yml:7", "a whole number"),
    "person": (
        _edit(RULES, "severity: high", "severity: high\n    fix: person"),
        "remedy",
        "what a person does",
    ),
    "profile-of-rule": (
        _edit(RULES, "severity: high", "severity: high\n    profile: other"),
        "rules[0].profile",
        "the id of a profile",
    ),
    "twice": (_edit(RULES, RULE[7:], RULE[7:] + RULE[7:]), "ssh.yml:8: rules[1].id", "ssh.yml:2 has it"),
    "unruled": (_edit(RULES, "[22239.8.1.4.1.b]", "[]"), "rules[0].clauses", "at least 1"),
    "attested": (_edit(CONTROLS, "automated", "attestation"), "status", "a rule names this clause"),
    "partly": (_edit(CONTROLS, "automated", "partly"), "reason", "what is left to people"),
    "shown-by-none-network": (
        lambda folder: [
            edit(folder)
            for edit in (
                _edit(RULES, "8.1.4.1.b]", "8.1.4.1.c]"),
                _edit(CONTROLS, "class: host", "class: network"),
            )
        ],
        "a.yml:9: controls[0].status",
        "attestation, until a rule names this clause",
    ),
    "both": (
        _edit(CONTROLS, "automated", "automated\n    reason: {zh: 人, en: people}"),
        "controls[0].reason",
        "partly, where something is left to people",
    ),
    "by-whom": (_edit(CONTROLS, "automated", "attestation"), "reason", "what is left to people"),
    "shown-by-none": (
        _edit(RULES, "8.1.4.1.b]", "8.1.4.1.c]"),
        "a.yml:9: controls[0].status",
        "attestation, until a rule names this clause",
    ),
    "standard": (
        _edit(CONTROLS, "GB/T 22239-2019", "JR/T 0184-2020"),
        "controls[0].id",
        "0184.… in this file",
    ),
    "circle": (_edit(MLPS3, "id: mlps3", "id: mlps3\nextends: strict"), "extends", "no circle"),
    "parent": (_edit("profiles/strict.yml", "extends: mlps3", "extends: mpls3"), "extends", "a profile"),
    "name": (_edit(MLPS3, "id: mlps3", "id: mlps4"), "mlps3.yml:1: id", "mlps3, the file's name"),
    "dropped": (
        _edit(MLPS3, "thresholds:", "without: [{rule: ssh-trees, reason: {zh: 无, en: none}}]\nthresholds:"),
        "without[0].rule",
        "the id of a rule",
    ),
    "no-chinese": (_edit(RULES, "zh: 试探, ", ""), "ssh.yml:4: rules[0].why.zh", "this key is required"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusal(folder: Path, name: str) -> None:
    edit, where, allowed = REFUSED[name]
    edit(folder)
    with pytest.raises(DocumentError) as refused:
        catalog.load(folder)
    lines = [line for line in refused.value.lines()[1:] if where in line]
    assert lines, refused.value.lines()
    assert any(allowed in line.partition("; allowed: ")[2] for line in lines), lines


def test_a_site_is_checked_against_the_catalog(folder: Path) -> None:
    found = catalog.load(folder)
    site = folder / "baseline.yml"
    assert catalog.load_site(site, found).waivers == ()
    waiver = (
        "waivers:\n  - {rule: RULE, hosts: ['*'], reason: {zh: 无, en: none}, approver: 张,\n"
        "     compensation: {zh: 无, en: none}, expires: 2026-12-31}\n"
    )
    site.write_text(waiver.replace("RULE", "ssh-tries"), encoding="utf-8")
    assert catalog.load_site(site, found).waivers[0].expires.isoformat() == "2026-12-31"
    for text, allowed in (
        (waiver.replace("RULE", "ssh-trees"), "id of a rule of the catalog"),
        (waiver.replace("RULE", "ssh-tries").replace("2026-12-31", "2026-02-30"), "date"),
        (waiver.replace("RULE", "ssh-tries").replace("approver: 张", "aprover: 张"), "approver"),
    ):
        site.write_text(text, encoding="utf-8")
        with pytest.raises(DocumentError) as refused:
            catalog.load_site(site, found)
        assert allowed in "\n".join(refused.value.lines())


def test_the_shipped_schemas_are_those_of_the_model() -> None:
    for kind in schemas.KINDS:
        path = catalog.BASELINES / "schemas" / f"{kind}.schema.json"
        assert json.loads(path.read_text(encoding="utf-8")) == schemas.schema(kind), (
            "run: provchain baseline schemas baselines/schemas"
        )
