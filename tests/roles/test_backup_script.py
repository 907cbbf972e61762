"""What a node's timer runs: a backup, then and only then fewer old ones."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.roles.test_templates import HOSTS, SPEC, render

KEEP = SPEC.backups.keep


class Node:
    """A node's folders, and an engine that only writes the file that it is told to."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.backups, self.data = folder, folder / "backups", folder / "data"
        self.backups.mkdir()
        self.data.mkdir()
        self.engine = folder / "engine"
        self.makes('echo "$@" >"$2"')

    def makes(self, script: str) -> None:
        """Let the engine do something else."""
        self.engine.write_text(f"#!/bin/sh\n{script}\n", encoding="utf-8")
        self.engine.chmod(0o755)

    def run(self, seal_for: str = "") -> subprocess.CompletedProcess[str]:
        """Run the script as the role writes it."""
        described = SPEC.model_dump(mode="json")
        described["backups"]["seal_for"] = seal_for or None
        script = render(
            "provnode",
            "backup.sh",
            HOSTS["v1"],
            provchain=described,
            provnode_backups=str(self.backups),
            provnode_data=str(self.data),
            provnode_command=str(self.engine),
            provnode_recovery_key="/etc/recovery.pub",
        )
        path = self.folder / "backup"
        path.write_text(script, encoding="utf-8")
        return subprocess.run(["/bin/sh", path], capture_output=True, text=True, check=False)

    def names(self) -> list[str]:
        """Return what is in the folder of backups."""
        return sorted(path.name for path in self.backups.iterdir())


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return Node(tmp_path)


def old(node: Node, count: int) -> list[str]:
    """Put backups of former days there."""
    names = [f"202601{day:02}T000000Z.tar" for day in range(1, count + 1)]
    for name in names:
        (node.backups / name).touch()
    return names


def test_the_newest_stay(node: Node) -> None:
    there = old(node, KEEP + 3)
    assert node.run().returncode == 0
    assert node.names()[:-1] == there[-(KEEP - 1) :]
    assert len(node.names()) == KEEP


def test_one_that_fails_takes_none_away(node: Node) -> None:
    there = old(node, KEEP + 3)
    node.makes("exit 1")
    assert node.run().returncode != 0
    assert node.names() == there


def test_what_was_cut_off_goes_and_what_is_no_backup_stays(node: Node) -> None:
    (node.backups / "20260101T000000Z.tar.77.new").mkdir()
    (node.backups / "note.txt").touch()
    assert node.run().returncode == 0
    assert "note.txt" in node.names()
    assert not [name for name in node.names() if name.endswith(".new")]


def test_a_disk_that_has_no_room_for_two_stores_gets_none(node: Node) -> None:
    du = node.folder / "du"
    du.write_text("#!/bin/sh\nprintf '99999999999999\\tx\\n'\n", encoding="utf-8")
    du.chmod(0o755)
    there = old(node, 1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{node.folder}:/usr/bin:/bin")
        done = node.run()
    assert done.returncode == 1
    assert "KiB are free" in done.stderr
    assert node.names() == there


@pytest.mark.parametrize("key", ["", "-----BEGIN PUBLIC KEY-----"])
def test_it_is_sealed_for_whom_the_description_names(node: Node, key: str) -> None:
    assert node.run(key).returncode == 0
    (name,) = node.names()
    told = (node.backups / name).read_text(encoding="utf-8")
    assert told.startswith("backup ")
    assert ("--seal-for /etc/recovery.pub" in told) == bool(key)
