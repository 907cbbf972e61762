"""Faults, caused on purpose: the chain bears one, halts at two, never forks, and loses nothing acknowledged.

Each proof leaves the network as it found it, also when it fails.
"""

from __future__ import annotations

import time

import pytest

from provchain.lab import faults
from tests.host import steady
from tests.host.engine import Engine
from tests.host.load import Load, entrance_and_reader
from tests.host.network import Network
from tests.host.outside import Outside
from tests.host.waiting import until

pytestmark = [pytest.mark.disruptive, pytest.mark.usefixtures("whole")]


def test_a_killed_node_is_started_again_and_catches_up(
    network: Network, engine: Engine, validators: list[str]
) -> None:
    victim, others = validators[-1], validators[:-1]
    steady.kill(network, victim, engine.unit)
    steady.go_on(network, others)
    highest = max(steady.heights(network, others).values())
    steady.reach(network, network.nodes, highest)
    steady.agree(network, highest)


def test_with_one_of_four_stopped_blocks_go_on(
    network: Network, engine: Engine, validators: list[str]
) -> None:
    stopped, others = validators[-1:], [name for name in network.nodes if name != validators[-1]]
    steady.systemctl(network, stopped, "stop", engine.unit)
    steady.go_on(network, others)
    steady.systemctl(network, stopped, "start", engine.unit)
    highest = max(steady.heights(network, others).values())
    steady.reach(network, network.nodes, highest)
    steady.agree(network, highest)


def test_with_two_stopped_it_halts_and_goes_on_when_one_is_back(
    network: Network, engine: Engine, validators: list[str]
) -> None:
    stopped = validators[-2:]
    others = [name for name in network.nodes if name not in stopped]
    steady.systemctl(network, stopped, "stop", engine.unit)
    last = steady.halt(network, others)
    steady.systemctl(network, stopped[:1], "start", engine.unit)
    steady.reach(network, [*others, stopped[0]], last + 2)
    steady.systemctl(network, stopped[1:], "start", engine.unit)
    steady.reach(network, network.nodes, last + 3)
    steady.agree(network, last + 2)


def test_a_host_that_lost_its_power_comes_back_and_catches_up(
    network: Network, engine: Engine, validators: list[str]
) -> None:
    victim = validators[-1]
    others = [name for name in network.nodes if name != victim]
    faults.kill_host(network.spec.network, victim)
    steady.go_on(network, others)
    faults.start_host(network.spec, victim)
    highest = max(steady.heights(network, others).values())
    steady.reach(network, network.nodes, highest)
    steady.agree(network, highest)
    rules = network.run(victim, "nft", "list", "ruleset")
    assert "policy drop" in rules, f"{victim} came back without its firewall"


def test_a_split_in_halves_halts_both_and_heals(network: Network, validators: list[str]) -> None:
    with faults.partitioned(network.spec, validators[:2]):
        last = steady.halt(network, network.nodes)
    steady.reach(network, network.nodes, last + 2)
    steady.agree(network, last + 2)


def test_a_minority_cut_off_does_not_go_on_alone(network: Network, validators: list[str]) -> None:
    """The majority commits; the one that is cut off adds nothing, and takes the majority's blocks later."""
    victim = validators[-1]
    others = [name for name in network.nodes if name != victim]
    with faults.partitioned(network.spec, [victim]):
        steady.go_on(network, others)
        alone = steady.heights(network, [victim])[victim]
        highest = max(steady.heights(network, others).values())
        assert 0 <= alone < highest
    steady.reach(network, network.nodes, highest)
    steady.agree(network, highest)


@pytest.mark.parametrize("who", ["validator", "entrance"])
def test_nothing_acknowledged_is_lost_when_a_node_is_killed_again_and_again(
    who: str, network: Network, engine: Engine, validators: list[str], outside: Outside
) -> None:
    """Killed while objects are committed: a validator, and the very node that gives the acknowledgements.

    Afterwards each acknowledged object is read from another organisation's node, its proof verified.
    """
    entrance, reader = entrance_and_reader(network)
    victim = validators[-1] if who == "validator" else entrance
    load = Load(network, engine, entrance, f"load-{who}-{time.time_ns()}")
    with load.running():
        for kill in range(5):
            steady.kill(network, victim, engine.unit)
            have = len(load.acknowledged)
            until(
                lambda: len(load.acknowledged),
                lambda now, have=have: now > have,  # type: ignore[misc] # binds this round's count
                f"acknowledgements after kill {kill + 1}",
                steady.RECOVERY,
            )
    assert load.acknowledged
    outside.look()
    outside.read_back(reader, load.acknowledged)
