"""Every rule has a host that passes and one that fails, and every threshold is tried at its boundary."""

from __future__ import annotations

import json
import re

import pytest

from provchain.baseline import judge
from provchain.baseline.observation import Verdict
from tests.unit.baseline.casekit import CATALOG, STRICT, Case, cases

CASES = list(cases())
_FORM = r"( (days|hours) (ago|ahead)( unix| utc)?| times [^}]*)?"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_verdict(case: Case) -> None:
    found = judge.observe(CATALOG.rules[case.rule], STRICT, case.target, case.facts(STRICT.values))
    assert found.verdict == Verdict(case.told["verdict"]), found
    if found.verdict in (Verdict.COMPLIANT, Verdict.NONCOMPLIANT):
        assert found.wanted, "a verdict without what was wanted explains nothing"
        assert found.found, "a verdict without evidence proves nothing"
    else:
        assert found.reason


@pytest.mark.parametrize("rule", CATALOG.rules)
def test_a_rule_passes_and_fails(rule: str) -> None:
    verdicts = {case.told["verdict"] for case in CASES if case.rule == rule}
    assert {"compliant", "noncompliant"} <= verdicts


@pytest.mark.parametrize("rule", CATALOG.rules)
def test_a_threshold_is_tried_at_its_boundary(rule: str) -> None:
    """What passes at the figure does not one beyond it."""
    about = [case.told for case in CASES if case.rule == rule]
    passing = json.dumps([told for told in about if told["verdict"] == "compliant"])
    # old lists of packages do not fail: by them, nothing is known
    other = json.dumps([told for told in about if told["verdict"] in ("noncompliant", "unknown")])
    for name, kind in CATALOG.rules[rule].check.thresholds().items():
        if kind is int:
            assert re.search(rf"\{{{name}{_FORM}\}}", passing)
            assert re.search(rf"\{{{name}[+-]1{_FORM}\}}", other)


@pytest.mark.parametrize("rule", CATALOG.rules)
def test_variants_are_tried(rule: str) -> None:
    families = {case.told.get("family", "debian") for case in CASES if case.rule == rule}
    assert {*CATALOG.rules[rule].variants, *(CATALOG.rules[rule].recorded or ())} <= families


def test_no_case_is_about_an_unknown_rule() -> None:
    assert {case.rule for case in CASES} <= set(CATALOG.rules)
