"""An ``up`` that is killed at any step is completed by the same command."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from provchain.lab import names
from provchain.paths import network_dir
from tests.system.lifecycle import Lifecycle

_PATIENCE = 300.0


def _namespaces() -> set[str]:
    folder = Path("/run/netns")
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def _kill_when(life: Lifecycle, ripe: Callable[[], bool], *, engine_too: bool) -> None:
    """Start ``up`` and kill -9 it, or it with all it started, as soon as things are ripe."""
    with subprocess.Popen(
        life.argv("up"),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as command:
        deadline = time.monotonic() + _PATIENCE
        while not ripe():
            assert command.poll() is None, f"up ended by itself with {command.returncode}"
            assert time.monotonic() < deadline, "up did not come to the point where it is to be killed"
            time.sleep(0.05)
        if engine_too:
            os.killpg(command.pid, signal.SIGKILL)
        else:
            command.kill()


def _first_host_made(life: Lifecycle) -> bool:
    hosts = {names.host_namespace(life.network, host.name) for host in life.spec.hosts}
    return bool(hosts & _namespaces())


def _playbook_at_work(life: Lifecycle) -> bool:
    log = network_dir(life.network) / "logs" / "site.log"
    return log.is_file() and log.read_text(encoding="utf-8").count("TASK [") >= 4


@pytest.mark.parametrize("engine_too", [True, False], ids=["with its engine", "alone"])
def test_an_up_killed_anywhere_is_completed_by_the_next(life: Lifecycle, engine_too: bool) -> None:
    """While hosts are made, and while they are installed: with all its children, or the command alone."""
    life.down()
    _kill_when(life, lambda: _first_host_made(life), engine_too=engine_too)
    _kill_when(life, lambda: _playbook_at_work(life), engine_too=engine_too)
    life.up()
    assert life.is_whole()
    assert life.drift() == []
