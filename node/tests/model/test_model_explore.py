"""In two rounds, nothing that four validators can come to, one of them Byzantine, breaks safety."""

from __future__ import annotations

import pytest
from provnode.core.machine import Machine
from tests.core.story import FOUR
from tests.model.explore import explore
from tests.model.local import Locals, Setting, ViolationError
from tests.simulation.mutants import SIMULATED, TOLD
from tests.simulation.planting import planted

MUTANTS = {mutant.name: mutant for mutant in (*SIMULATED, *TOLD)}
# those of safety that two rounds are enough for, and what is seen of each
FOUND = {
    "a new block is prevoted in spite of the lock (line 23)": "prevotes B in 1, locked on A since 0",
    "a valid round is believed without its prevotes (line 28)": "prevotes B in 1, locked on A since 0",
    "the lock is not kept (line 38)": "prevotes B in 1, locked on A since 0",
    "any quorum is a quorum for nil (line 44)": "prevotes B in 1, locked on A since 0",
    "one prevote makes a lock (line 36)": "without its prevotes",
    "prevotes decide (line 49)": "commits A by",
    "two thirds are a quorum": "commits A by",
    "a late timer votes again (line 62)": "in one step",
}


# in rounds 0 and 1 the proposers are v2 and v3; v1 and v4 are alike
@pytest.mark.parametrize("byzantine", ["v1", "v2", "v3"])
def test_no_two_blocks_are_decided_and_no_rule_is_broken(byzantine: str) -> None:
    found = explore(Setting(Machine, FOUR, byzantine, 1, unsound=True))
    assert found.states > 5_000
    # there is something to rule out: states that decided apart, had they what they need
    assert found.pairs > 10_000


def test_both_blocks_are_decided_in_both_rounds() -> None:
    every = list(Locals(Setting(Machine, FOUR, "v2", 1), "v1"))
    decided = {(local.committed, local.round) for local in every if local.committed}
    assert decided == {("A", 0), ("B", 0), ("A", 1), ("B", 1)}


@pytest.mark.parametrize("name", FOUND)
def test_a_planted_fault_is_found(name: str) -> None:
    with planted(MUTANTS[name]), pytest.raises(ViolationError, match=FOUND[name]):
        explore(Setting(Machine, FOUR, "v2", 1))


@pytest.mark.parametrize(
    "name",
    ["a new block is prevoted in spite of the lock (line 23)", "two thirds are a quorum"],
)
def test_agreement_alone_shows_a_fork(name: str) -> None:
    with planted(MUTANTS[name]), pytest.raises(ViolationError, match="two blocks are decided"):
        explore(Setting(Machine, FOUR, "v2", 1, rules=False))
