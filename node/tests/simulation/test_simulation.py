"""The consensus through storms, by seed: agreement, validity, no double vote, certificates, progress."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.core.story import retell
from tests.simulation.chain import InvariantError
from tests.simulation.mutants import SIMULATED, TOLD, Mutant, plant
from tests.simulation.replica import Core
from tests.simulation.scenario import Report, of_seed

SEEDS = 3000
BATCH = 250
STORIES = sorted((Path(__file__).parents[1] / "core" / "stories").glob("*.txt"))


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_storms_break_nothing(first: int) -> None:
    reports = [of_seed(seed) for seed in range(first, first + BATCH)]
    assert all(report.heights >= 2 for report in reports)
    # the storms are storms: without these the runs would say little
    assert sum(report.crashes > 0 for report in reports) > BATCH // 4
    assert sum(report.partitions > 0 for report in reports) > BATCH // 4
    assert sum(report.evidence > 0 for report in reports) > BATCH // 4
    assert sum(report.rounds > 0 for report in reports) > BATCH // 4


def test_a_proposer_that_forgets_its_round_is_found() -> None:
    """A proposer that came back to an earlier round than it had spoken in never voted there again.

    Its guard refused, rightly; with a silent fourth the others waited for ever.
    """
    for seed in (105303, 106401):
        of_seed(seed)
        with pytest.raises(InvariantError, match="no progress"):
            of_seed(seed, replace(Core(), sync_proposals=False))


def test_a_seed_tells_the_same_again() -> None:
    def twice() -> Iterator[list[Report]]:
        for _ in range(2):
            yield [of_seed(seed) for seed in range(10)]

    first, second = twice()
    assert first == second


@pytest.mark.parametrize("mutant", SIMULATED, ids=lambda mutant: mutant.name)
def test_the_simulator_finds(mutant: Mutant) -> None:
    core = plant(mutant)
    with pytest.raises(InvariantError):
        for seed in range(SEEDS):
            of_seed(seed, core)


@pytest.mark.parametrize("mutant", TOLD, ids=lambda mutant: mutant.name)
def test_the_stories_find(mutant: Mutant) -> None:
    core = plant(mutant)
    assert _odd(core)


def test_the_stories_and_the_simulator_find_nothing_in_the_shipped_core() -> None:
    assert _odd(Core()) == []


def _odd(core: Core) -> list[str]:
    """The stories that happen otherwise than told."""
    return [
        path.stem
        for path in STORIES
        if (told := path.read_text(encoding="utf-8")) != retell(told, core.machine, core.equal_validators(4))
    ]
