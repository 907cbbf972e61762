"""A node's clock, disk or neighbour goes wrong: the chain goes on, and nothing forks."""

from __future__ import annotations

import pytest

from tests.host import disturb, steady
from tests.host.engine import Engine
from tests.host.network import Network
from tests.host.waiting import until

pytestmark = [pytest.mark.disruptive, pytest.mark.lab, pytest.mark.usefixtures("whole")]

HOUR = 3600
FLOOD_SECONDS = 15.0


def _follow(network: Network) -> None:
    """All go on and agree, the disturbed one included."""
    steady.go_on(network, network.nodes, blocks=1)
    steady.agree(network, min(steady.heights(network, network.nodes).values()))


def test_a_clock_that_jumps_disturbs_nobody_else(
    network: Network, engine: Engine, validators: list[str]
) -> None:
    """Ahead it proposes blocks that others refuse; behind it refuses theirs, and takes them once decided."""
    with disturb.clock(network, engine, validators[-1]) as clock:
        _follow(network)
        for seconds in (HOUR, -HOUR, 0):
            clock.jump(seconds)
            _follow(network)
    _follow(network)


def test_a_full_disk_halts_one_node_and_loses_nothing(
    network: Network, engine: Engine, validators: list[str]
) -> None:
    victim = validators[-1]
    others = [name for name in network.nodes if name != victim]
    with disturb.small_disk(network, engine, victim, 256) as disk:
        _follow(network)
        disk.fill()
        until(
            lambda: network.ask(victim, "status")["problem"],
            lambda problem: "free space" in str(problem),
            f"{victim} says that its disk is full",
            steady.RECOVERY,
        )
        steady.go_on(network, others)
        disk.free()
        highest = max(steady.heights(network, others).values())
        steady.reach(network, network.nodes, highest)
        steady.agree(network, highest)
        assert network.ask(victim, "status")["problem"] is None
    _follow(network)


def test_a_flood_from_a_member_does_not_stop_the_others(network: Network, validators: list[str]) -> None:
    source, targets = validators[-1], validators[:-1]
    before = steady.heights(network, targets)
    sent = disturb.flood(network, source, targets, "p2p", FLOOD_SECONDS)
    after = steady.heights(network, targets)
    assert sent["connections"] > 0
    assert sent["bytes"] > 0
    assert min(after.values()) > max(before.values()), f"no block in {FLOOD_SECONDS} s of flood"
    _follow(network)
