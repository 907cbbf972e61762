"""A validator that lost its store and gets back an old one follows again, and never contradicts itself."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.host import command, steady
from tests.host.engine import Engine
from tests.host.load import Load, entrance_and_reader
from tests.host.network import Network
from tests.host.outside import Outside
from tests.host.waiting import until

pytestmark = [pytest.mark.disruptive, pytest.mark.usefixtures("whole")]


def _signers(network: Network, node: str, height: int) -> list[str]:
    signers: list[str] = network.ask(node, "block", height=str(height))["certificate"]["validators"]
    return signers


def test_a_damaged_backup_leaves_everything_as_it_was(
    network: Network, engine: Engine, validators: list[str], tmp_path: Path
) -> None:
    victim = validators[-1]
    before = network.run(victim, "stat", "--format=%i", engine.data)
    damaged = tmp_path / "damaged"
    damaged.write_bytes(bytes(10_240))
    done = command.run(network, "restore", victim, str(damaged), "--yes")
    assert done.returncode == 1
    assert "does not begin with a manifest" in " ".join(done.stderr.split())
    assert network.run(victim, "stat", "--format=%i", engine.data) == before
    beside = Path(engine.data)
    assert network.run(victim, "find", str(beside.parent), "-name", f"{beside.name}*").split() == [
        engine.data
    ]
    steady.go_on(network, [victim], blocks=1)


def test_a_wiped_validator_gets_its_backup_and_is_silent_where_it_may_have_signed(
    network: Network, engine: Engine, validators: list[str], outside: Outside, tmp_path: Path
) -> None:
    victim, others = validators[-1], validators[:-1]
    entrance, reader = entrance_and_reader(network)
    load = Load(network, engine, entrance, f"backup-{time.time_ns()}")
    with load.running():
        (made,) = command.provchain(network, "backup", "--node", victim, "--to", str(tmp_path))["backups"]
        assert set(made["sm3"]) and Path(made["file"]).stat().st_mode & 0o777 == 0o600
        steady.reach(network, [victim], made["height"] + 2)  # which it has signed, and its backup doesn't say
        steady.systemctl(network, [victim], "stop", engine.unit)
        network.run(victim, "find", engine.data, "-mindepth", "1", "-delete")
        last = max(steady.heights(network, others).values())
        told = command.provchain(network, "restore", victim, made["file"], "--yes")
        assert (told["height"], told["put_aside"]) == (made["height"], None)
        floor = until(
            lambda: engine.silent_below(network.run(victim, "cat", engine.floor)),
            lambda found: found is not None,
            f"{victim} knows from which height on it may sign",
            steady.RECOVERY,
        )
        assert floor is not None and floor > last + 1, "it may have signed the next height already"
        steady.reach(network, network.nodes, floor)
        silent = [
            height for height in range(last + 2, floor) if victim in _signers(network, others[0], height)
        ]
        assert silent == [], f"{victim} signed heights {silent}, of which it can't know what it signed before"
        until(
            lambda: _signers(network, others[0], steady.heights(network, others[:1])[others[0]]),
            lambda signers: victim in signers,
            f"{victim} signs again",
            steady.RECOVERY,
        )
    outside.look()
    outside.read_back(reader, load.acknowledged)
