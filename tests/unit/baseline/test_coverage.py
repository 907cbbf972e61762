"""The controls are all those of the standards, and the coverage table says of each how it is shown."""

from __future__ import annotations

from collections import Counter

import pytest

from provchain.baseline import catalog, coverage
from provchain.paths import REPOSITORY
from tests.unit.baseline.casekit import CATALOG

GENERAL = (22, 8, 20, 34, 12, 7, 14, 12, 34, 48)
"""Clauses of GB/T 22239-2019 8.1.1 to 8.1.10 at level 3."""
CLOUD = (1, 5, 8, 19, 4, 8, 1)
"""Clauses of 8.2.1 to 8.2.7 at level 3."""
CRYPTOGRAPHY = (5, 7, 8, 10, 6, 5, 5, 3)
"""Items of GB/T 39786-2021 8.1 to 8.8."""
TOTALS = {
    **{f"22239.8.1.{n}": count for n, count in enumerate(GENERAL, 1)},
    **{f"22239.8.2.{n}": count for n, count in enumerate(CLOUD, 1)},
    **{f"39786.8.{n}": count for n, count in enumerate(CRYPTOGRAPHY, 1)},
}


@pytest.mark.parametrize("section", TOTALS)
def test_a_section_has_its_clauses(section: str) -> None:
    assert len([one for one in CATALOG.controls if one.startswith(section + ".")]) == TOTALS[section]


def test_the_standards_are_whole() -> None:
    assert (sum(GENERAL), sum(CLOUD)) == (211, 46)
    standards = Counter(one.partition(".")[0] for one in CATALOG.controls)
    assert standards == {"22239": 211 + 46, "39786": sum(CRYPTOGRAPHY), "0184": 15}
    assert len({control.point.zh for name, control in CATALOG.controls.items() if "0184" in name}) == 13


def test_every_clause_that_hosts_show_has_a_rule() -> None:
    named = {clause for rule in CATALOG.rules.values() for clause in rule.clauses}
    without = {one for one, control in CATALOG.controls.items() if control.kind == "host"} - named
    # objects on the chain carry no security labels, so there is nothing to look at
    assert without == {"39786.8.4.c"}


def test_letters_follow_one_another() -> None:
    points: dict[str, str] = {}
    for name in CATALOG.controls:
        point, _, letter = name.rpartition(".")
        if letter.isalpha():
            points[point] = points.get(point, "") + letter
    assert [point for point, letters in points.items() if letters != "abcdefghij"[: len(letters)]] == []


def test_units_are_those_of_gb_28448() -> None:
    """Each once; numbers follow the clauses, but CES1-16 does not exist."""
    units = [control.unit for control in CATALOG.controls.values() if control.unit]
    assert len(units) == len(set(units)) == 211 + 46
    numbers: dict[str, list[int]] = {}
    for unit in units:
        prefix, _, number = unit.rpartition("-")
        numbers.setdefault(prefix, []).append(int(number))
    for prefix, found in numbers.items():
        missing = [16] if prefix == "L3-CES1" else []
        assert found == [n for n in range(1, len(found) + len(missing) + 1) if n not in missing], prefix


def test_the_table_is_current() -> None:
    path = REPOSITORY / "docs" / "coverage.md"
    assert path.read_text(encoding="utf-8") == coverage.table(catalog.load()), (
        "run: provchain baseline coverage docs/coverage.md"
    )


def test_the_table_leaves_nothing_out() -> None:
    lines = {line.split("`")[1]: line for line in coverage.table(CATALOG).splitlines() if "| `" in line}
    assert set(lines) == set(CATALOG.controls)
    for rule in CATALOG.rules.values():
        for clause in rule.clauses:
            assert f"`{rule.id}`" in lines[clause]
    for name, control in CATALOG.controls.items():
        assert control.title.zh in lines[name]
        assert control.title.en in lines[name]
        if control.reason:
            assert control.reason.zh in lines[name]
