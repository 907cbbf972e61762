"""``down`` leaves nothing of the network behind, and all else as it was. These run last."""

from __future__ import annotations

import subprocess
from pathlib import Path

from provchain.lab import names
from tests.system.lifecycle import Lifecycle


def _namespaces() -> set[str]:
    folder = Path("/run/netns")
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def test_down_leaves_nothing_behind_and_touches_nothing_else(running: Lifecycle) -> None:
    own = {name for name in _namespaces() if names.owned_namespace(running.network, name)}
    others = _namespaces() - own
    assert own
    rules = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    running.down()
    assert running.traces() == []
    assert others <= _namespaces(), "a namespace of another network is gone"
    after = subprocess.run(["nft", "list", "ruleset"], capture_output=True, text=True, check=True).stdout
    assert after == rules, "the machine's own firewall rules changed"
    processes = subprocess.run(["ps", "-eo", "pid,args"], capture_output=True, text=True, check=True).stdout
    mine = f"pc-{running.network}-"
    assert [line for line in processes.splitlines() if mine in line] == []


def test_down_twice_is_no_error(life: Lifecycle) -> None:
    life.down()
    life.down()
    assert life.traces() == []
