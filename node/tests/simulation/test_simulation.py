"""The node through storms, by seed: agreement, validity, durability, no double vote, progress, bounds."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from tests.core.story import FOUR, retell
from tests.simulation.driven import DRIVEN, FORGOTTEN_ROUND
from tests.simulation.invariants import InvariantError
from tests.simulation.mutants import SIMULATED, TOLD
from tests.simulation.network import Weather
from tests.simulation.planting import Mutant, planted
from tests.simulation.run import batch, explain, main
from tests.simulation.scenario import simulate
from tests.simulation.schedule import (
    HABITS,
    SIZES,
    STORM_MS,
    TWINS,
    Byzantine,
    Crash,
    Fault,
    Schedule,
    Storm,
    of_seed,
)
from tests.simulation.shrink import shrink

SEEDS = 500
BATCH = 100
# mutants are looked for in small networks: the faults are the same, and found sooner
SMALL = {4: 85, 7: 15}
HUNT = 500
README = Path(__file__).parents[2] / "README.md"
STORIES = sorted((Path(__file__).parents[1] / "core" / "stories").glob("*.txt"))
# without these in that many runs of a hundred, the runs would say little
USUAL = Counter(
    {
        "crashes": 40,
        "evidence": 25,
        "storms": 50,
        "partitions": 15,
        "one-way partitions": 10,
        "wrong clocks": 15,
        "slow hosts": 15,
        "refused writes": 10,
        "torn writes": 5,
        "late joins": 10,
        "handovers": 10,
        "transactions": 99,
    }
)


@pytest.mark.parametrize("first", range(0, SEEDS, BATCH))
def test_storms_break_nothing(first: int) -> None:
    found = batch(first, BATCH)
    assert found.failures == [], explain(found.failures[0])
    assert found.runs_with >= USUAL
    assert found.later_rounds > BATCH // 4


def test_a_block_counts_also_when_all_who_committed_it_ended_before_they_could_say_so() -> None:
    simulate(of_seed(3506).only((3, 10, 12, 13, 14, 15)))


def test_results_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = tmp_path / "results.json"
    for seeds in ("2", "5", "5"):
        monkeypatch.setattr("sys.argv", ["run", "--seeds", seeds, "--into", str(kept)])
        assert main() == 0
    found = json.loads(kept.read_bytes())
    assert [(piece["first"], piece["seeds"]) for piece in found["pieces"]] == [(0, 2), (2, 3)]
    at_once = batch(0, 5)
    assert found["counts"] == at_once.counts
    assert found["runs_with"] == at_once.runs_with
    assert (found["seeds"], found["heights"]) == (5, at_once.heights)


def test_every_kind_of_network_and_of_misbehaviour_occurs() -> None:
    powers, habits = Counter[int](), Counter[str]()
    for seed in range(SEEDS):
        schedule = of_seed(seed)
        powers[len(schedule.powers)] += 1
        for fault in schedule.faults:
            habits.update(getattr(fault, "habits", ()))
            # in the calm after the storm, nothing but the Byzantine goes wrong
            assert getattr(fault, "at", 0) < STORM_MS and getattr(fault, "until", 0) <= STORM_MS
    assert all(powers[size] >= SEEDS // 100 for size in SIZES)
    assert all(habits[habit] >= SEEDS // 50 for habit in (*HABITS, TWINS))


def test_a_seed_tells_the_same_again() -> None:
    once, twice = ([simulate(of_seed(seed)) for seed in range(10)] for _ in range(2))
    assert once == twice


def _small(seed: int) -> Schedule:
    return of_seed(seed, SMALL)


def _found(mutant: Mutant, seeds: Iterable[int], schedule: Callable[[int], Schedule]) -> Schedule:
    """The first run that finds it."""
    with planted(mutant):
        for seed in seeds:
            try:
                simulate(schedule(seed))
            except InvariantError:
                return schedule(seed)
    raise AssertionError("it is not found")


@pytest.mark.parametrize("mutant", (*SIMULATED, *DRIVEN), ids=lambda mutant: mutant.name)
def test_the_simulator_finds(mutant: Mutant) -> None:
    simulate(
        _found(mutant, range(mutant.first, mutant.first + HUNT), _small)
    )  # and finds nothing there in the shipped node


def _forgetting(seed: int) -> Schedule:
    """Messages get lost, the fourth is silent, and processes end right after they have signed."""
    chance = random.Random(seed)
    storm = Storm(0, 3_000, Weather(loss=chance.choice((0.2, 0.4, 0.5))))
    faults: list[Fault] = [Byzantine("v04", ("withhold",)), storm]
    for _ in range(8):
        at, who = chance.randrange(3_000), chance.choice(("v01", "v02", "v03"))
        faults.append(Crash(at, who, chance.randint(0, 2), 30, once_signed=True))
    return Schedule(seed, (1, 1, 1, 1), 0, tuple(faults))


def test_a_proposer_that_forgets_its_round_is_found() -> None:
    simulate(_found(FORGOTTEN_ROUND, (430, *range(HUNT)), _forgetting))


@pytest.mark.parametrize("mutant", TOLD, ids=lambda mutant: mutant.name)
def test_the_stories_find(mutant: Mutant) -> None:
    with planted(mutant):
        assert _odd()


def test_the_stories_find_nothing_in_the_shipped_core() -> None:
    assert _odd() == []


def _odd() -> list[str]:
    """The stories that happen otherwise than told."""
    return [
        path.stem
        for path in STORIES
        if (told := path.read_text(encoding="utf-8")) != retell(told, validators=FOUR)
    ]


def test_the_faults_around_the_core_are_documented() -> None:
    text = README.read_text(encoding="utf-8").partition("| Where | Planted faults |")[2].partition("\n\n")[0]
    told = {
        (where, name)
        for line in text.splitlines()[2:]
        for where in re.findall(r"`([^`]+)`", line.split("|")[1])
        for name in re.findall(r"`([^`]+)`", line.split("|")[2])
    }
    assert told == {(one.module, one.name) for one in (*DRIVEN, FORGOTTEN_ROUND)}


def test_shrinking_leaves_what_it_takes() -> None:
    def fails(places: object) -> bool:
        return {3, 11} <= set(places)  # type: ignore[call-overload, no-any-return] # a list of them

    assert shrink(range(20), fails) == [3, 11]
    assert shrink(range(20), lambda _: True) == []


def test_a_failure_is_told_with_the_faults_that_it_takes() -> None:
    mutant = next(one for one in DRIVEN if one.name == "a rename is not synced")
    with planted(mutant):
        seed = next(seed for seed in range(SEEDS) if batch(seed, 1).failures)
        told = explain(seed)
        again = told.splitlines()[-1].split()
        places = [int(word) for word in again[-1].split(",")]
        assert again[-4:-1] == ["--first", str(seed), "--only"]
        assert any("crashes" in line for line in told.splitlines())
        assert len(places) < len(of_seed(seed).faults)
        with pytest.raises(InvariantError):
            simulate(of_seed(seed).only(places))
    simulate(of_seed(seed).only(places))
