"""Faults, caused on purpose: the chain bears one, halts at two, never forks, and loses nothing acknowledged.

Each proof leaves the network as it found it, also when it fails.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from provchain.lab import faults
from tests.host import steady
from tests.host.engine import Engine
from tests.host.network import Network
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


class Load:
    """Submits objects through an entrance in small batches and remembers what was acknowledged."""

    def __init__(self, network: Network, engine: Engine, entrance: str, label: str) -> None:
        """Prepare; nothing is sent yet."""
        self._network, self._engine, self._entrance, self._label = network, engine, entrance, label
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged: list[dict[str, Any]] = []
        self.interrupted = 0
        """Batches that the entrance did not finish."""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Submit for the length of a block of code."""
        self._thread.start()
        try:
            yield
        finally:
            self._end.set()
            self._thread.join()

    def _run(self) -> None:
        batch = 0
        while not self._end.is_set():
            samples = self._engine.samples(10, f"{self._label}-{batch}")
            lines = "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples)
            self._submit(lines)
            batch += 1

    def _submit(self, lines: str) -> None:
        argv = self._network.ssh_argv(self._entrance, self._network.verb_argv(self._entrance, "submit", {}))
        done = subprocess.run(argv, input=lines, capture_output=True, text=True, timeout=120, check=False)
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.endswith("}")]
        good = [answer for answer in answers if answer["ok"]]
        self.acknowledged += good
        self.interrupted += len(good) < lines.count("\n")


@pytest.mark.parametrize("who", ["validator", "entrance"])
def test_nothing_acknowledged_is_lost_when_a_node_is_killed_again_and_again(
    who: str, network: Network, engine: Engine, validators: list[str]
) -> None:
    """Killed while objects are committed: a validator, and the very node that gives the acknowledgements.

    Afterwards each acknowledged object is read from another organisation's node, its proof verified.
    """
    entrance, reader = _entrance_and_reader(network)
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
    _read_back(network, entrance, reader, load.acknowledged)


def _entrance_and_reader(network: Network) -> tuple[str, str]:
    """Return a full node that takes submissions, and an RPC node of another organisation."""
    serving = [host for host in network.spec.hosts if "rpc" in host.roles]
    entrance = next(host for host in serving if "full" in host.roles)
    reader = next(host for host in serving if host.organisation != entrance.organisation)
    return entrance.name, reader.name


def _read_back(network: Network, at: str, reader: str, acknowledged: Sequence[dict[str, Any]]) -> None:
    wanted = [{"object_id": one["object_id"], "version": one["version"]} for one in acknowledged]
    lines = "".join(json.dumps(one) + "\n" for one in wanted)
    done = network.verb(at, "read", {"node": reader}, stdin=lines, seconds=120)
    answers = [json.loads(line) for line in done.stdout.splitlines() if line]
    found = {(one["object_id"], one["version"]): one for one in answers}
    lost = [one for one in wanted if not found.get((one["object_id"], one["version"]), {}).get("verified")]
    assert lost == [], f"{len(lost)} of {len(wanted)} acknowledged objects are lost: {done.stderr[-500:]}"
    organisation = network.spec.host(reader).organisation
    assert {one["organisation"] for one in answers} == {organisation}
    # a proof is against a block of its own time, which is that of the commitment or a later one
    committed = {(one["object_id"], one["version"]): one["height"] for one in acknowledged}
    assert all(found[key]["height"] >= height for key, height in committed.items())
