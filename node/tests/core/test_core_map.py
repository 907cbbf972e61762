"""The map of the algorithm in docs/node.md agrees with the code, the planted faults and the stories."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from provnode.core import guard
from provnode.core.machine import Machine
from provnode.core.types import ValidatorSet
from provnode.core.votes import VoteKeeper
from tests.core.story import retell
from tests.simulation.mutants import SIMULATED, TOLD
from tests.simulation.planting import planted

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "node.md"
STORIES = Path(__file__).parent / "stories"
LAST_LINE = 67  # of Algorithm 1
MUTANTS = {mutant.name: mutant for mutant in (*SIMULATED, *TOLD)}
NAMES: dict[str, object] = {
    f"{owner.__name__}.{name}": found
    for owner in (Machine, ValidatorSet, VoteKeeper)
    for name, found in vars(owner).items()
} | {"decide": guard.decide}
_COMMENT = re.compile(r"# lines? (\d+)(?: (?:to|and) (\d+))?")
_OF_LINE = re.compile(r"\(line (\d+)\)")


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the map; `lines` is None where it maps no lines of the paper."""

    lines: tuple[int, int] | None
    code: list[str]
    mutants: list[str]
    stories: list[str]


def _rows() -> Iterator[Row]:
    table = DOCUMENT.read_text(encoding="utf-8").partition("| Lines |")[2].partition("\n\n")[0]
    for line in table.splitlines()[2:]:
        _, lines, _, code, mutants, stories, _ = line.split("|")
        found = re.fullmatch(r"(\d+)–(\d+)", lines.strip())
        between = (int(found[1]), int(found[2])) if found else None
        cells = (re.findall(r"`([^`]+)`", cell) for cell in (code, mutants, stories))
        yield Row(between, *cells)


ROWS = list(_rows())


def test_every_line_of_the_algorithm_is_mapped_once() -> None:
    ranges = [row.lines for row in ROWS if row.lines]
    assert [n for first, last in ranges for n in range(first, last + 1)] == list(range(1, LAST_LINE + 1))


def test_the_code_that_is_named_exists_and_every_rule_is_named() -> None:
    named = {name for row in ROWS for name in row.code}
    assert all(row.code for row in ROWS)
    assert named <= set(NAMES)
    assert {name for name in NAMES if "._rule_" in name} - {"Machine._rules"} <= named


def test_the_code_names_the_same_lines() -> None:
    """A comment that names lines stands in a function of a row that maps them."""
    for name, found in NAMES.items():
        if not inspect.isfunction(found) or not name.startswith("Machine."):
            continue
        mapped = [row.lines for row in ROWS if name in row.code and row.lines]
        for match in _COMMENT.finditer(inspect.getsource(found)):
            first, last = int(match[1]), int(match[2] or match[1])
            assert any(low <= first and last <= high for low, high in mapped), f"{name}: {match[0]}"


def test_every_planted_fault_is_named_where_its_line_is() -> None:
    named = [name for row in ROWS for name in row.mutants]
    assert sorted(named) == sorted(MUTANTS)
    assert all(row.mutants for row in ROWS)
    for row in ROWS:
        for name in row.mutants:
            line = _OF_LINE.search(name)
            if line:
                assert row.lines and row.lines[0] <= int(line[1]) <= row.lines[1], name


@pytest.mark.parametrize("row", [row for row in ROWS if row.stories], ids=lambda row: row.code[0])
def test_the_stories_of_a_row_find_its_faults_and_each_is_needed(row: Row) -> None:
    told = {name: (STORIES / f"{name}.txt").read_text(encoding="utf-8") for name in row.stories}
    useful: set[str] = set()
    for name in row.mutants:
        with planted(MUTANTS[name]):
            found = {story for story, text in told.items() if retell(text) != text}
        assert found, f"no story of its row finds: {name}"
        useful |= found
    assert useful == set(told), "a story that finds nothing here is named"


def test_what_no_story_finds_is_the_simulator_s() -> None:
    simulated = {mutant.name for mutant in SIMULATED}
    assert all(set(row.mutants) <= simulated for row in ROWS if not row.stories)
