"""Around the engine: its version, its environment, stale locks, and what its events say."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from provchain import lab
from provchain.errors import ProvchainError
from provchain.paths import REPOSITORY, spec_file
from provchain.provision import destroy, engine, env, events, outputs, recovery, up


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep all state of a test in its own folder."""
    monkeypatch.setenv("PROVCHAIN_HOME", str(tmp_path))
    return tmp_path


def program(folder: Path, name: str, says: str) -> Path:
    """Make an executable that prints one line."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\necho '{says}'\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_new_enough_engine_on_path_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = program(tmp_path / "bin", "pulumi", "v3.200.1")
    monkeypatch.setenv("PATH", f"{own.parent}:/usr/bin:/bin")
    assert engine.ensure_engine() == own


@pytest.mark.parametrize("says", ["v3.199.9", "v2.300.0", "no version"])
def test_an_older_engine_is_passed_over(says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = program(tmp_path / "bin", "pulumi", says)
    built = program(tmp_path / "cache/pulumi-engine" / engine.source_key() / "bin", "pulumi", "v3.259.0")
    monkeypatch.setenv("PATH", f"{own.parent}:/usr/bin:/bin")
    assert engine.ensure_engine() == built


def test_a_failed_build_says_why_and_leaves_no_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go = tmp_path / "bin" / "go"
    program(go.parent, "go", "go version go1.99.0 linux/amd64")
    go.write_text(go.read_text(encoding="utf-8") + '[ "$1" = version ] || { echo no registry; exit 1; }\n')
    monkeypatch.setenv("PATH", f"{go.parent}:/usr/bin:/bin")
    with pytest.raises(ProvchainError) as caught:
        engine.ensure_engine()
    assert "no registry" in caught.value.cause
    assert not (tmp_path / "cache/pulumi-engine" / engine.source_key()).exists()


def test_the_engine_and_the_sdk_have_the_same_version() -> None:
    lock = (REPOSITORY / "requirements.lock").read_text(encoding="utf-8")
    assert f"pulumi=={engine._pinned().removeprefix('v')}" in lock


def test_the_passphrase_is_a_private_file_and_no_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(env, "ensure_engine", lambda _: Path("/opt/x/bin/pulumi"))
    first, second = env.environment("t"), env.environment("t")
    path = Path(first["PULUMI_CONFIG_PASSPHRASE_FILE"])
    text = path.read_text(encoding="ascii")
    assert first == second
    assert len(text) >= 32
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert all(text not in value for value in first.values())
    assert [entry.name for entry in path.parent.iterdir() if entry.name.startswith(".")] == []


def lock(holder: dict[str, Any] | str) -> Path:
    """Lay a lock on the stack of network t, as the file backend does."""
    path = recovery._state("t") / "locks/organization/provchain/t/1.json"
    path.parent.mkdir(parents=True)
    path.write_text(holder if isinstance(holder, str) else json.dumps(holder), encoding="utf-8")
    return path


@pytest.fixture
def running_engine(tmp_path: Path) -> Iterator[int]:
    """Run a process that looks like an engine."""
    link = tmp_path / "pulumi"
    link.symlink_to("/bin/sleep")
    with subprocess.Popen([str(link), "60"]) as process:
        while not Path(f"/proc/{process.pid}/cmdline").read_bytes():  # it is just becoming that program
            os.sched_yield()
        yield process.pid
        process.kill()


def ended_process() -> int:
    """Return the id of a process that has ended."""
    with subprocess.Popen(["true"]) as process:
        return process.pid


def test_the_lock_of_an_engine_that_ended_is_removed() -> None:
    path = lock({"pid": ended_process(), "hostname": socket.gethostname()})
    recovery.clear_lock("t", lambda _: None)
    assert not path.exists()


def test_a_lock_whose_process_number_went_to_another_program_is_removed() -> None:
    path = lock({"pid": os.getpid(), "hostname": socket.gethostname()})
    recovery.clear_lock("t", lambda _: None)
    assert not path.exists()


def test_half_a_lock_is_removed() -> None:
    path = lock('{"pid": 1')
    recovery.clear_lock("t", lambda _: None)
    assert not path.exists()


def test_the_lock_of_a_running_engine_is_kept(running_engine: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recovery, "_WAIT_SECONDS", 0.0)
    path = lock({"pid": running_engine, "hostname": socket.gethostname()})
    with pytest.raises(ProvchainError, match=f"process {running_engine}"):
        recovery.clear_lock("t", lambda _: None)
    assert path.exists()


def test_the_lock_of_another_machine_is_kept() -> None:
    path = lock({"pid": ended_process(), "hostname": "elsewhere"})
    with pytest.raises(ProvchainError, match="elsewhere"):
        recovery.clear_lock("t", lambda _: None)
    assert path.exists()


class FakeStack:
    """A stack that can be exported and imported."""

    def __init__(self, pending: list[str]) -> None:
        self.deployment: dict[str, Any] = {"resources": ["a"], "pending_operations": pending}
        self.imported: dict[str, Any] | None = None
        path = recovery._checkpoint("t")
        path.parent.mkdir(parents=True)
        path.write_text(json.dumps({"checkpoint": {"latest": self.deployment}}), encoding="utf-8")

    def export_stack(self) -> SimpleNamespace:
        return SimpleNamespace(version=3, deployment=self.deployment)

    def import_stack(self, state: Any) -> None:  # noqa: ANN401 - the SDK's own type is what is tested
        self.imported = state.deployment


def test_operations_half_done_are_forgotten_and_nothing_else() -> None:
    fake = FakeStack(["creating v1"])
    recovery.clear_pending(fake, "t", lambda _: None)  # type: ignore[arg-type]  # a stand-in
    assert fake.imported == {"resources": ["a"], "pending_operations": []}


def test_a_whole_state_is_left_alone() -> None:
    fake = FakeStack([])
    recovery.clear_pending(fake, "t", lambda _: None)  # type: ignore[arg-type]  # a stand-in
    assert fake.imported is None


def test_a_description_elsewhere_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "chain.yml"
    copy.write_bytes(spec_file("lab").read_bytes())
    with pytest.raises(ProvchainError, match="must be"):
        up(copy)


def test_outputs_of_a_network_that_is_not_there() -> None:
    with pytest.raises(ProvchainError, match="not provisioned"):
        outputs(spec_file("lab"))


def test_destroying_needs_no_readable_description(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    removed: list[str] = []
    monkeypatch.setattr(lab, "remove", removed.append)
    destroy(tmp_path / "gone" / "chain.yml")
    assert removed == ["gone"]


def step(kind: str, op: str, name: str, problems: list[str] | None = None) -> Any:  # noqa: ANN401 - a stand-in
    """Make an engine's event."""
    sides = {"new": None, "old": SimpleNamespace(outputs={"problems": problems})}
    meta = SimpleNamespace(op=SimpleNamespace(value=op), urn=f"urn::x::{name}", type=kind, **sides)
    return SimpleNamespace(
        resource_pre_event=None, res_outputs_event=SimpleNamespace(metadata=meta), res_op_failed_event=None
    )


def test_events_become_counts_and_reasons() -> None:
    said: list[str] = []
    recorder = events.Recorder(said.append)
    host = "pulumi-python:dynamic/lab:Host"
    for event in (
        step("pulumi:pulumi:Stack", "create", "provchain-t"),
        step("provchain:topology:Host", "create", "v1"),
        step(host, "refresh", "lab-v1"),
        step(host, "same", "lab-v1"),
        step(host, "create", "lab-v2"),
        step(host, "update", "lab-v3", ["not running", "more"]),
    ):
        recorder(event)
    changes = recorder.changes()
    assert changes.summary == {"create": 1, "same": 1, "update": 1}
    assert changes.details == ("create host v2", "update host v3 (not running)")
    assert (changes.creates, changes.any) == (1, True)
    assert said == ["create host v2 done", "update host v3 done"]


def test_a_plugin_ends_with_its_engine(tmp_path: Path) -> None:
    starter = "import subprocess,sys; p=subprocess.Popen(sys.argv[1:],stdout=subprocess.PIPE); "
    starter += "print(p.pid, p.stdout.readline().decode(), flush=True)"
    plugin = [sys.executable, "-u", "-m", "provchain.provision.plugins", "language", "127.0.0.1:1"]
    done = subprocess.run(
        [sys.executable, "-c", starter, *plugin],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
    )
    pid, port = (int(word) for word in done.stdout.split())
    assert port > 0
    while Path(f"/proc/{pid}").exists() and "Z" not in Path(f"/proc/{pid}/stat").read_text().split():
        os.sched_yield()
