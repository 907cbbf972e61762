"""One run of the simulator: faults of every kind for a while, then calm, in which the chain must go on."""

from __future__ import annotations

import random
from dataclasses import dataclass

from tests.simulation.chain import InvariantError, Witness
from tests.simulation.equivocator import Equivocator
from tests.simulation.replica import Core, Replica
from tests.simulation.world import Member, Weather, World

STORM_MS = 2_500
# timers grow by a tenth of a second a round; nothing honest takes this long in a calm network
PATIENCE_MS = 120_000
BLOCKS_AFTER = 2


@dataclass(frozen=True, slots=True)
class Report:
    """What a run saw: for the reader, and for the test that the faults really happen."""

    heights: int
    rounds: int
    crashes: int
    partitions: int
    evidence: int


SHIPPED = Core()


def simulate(seed: int, number: int, *, byzantine: bool, core: Core = SHIPPED) -> Report:
    """Run one seed. Raises InvariantError, with the seed, for whatever must not be."""
    world = World(seed)
    names = [f"v{n}" for n in range(1, number + 1)]
    liar = world.random.choice(names) if byzantine else None
    honest = [name for name in names if name != liar]
    witness = Witness(core.equal_validators(number), frozenset(honest))
    try:
        replicas = [Replica(name, world, witness, core) for name in honest]
        members: list[Member] = [*replicas, *([Equivocator(liar, world, witness, STORM_MS)] if liar else [])]
        world.members.update({member.name: member for member in members})
        if liar is None:
            # the one that may be faulty: the guard has to keep it from contradicting what it has forgotten
            world.random.choice(replicas).forgetful = True
        crashes, partitions = _storm(world, replicas, names)
        world.run(STORM_MS)
        world.weather = Weather()
        world.part({})
        for replica in replicas:
            replica.fuse = None
        goal = max(replica.height for replica in replicas) + BLOCKS_AFTER
        if not world.run(STORM_MS + PATIENCE_MS, lambda: all(r.height >= goal for r in replicas)):
            heights = {r.name: (r.height, r.machine.round) for r in replicas}
            raise InvariantError(f"no progress to height {goal}: {heights}")
    except InvariantError as error:
        raise InvariantError(f"seed {seed}, {number} validators, liar {liar}: {error}") from error
    return Report(len(witness.decided), witness.rounds, crashes, partitions, witness.evidence)


def of_seed(seed: int, core: Core = SHIPPED) -> Report:
    """The run of a seed in the usual mix: every fifth has seven validators or more, every fifth no liar."""
    number = next(size for last, size in ((99, 19), (49, 10), (4, 7), (-1, 4)) if _ends(seed, last))
    return simulate(seed, number, byzantine=seed % 5 != 0, core=core)


def _ends(seed: int, last: int) -> bool:
    """Whether a seed is the last of its hundred, fifty or five; any is the last of nothing."""
    return last < 0 or seed % (last + 1) == last


def _storm(world: World, replicas: list[Replica], names: list[str]) -> tuple[int, int]:
    """Plan the faults of the stormy time; returns how many crashes and partitions there will be."""
    chance = world.random
    world.weather = Weather(
        loss=chance.choice((0.0, 0.05, 0.3)),
        doubling=chance.choice((0.0, 0.2)),
        most_delay=chance.choice((10, 60, 250)),
    )
    crashes = chance.choice((0, 1, 3, 6))
    for _ in range(crashes):
        world.after(chance.randrange(STORM_MS), lambda: _light(chance, replicas))
    partitions = chance.choice((0, 0, 1, 2))
    for _ in range(partitions):
        begin = chance.randrange(STORM_MS)
        groups = {name: chance.randint(0, 1) for name in names}
        world.after(begin, lambda groups=groups: world.part(groups))  # type: ignore[misc] # bound now
        world.after(begin + chance.randint(100, 1000), lambda: world.part({}))
    return crashes, partitions


def _light(chance: random.Random, replicas: list[Replica]) -> None:
    """One replica will end within its next few steps, between any two of them."""
    chance.choice(replicas).fuse = chance.randint(0, 12)
