"""What a chain does under faults, seen from outside: it grows, stands still, agrees."""

from __future__ import annotations

from collections.abc import Sequence

from tests.host.network import Network
from tests.host.waiting import settled, until

RECOVERY = 60.0
"""Seconds that a node or the chain gets to be back; far more than it takes."""


def in_step(network: Network) -> None:
    """Wait until every node has a block that is newer than any that there was before."""
    highest = max(heights(network, network.nodes).values())
    reach(network, network.nodes, highest + 1)
    agree(network, highest + 1)


def heights(network: Network, names: Sequence[str]) -> dict[str, int]:
    """Return heights; a node that doesn't answer has none."""

    def one(name: str) -> int:
        try:
            return int(network.ask(name, "status")["height"])
        except (AssertionError, OSError):
            return -1

    return network.each(names, one)


def reach(network: Network, names: Sequence[str], height: int) -> None:
    """Wait until all of them have a height."""
    until(
        lambda: heights(network, names),
        lambda seen: min(seen.values()) >= height,
        f"height {height} on {', '.join(names)}",
        RECOVERY,
    )


def go_on(network: Network, names: Sequence[str], blocks: int = 2) -> None:
    """Wait until all of them have some more blocks than any has now."""
    reach(network, names, max(heights(network, names).values()) + blocks)


def halt(network: Network, names: Sequence[str]) -> int:
    """See that no more blocks come for twice as long as they take at most; return the last height.

    One block may still be on its way when the quorum is lost.
    """
    times = network.spec.consensus
    longest = times.propose_timeout_ms + 2 * times.vote_timeout_ms + times.block_interval_ms
    still = settled(lambda: heights(network, names), "no more blocks", 2 * longest / 1000, RECOVERY)
    assert min(still.values()) > 0, f"not every node answers: {still}"
    return max(still.values())


def agree(network: Network, height: int) -> None:
    """No fork: every node has the same block at a height, and so, as each names its parent, below it."""
    hashes = network.hashes(height)
    assert len(set(hashes.values())) == 1, f"fork at or below height {height}: {hashes}"


def systemctl(network: Network, names: Sequence[str], *words: str) -> None:
    """Say something to systemd on several hosts."""
    network.each(names, lambda name: network.run(name, "systemctl", *words))


def main_pid(network: Network, name: str, unit: str) -> int:
    """Return the process of a service, 0 if it does not run."""
    return int(network.run(name, "systemctl", "show", "--value", "--property=MainPID", unit))


def kill(network: Network, name: str, unit: str) -> None:
    """Kill a node's process as the kernel would, and wait until systemd has started another."""
    before = main_pid(network, name, unit)
    assert before, f"{name}: {unit} does not run"
    network.run(name, "systemctl", "kill", "--signal=KILL", unit)
    until(
        lambda: main_pid(network, name, unit),
        lambda now: now not in (0, before),
        f"{name}: {unit} started again",
        RECOVERY,
    )
