"""The limit that lab hosts need is what it was before once the last of them is gone."""

from __future__ import annotations

from pathlib import Path

import pytest

from provchain.lab import cgroup, limits


@pytest.fixture
def limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a file in the limit's place; nobody has raised it, and no host is there."""
    file = tmp_path / "max_user_instances"
    file.write_text("128\n")
    monkeypatch.setattr(limits, "_LIMIT", file)
    monkeypatch.setattr(limits, "_FOUND", tmp_path / "run" / "found")
    monkeypatch.setattr(cgroup, "in_use", lambda: False)
    return file


def test_it_is_raised_once_and_set_back_after_the_last_host(
    limit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cgroup, "in_use", lambda: True)
    limits.lift()
    limits.lift()  # by a second network, which finds it raised
    assert int(limit.read_text()) == 4096
    limits.restore()
    assert int(limit.read_text()) == 4096, "another network still needs it"
    monkeypatch.setattr(cgroup, "in_use", lambda: False)
    limits.restore()
    assert int(limit.read_text()) == 128
    limit.write_text("200\n")
    limits.restore()
    assert int(limit.read_text()) == 200, "what it was is remembered no longer"


def test_a_limit_that_is_high_enough_is_left_alone(limit: Path) -> None:
    limit.write_text("8192\n")
    limits.lift()
    limits.restore()
    assert int(limit.read_text()) == 8192


def test_what_somebody_else_set_since_is_left_alone(limit: Path) -> None:
    limits.lift()
    limit.write_text("6000\n")
    limits.restore()
    assert int(limit.read_text()) == 6000


def test_a_host_of_any_network_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cgroup, "hierarchies", lambda: [(tmp_path, True)])
    assert not cgroup.in_use()
    (tmp_path / "provchain").mkdir()
    (tmp_path / "provchain" / "cgroup.procs").touch()  # the kernel's own, in every group
    assert not cgroup.in_use()
    group = tmp_path / "provchain" / "other" / "v1"
    group.mkdir(parents=True)
    assert cgroup.in_use()
    group.rmdir()
    group.parent.rmdir()
    assert not cgroup.in_use()
