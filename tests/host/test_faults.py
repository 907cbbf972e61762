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
from tests.host.engine import Engine
from tests.host.network import Network
from tests.host.waiting import settled, until

pytestmark = [pytest.mark.disruptive, pytest.mark.usefixtures("whole")]

RECOVERY = 60.0
"""Seconds that a node or the chain gets to be back; far more than it takes."""


@pytest.fixture
def validators(network: Network) -> list[str]:
    """Return the four validators' names; the last ones are those that suffer."""
    names = [host.name for host in network.spec.validators]
    assert len(names) == 4, "these proofs are written for four validators, one of which may fail"
    return names


@pytest.fixture(scope="module")
def before(network: Network) -> None:
    """Start with all nodes in step: later proofs rely on what the one before has left."""
    _in_step(network)


@pytest.fixture
def whole(network: Network, engine: Engine, before: None) -> Iterator[None]:
    """See to it that all cables, hosts and services are restored in the end, and all nodes in step."""
    yield
    faults.heal(network.spec)
    for name in network.nodes:
        faults.start_host(network.spec, name)
    _systemctl(network, network.nodes, "start", engine.unit)
    _in_step(network)


def _in_step(network: Network) -> None:
    """Wait until every node has a block that is newer than any that there was before."""
    highest = max(_heights(network, network.nodes).values())
    _reach(network, network.nodes, highest + 1)
    _agree(network, highest + 1)


def _heights(network: Network, names: Sequence[str]) -> dict[str, int]:
    """Return heights; a node that doesn't answer has none."""

    def one(name: str) -> int:
        try:
            return int(network.ask(name, "status")["height"])
        except (AssertionError, OSError):
            return -1

    return network.each(names, one)


def _reach(network: Network, names: Sequence[str], height: int) -> None:
    until(
        lambda: _heights(network, names),
        lambda seen: min(seen.values()) >= height,
        f"height {height} on {', '.join(names)}",
        RECOVERY,
    )


def _go_on(network: Network, names: Sequence[str], blocks: int = 2) -> None:
    _reach(network, names, max(_heights(network, names).values()) + blocks)


def _halt(network: Network, names: Sequence[str]) -> int:
    """See that no more blocks come for twice as long as they take at most; return the last height.

    One block may still be on its way when the quorum is lost.
    """
    times = network.spec.consensus
    longest = times.propose_timeout_ms + 2 * times.vote_timeout_ms + times.block_interval_ms
    still = settled(lambda: _heights(network, names), "no more blocks", 2 * longest / 1000, RECOVERY)
    assert min(still.values()) > 0, f"not every node answers: {still}"
    return max(still.values())


def _agree(network: Network, height: int) -> None:
    """No fork: every node has the same block at a height, and so, as each names its parent, below it."""
    hashes = network.hashes(height)
    assert len(set(hashes.values())) == 1, f"fork at or below height {height}: {hashes}"


def _systemctl(network: Network, names: Sequence[str], *words: str) -> None:
    network.each(names, lambda name: network.run(name, "systemctl", *words))


def _main_pid(network: Network, name: str, unit: str) -> int:
    return int(network.run(name, "systemctl", "show", "--value", "--property=MainPID", unit))


def _kill(network: Network, name: str, unit: str) -> None:
    """Kill a node's process as the kernel would, and wait until systemd has started another."""
    before = _main_pid(network, name, unit)
    assert before, f"{name}: {unit} does not run"
    network.run(name, "systemctl", "kill", "--signal=KILL", unit)
    until(
        lambda: _main_pid(network, name, unit),
        lambda now: now not in (0, before),
        f"{name}: {unit} started again",
        RECOVERY,
    )


def test_a_killed_node_is_started_again_and_catches_up(
    network: Network, engine: Engine, validators: list[str]
) -> None:
    victim, others = validators[-1], validators[:-1]
    _kill(network, victim, engine.unit)
    _go_on(network, others)
    highest = max(_heights(network, others).values())
    _reach(network, network.nodes, highest)
    _agree(network, highest)


def test_with_one_of_four_stopped_blocks_go_on(
    network: Network, engine: Engine, validators: list[str]
) -> None:
    stopped, others = validators[-1:], [name for name in network.nodes if name != validators[-1]]
    _systemctl(network, stopped, "stop", engine.unit)
    _go_on(network, others)
    _systemctl(network, stopped, "start", engine.unit)
    highest = max(_heights(network, others).values())
    _reach(network, network.nodes, highest)
    _agree(network, highest)


def test_with_two_stopped_it_halts_and_goes_on_when_one_is_back(
    network: Network, engine: Engine, validators: list[str]
) -> None:
    stopped = validators[-2:]
    others = [name for name in network.nodes if name not in stopped]
    _systemctl(network, stopped, "stop", engine.unit)
    last = _halt(network, others)
    _systemctl(network, stopped[:1], "start", engine.unit)
    _reach(network, [*others, stopped[0]], last + 2)
    _systemctl(network, stopped[1:], "start", engine.unit)
    _reach(network, network.nodes, last + 3)
    _agree(network, last + 2)


def test_a_host_that_lost_its_power_comes_back_and_catches_up(
    network: Network, engine: Engine, validators: list[str]
) -> None:
    victim = validators[-1]
    others = [name for name in network.nodes if name != victim]
    faults.kill_host(network.spec.network, victim)
    _go_on(network, others)
    faults.start_host(network.spec, victim)
    highest = max(_heights(network, others).values())
    _reach(network, network.nodes, highest)
    _agree(network, highest)
    rules = network.run(victim, "nft", "list", "ruleset")
    assert "policy drop" in rules, f"{victim} came back without its firewall"


def test_a_split_in_halves_halts_both_and_heals(network: Network, validators: list[str]) -> None:
    with faults.partitioned(network.spec, validators[:2]):
        last = _halt(network, network.nodes)
    _reach(network, network.nodes, last + 2)
    _agree(network, last + 2)


def test_a_minority_cut_off_does_not_go_on_alone(network: Network, validators: list[str]) -> None:
    """The majority commits; the one that is cut off adds nothing, and takes the majority's blocks later."""
    victim = validators[-1]
    others = [name for name in network.nodes if name != victim]
    with faults.partitioned(network.spec, [victim]):
        _go_on(network, others)
        alone = _heights(network, [victim])[victim]
        highest = max(_heights(network, others).values())
        assert 0 <= alone < highest
    _reach(network, network.nodes, highest)
    _agree(network, highest)


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
            _kill(network, victim, engine.unit)
            have = len(load.acknowledged)
            until(
                lambda: len(load.acknowledged),
                lambda now, have=have: now > have,  # type: ignore[misc] # binds this round's count
                f"acknowledgements after kill {kill + 1}",
                RECOVERY,
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
