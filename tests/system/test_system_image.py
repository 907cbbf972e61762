"""The lab's image before a host is made of it: audited whole, by root, and nothing of it changes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provchain.audit.assessment import Assessment, read
from provchain.audit.subjects import of_state
from provchain.baseline import catalog
from provchain.baseline.facts import Status
from provchain.baseline.observation import Verdict
from provchain.baseline.resources import Target
from provchain.lab import image

RUNS = ("any_service", "firewall", "module", "service", "sockets", "ssh_offer", "sysctl", "unit_property")
"""Resources of what runs, of which an image can say nothing."""


def audited(connector: str, folder: Path) -> Assessment:
    """Audit it by the command, as an officer would."""
    argv = [str(Path(sys.executable).with_name("provchain")), "audit", connector, "--output", str(folder)]
    own = {**os.environ, "PROVCHAIN_HOME": str(folder / "home")}
    done = subprocess.run(argv, env=own, capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    return read((folder / "audit.json").read_text(encoding="utf-8"))


def picture(root: Path) -> str:
    form = r"%P %y %m %U %G %s %T@ %C@\n"
    return subprocess.run(["find", root, "-printf", form], capture_output=True, text=True, check=True).stdout


def test_an_image_is_judged_by_its_files_and_stays_as_it_is(tmp_path: Path) -> None:
    root = image.ensure()
    before, mounts = picture(root), Path("/proc/self/mountinfo").read_text()
    found = audited(f"@chroot/{root}", tmp_path / "report")
    assert picture(root) == before
    assert Path("/proc/self/mountinfo").read_text() == mounts
    (host,) = found.hosts
    assert (host.unreachable, host.family, host.container, host.hostname) == ("", "debian", False, "")
    assert of_state(host).connector == f"@chroot/{root}"
    profile = catalog.load().profiles["mlps3"]
    rules = {rule.id: rule.check_for("debian") for rule in profile.rules}
    verdicts = {result.rule: result for result in found.results}
    assert sum(one.verdict == Verdict.COMPLIANT for one in verdicts.values()) > 50
    for name, check in rules.items():
        seen = verdicts[name]
        if seen.verdict in (Verdict.COMPLIANT, Verdict.NONCOMPLIANT):
            asked = check.probes(Target("x", "debian", False), profile.values)
            states = {probe.id: host.facts[probe.id].status for probe in asked}
            assert set(states.values()) <= {Status.SEEN, Status.MISSING}, (
                f"{name} was judged by half: {states}"
            )
            assert check.resource not in RUNS, name
        elif check.resource in RUNS and seen.verdict == Verdict.UNKNOWN:
            assert "no ssh leads to it" in seen.reason or "it is an image" in seen.reason


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Path]:
    """The image with a layer above it, in which whatever is written would stand."""
    layers = tmp_path / "layers"
    layers.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "none", layers], check=True)
    try:
        for name in ("upper", "work", "root"):
            (layers / name).mkdir()
        options = f"lowerdir={image.ensure()},upperdir={layers}/upper,workdir={layers}/work"
        subprocess.run(["mount", "-t", "overlay", "pc-audited", "-o", options, layers / "root"], check=True)
        yield layers
    finally:
        subprocess.run(["umount", layers / "root"], check=False)
        subprocess.run(["umount", layers], check=True)


def test_an_audit_by_root_writes_nothing(
    running: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In what could be written to: a container, entered by a client that knows only this one."""
    enter = 'mount -t proc proc "$0/proc" && exec chroot "$0" "$@"'
    client = tmp_path / "bin" / "docker"
    client.parent.mkdir()
    client.write_text(f"#!/bin/bash\nexec unshare --mount sh -c '{enter}' {running}/root \"${{@:4}}\"\n")
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{client.parent}:/usr/sbin:/usr/bin:/sbin:/bin")
    found = audited("@docker/web", tmp_path / "report")
    (host,) = found.hosts
    assert (host.unreachable, host.container) == ("", True)
    asked = [name for name, mark in host.facts.items() if mark.status == Status.SEEN]
    assert len(asked) > 100
    assert list((running / "upper").rglob("*")) == []
