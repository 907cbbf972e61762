"""The settings that roles apply: what differs is changed, what doesn't is left, a dry run changes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import settings
from settings import SettingError, converge, files

ME = {"owner": "root", "group": "root"}


@pytest.fixture(autouse=True)
def _backups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "BACKUPS", tmp_path / "backups")


def file(path: Path, content: str = "new\n", **more: str) -> settings.Item:
    return {"kind": "file", "path": str(path), "content": content, **ME, **more}


def test_a_file_is_made_with_its_mode_and_then_left_alone(tmp_path: Path) -> None:
    item = file(tmp_path / "a", mode="0600")
    ((_, first),) = converge([item], dry=False)
    assert first.changed
    assert first.after == "new\n"
    assert (tmp_path / "a").stat().st_mode & 0o7777 == 0o600
    ((_, second),) = converge([item], dry=False)
    assert not second.changed


def test_a_dry_run_says_the_same_and_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old\n")
    ((_, dry),) = converge([file(path)], dry=True)
    assert path.read_text() == "old\n"
    ((_, real),) = converge([file(path)], dry=False)
    assert path.read_text() == "new\n"
    assert (dry.changed, dry.before, dry.after) == (real.changed, real.before, real.after)


def test_what_is_replaced_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old\n")
    converge([file(path)], dry=False)
    kept = tmp_path / "backups" / str(path).lstrip("/")
    assert kept.read_text() == "old\n"
    assert kept.stat().st_mode & 0o7777 == 0o600


def test_a_wrong_mode_alone_is_put_right(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("new\n")
    path.chmod(0o666)
    ((_, result),) = converge([file(path)], dry=False)
    assert result.actions == ["root root 0666 -> root root 0644"]
    assert path.stat().st_mode & 0o7777 == 0o644


def test_content_that_does_not_validate_replaces_nothing(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old\n")
    with pytest.raises(SettingError, match="exit code 1"):
        converge([file(path, validate="/bin/grep old %s")], dry=False)
    assert path.read_text() == "old\n"
    assert list(tmp_path.glob(".a*")) == []


def test_a_link_in_a_files_place_is_replaced_and_not_followed(tmp_path: Path) -> None:
    victim, path = tmp_path / "victim", tmp_path / "a"
    victim.write_text("mine\n")
    path.symlink_to(victim)
    converge([file(path)], dry=False)
    assert not path.is_symlink()
    assert victim.read_text() == "mine\n"


def test_folders_links_and_removals(tmp_path: Path) -> None:
    items: list[settings.Item] = [
        {"kind": "directory", "path": str(tmp_path / "d"), "mode": "0700", **ME},
        {"kind": "link", "path": str(tmp_path / "d" / "l"), "target": "there"},
        {"kind": "absent", "path": str(tmp_path / "gone")},
    ]
    (tmp_path / "gone").write_text("x")
    assert [result.changed for _, result in converge(items, dry=False)] == [True, True, True]
    assert str((tmp_path / "d" / "l").readlink()) == "there"
    assert not (tmp_path / "gone").exists()
    assert [result.changed for _, result in converge(items, dry=False)] == [False, False, False]


def test_a_folder_is_never_removed(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="only files are removed"):
        converge([{"kind": "absent", "path": str(tmp_path)}], dry=False)


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ({"kind": "registry", "path": "/x"}, "kind 'registry', allowed"),
        ({"path": "/x"}, "kind None"),
        ({"kind": "file", "path": "/x"}, "one of content and b64"),
        ({"kind": "file", "path": "/x", "content": "", "b64": ""}, "one of content and b64"),
        ({"kind": "file", "path": "/x", "b64": "?"}, "no base64"),
        ({"kind": "file", "path": "x", "content": ""}, "not a whole path"),
        ({"kind": "file", "path": "/x", "content": "", "mode": 420}, "mode is 420, needed: text"),
        ({"kind": "file", "path": "/x", "content": "", "mode": "rw"}, "mode 'rw', allowed"),
        ({"kind": "file", "path": "/x", "content": "", "validate": "/bin/true"}, "has no %s"),
        ({"kind": "directory"}, "path is missing"),
        ({"kind": "unit", "name": "x", "restart_on": "/x"}, "needed: a list of text"),
        ({"kind": "pam_profile", "name": "unix", "arguments": {"a": 1}}, "needed: text by name"),
        ({"kind": "knob", "name": "../x", "value": "1"}, "not a parameter"),
        ({"kind": "option", "path": "/x", "key": "a b", "value": "1"}, "is no option"),
        ({"kind": "attributes", "path": "x", "most": "0644"}, "whole path"),
        ({"kind": "attributes", "path": "/x", "most": "u=rw"}, "octal"),
        ({"kind": "password_age", "name": "-x", "days": "1"}, "-m, -M or -W"),
        ({"kind": "absent", "path": "/x", "rules": "a"}, "needed: a list of text"),
        ({"kind": "link", "path": "/x", "target": "y", "mode": "0644"}, "unknown key mode"),
    ],
)
def test_a_bad_list_is_refused_before_anything_is_changed(
    tmp_path: Path, item: settings.Item, message: str
) -> None:
    with pytest.raises(SettingError, match=message):
        converge([file(tmp_path / "a"), item], dry=False)
    assert not (tmp_path / "a").exists()


def test_a_file_may_be_given_as_base64(tmp_path: Path) -> None:
    item = {"kind": "file", "path": str(tmp_path / "a"), "b64": "AP8=", **ME}
    converge([item], dry=False)
    assert (tmp_path / "a").read_bytes() == b"\x00\xff"
    assert not converge([item], dry=False)[0][1].changed


def test_a_dry_run_validates_too_and_leaves_no_trace(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="exit code 1"):
        converge([file(tmp_path / "a", validate="/bin/grep old %s")], dry=True)
    ((_, result),) = converge([file(tmp_path / "no" / "a", validate="/bin/grep new %s")], dry=True)
    assert result.changed
    assert list(tmp_path.iterdir()) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="its folder is missing"):
        converge([file(tmp_path / "no" / "a")], dry=False)


def test_attributes_are_never_set_through_a_link(tmp_path: Path) -> None:
    """A folder's owner could else have root hand over any file by putting a link in the folder's place."""
    victim, path = tmp_path / "victim", tmp_path / "d"
    victim.mkdir(mode=0o700)
    path.symlink_to(victim)
    with pytest.raises(SettingError, match="is no folder"):
        converge([{"kind": "directory", "path": str(path), "mode": "0777", **ME}], dry=False)
    assert victim.stat().st_mode & 0o7777 == 0o700


def test_what_is_there_and_another_thing_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x")
    (tmp_path / "d").mkdir()
    for item in (
        {"kind": "directory", "path": str(tmp_path / "f"), **ME},
        {"kind": "link", "path": str(tmp_path / "f"), "target": "t"},
        file(tmp_path / "d"),
    ):
        with pytest.raises(SettingError, match=r"is there and is no|is a folder"):
            converge([item], dry=False)
    assert (tmp_path / "f").read_text() == "x"


def test_a_removed_file_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old\n")
    converge([{"kind": "absent", "path": str(path)}], dry=False)
    assert (tmp_path / "backups" / str(path).lstrip("/")).read_text() == "old\n"


def test_an_owner_that_is_unknown_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("old\n")
    with pytest.raises(SettingError, match="nobody-such"):
        converge([file(path, owner="nobody-such")], dry=False)
    assert path.read_text() == "old\n"
    assert list(tmp_path.glob(".a*")) == []


def test_a_folder_may_hold_only_what_is_named(tmp_path: Path) -> None:
    for name in ("a.pem", "b.pem"):
        (tmp_path / name).write_text(name)
    (tmp_path / "sub").mkdir()
    mode = f"{tmp_path.stat().st_mode & 0o7777:04o}"
    item = {"kind": "directory", "path": str(tmp_path), "mode": mode, "only": ["a.pem", "c.pem"], **ME}
    assert converge([item], dry=True)[0][1].actions == ["removed b.pem"]
    assert (tmp_path / "b.pem").exists()
    assert converge([item], dry=False)[0][1].changed
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.pem", "backups", "sub"]
    assert not converge([item], dry=False)[0][1].changed


def test_a_folder_that_is_there_stays_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir(mode=0o750)
    items = [{"kind": "folder", "path": str(tmp_path / name)} for name in ("there", "new")]
    assert [result.changed for _, result in converge(items, dry=True)] == [False, True]
    assert not (tmp_path / "new").exists()
    converge(items, dry=False)
    assert [(tmp_path / name).stat().st_mode & 0o777 for name in ("there", "new")] == [0o750, 0o700]
    assert not any(result.changed for _, result in converge(items, dry=False))


def test_a_rules_file_is_left_where_its_package_is_not_there(tmp_path: Path) -> None:
    """A dry run says the same; a file whose folder comes first is foreseen, and a role's own as well."""
    gone, later = str(tmp_path / "gone/50.rules"), str(tmp_path / "made/60.conf")
    items = [
        {"kind": "file", "path": gone, "content": "x\n", "rules": ["audit-x"]},
        {"kind": "directory", "path": str(tmp_path / "made"), "rules": ["a-b"]},
        {"kind": "file", "path": later, "content": "y\n", "rules": ["a-b"]},
    ]
    for dry in (True, False):
        (_, left), (_, made), (_, written) = converge(items, dry=dry)
        assert (left.changed, left.left) == (False, f"{gone}: its folder is missing")
        assert (made.changed, written.changed) == (True, True)
        assert Path(later).exists() != dry
    of_a_role = [{"kind": "file", "path": gone, "content": "x\n"}]
    assert converge(of_a_role, dry=True)[0][1].changed
    with pytest.raises(SettingError, match="its folder is missing"):
        converge(of_a_role, dry=False)
