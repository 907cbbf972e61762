"""The settings that roles apply: what differs is changed, what doesn't is left, a dry run changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import settings
from settings import SettingError, converge

ME = {"owner": "root", "group": "root"}


@pytest.fixture(autouse=True)
def _backups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "BACKUPS", tmp_path / "backups")


def file(path: Path, content: str = "new\n", **more: str) -> settings.Item:
    return {"kind": "file", "path": str(path), "content": content, **ME, **more}


def test_a_file_is_made_with_its_mode_and_then_left_alone(tmp_path: Path) -> None:
    item = file(tmp_path / "a", mode="0600")
    ((_, first),) = converge([item], check=False)
    assert first.changed
    assert first.after == "new\n"
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o600
    ((_, second),) = converge([item], check=False)
    assert not second.changed


def test_a_dry_run_says_the_same_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old\n")
    ((_, dry),) = converge([file(path)], check=True)
    assert path.read_text() == "old\n"
    ((_, real),) = converge([file(path)], check=False)
    assert path.read_text() == "new\n"
    assert (dry.changed, dry.before, dry.after) == (real.changed, real.before, real.after)


def test_what_is_replaced_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old\n")
    converge([file(path)], check=False)
    kept = tmp_path / "backups" / str(path).lstrip("/")
    assert kept.read_text() == "old\n"
    assert kept.stat().st_mode & 0o7777 == 0o600


def test_a_wrong_mode_alone_is_put_right(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("new\n")
    path.chmod(0o666)
    ((_, result),) = converge([file(path)], check=False)
    assert result.actions == ["root root 0666 -> root root 0644"]
    assert path.stat().st_mode & 0o7777 == 0o644


def test_content_that_does_not_validate_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old\n")
    with pytest.raises(SettingError, match="exit code 1"):
        converge([file(path, validate="/bin/grep old %s")], check=False)
    assert path.read_text() == "old\n"
    assert list(tmp_path.glob(".a*")) == []


def test_a_link_in_a_files_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "a"
    victim.write_text("mine\n")
    path.symlink_to(victim)
    converge([file(path)], check=False)
    assert not path.is_symlink()
    assert victim.read_text() == "mine\n"


def test_folders_links_and_removals(tmp_path: Path) -> None:
    items: list[settings.Item] = [
        {"kind": "directory", "path": str(tmp_path / "d"), "mode": "0700", **ME},
        {"kind": "link", "path": str(tmp_path / "d" / "l"), "target": "there"},
        {"kind": "absent", "path": str(tmp_path / "gone")},
    ]
    (tmp_path / "gone").write_text("x")
    assert [result.changed for _, result in converge(items, check=False)] == [True, True, True]
    assert str((tmp_path / "d" / "l").readlink()) == "there"
    assert not (tmp_path / "gone").exists()
    assert [result.changed for _, result in converge(items, check=False)] == [False, False, False]


def test_a_folder_is_never_removed(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="only files are removed"):
        converge([{"kind": "absent", "path": str(tmp_path)}], check=False)


class FakeSystemd:
    """Answers for systemctl: one unit with properties, and a record of the verbs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, **properties: str) -> None:
        self.verbs: list[str] = []
        monkeypatch.setattr(settings, "_properties", lambda unit: properties)
        monkeypatch.setattr(settings, "run", lambda *argv, check=True: self.verbs.append(argv[1]))


def unit(path: Path) -> settings.Item:
    return {"kind": "unit", "name": "x.service", "restart_on": [str(path)]}


LONG_AGO, FAR_AHEAD = "1", str(2**60)


@pytest.mark.parametrize(
    ("properties", "verbs"),
    [
        ({"ActiveState": "inactive", "UnitFileState": "disabled"}, ["enable", "start"]),
        (
            {"ActiveState": "active", "UnitFileState": "enabled", "ActiveEnterTimestampMonotonic": FAR_AHEAD},
            [],
        ),
        (
            {"ActiveState": "active", "UnitFileState": "enabled", "ActiveEnterTimestampMonotonic": LONG_AGO},
            ["restart"],
        ),
        (
            {"ActiveState": "failed", "UnitFileState": "enabled", "NeedDaemonReload": "yes"},
            ["daemon-reload", "start"],
        ),
    ],
)
def test_a_unit_is_enabled_running_and_newer_than_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, properties: dict[str, str], verbs: list[str]
) -> None:
    (tmp_path / "conf").write_text("x")
    systemd = FakeSystemd(monkeypatch, **properties)
    ((_, result),) = converge([unit(tmp_path / "conf")], check=False)
    assert systemd.verbs == verbs
    assert result.changed == bool(verbs)


def test_a_dry_run_foresees_the_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "conf"
    path.write_text("old")
    properties = {
        "ActiveState": "active",
        "UnitFileState": "enabled",
        "ActiveEnterTimestampMonotonic": FAR_AHEAD,
    }
    systemd = FakeSystemd(monkeypatch, **properties)
    done = converge([file(path), unit(path)], check=True)
    assert done[1][1].actions == ["restart"]
    assert systemd.verbs == []


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"kind": "registry", "path": "/x"}, "kind 'registry', allowed"),
        ({"path": "/x"}, "kind None"),
        ({"kind": "file", "path": "/x"}, "content is missing"),
        ({"kind": "link", "path": "/x", "target": "y", "mode": "0644"}, "unknown key mode"),
    ],
)
def test_a_bad_list_is_refused_before_anything_is_changed(
    tmp_path: Path, item: settings.Item, message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        converge([file(tmp_path / "a"), item], check=False)
    assert not (tmp_path / "a").exists()
