"""Every node backs its store up by itself, and what it leaves is a backup (GB/T 22239 8.1.4.9)."""

from __future__ import annotations

import json

import pytest

from provchain.spec import ChainSpec
from tests.host.engine import Engine
from tests.host.network import Network
from tests.host.waiting import until

FIRST = 120.0
"""Seconds after a deployment within which a node has made its first one."""


def _kept(network: Network, engine: Engine, node: str) -> list[str]:
    return sorted(network.run(node, "find", engine.backups, "-type", "f", "-name", "*.tar").split())


def test_a_timer_makes_backups(node: str, network: Network, engine: Engine, spec: ChainSpec) -> None:
    """There is one soon after the node was deployed, for its own account alone, and no more than stay."""
    timer = engine.backup_unit.replace(".service", ".timer")
    assert network.run(node, "systemctl", "is-active", timer).strip() == "active"
    assert network.run(node, "systemctl", "is-enabled", timer).strip() == "enabled"
    kept = until(lambda: _kept(network, engine, node), bool, f"a backup of {node}", FIRST)
    assert len(kept) <= spec.backups.keep
    told = network.run(node, "stat", "-c", "%a %U", engine.backups, *kept).split("\n")
    assert set(filter(None, told)) == {f"700 {engine.user}", f"600 {engine.user}"}


@pytest.mark.disruptive
def test_older_ones_go_only_when_a_new_one_is_there(
    network: Network, engine: Engine, spec: ChainSpec
) -> None:
    """And the newest opens: all blocks in it are verified from the genesis on."""
    node = network.nodes[-1]
    for _ in range(spec.backups.keep + 1):
        before = _kept(network, engine, node)
        network.run(node, "systemctl", "start", engine.backup_unit)
        after = _kept(network, engine, node)
        assert after[-1] not in before, "a backup was made"
        assert len(after) <= spec.backups.keep
        assert set(before) - set(after) <= set(before[: -spec.backups.keep + 1])
    if spec.backups.seal_for:
        return  # opens with a key that nobody has here; the node's own tests open sealed ones
    copy, place = "/var/lib/proof-backup.tar", "/var/lib/proof-restored"
    try:
        network.run(node, "install", "-m", "0400", "-o", engine.user, after[-1], copy)
        told = network.run(node, "sh", "-c", engine.opens(copy, place))
        assert json.loads(told)["height"] > 0
    finally:
        network.run(node, "rm", "-rf", copy, place, f"{place}.toml")


@pytest.mark.disruptive
def test_a_backup_that_fails_takes_none_away(network: Network, engine: Engine) -> None:
    """Told by systemd, and by the audit once a day has gone by without one."""
    node = network.nodes[-1]
    before = _kept(network, engine, node)
    engine_file = "/run/systemd/system/" + engine.backup_unit + ".d/proof.conf"
    script = (
        f"mkdir -p {engine_file.rpartition('/')[0]} && "
        f"printf '[Service]\\nReadWritePaths=\\nReadOnlyPaths={engine.backups}\\n' >{engine_file} && "
        f"systemctl daemon-reload && ! systemctl start {engine.backup_unit}"
    )
    try:
        network.run(node, "sh", "-c", script)
        assert _kept(network, engine, node) == before
    finally:
        network.run(node, "sh", "-c", f"rm -r {engine_file.rpartition('/')[0]}; systemctl daemon-reload")
        network.run(node, "systemctl", "reset-failed", engine.backup_unit)
