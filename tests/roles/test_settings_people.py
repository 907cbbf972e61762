"""Accounts of people: who is listed has one, who is not has none, and other accounts are left alone."""

from __future__ import annotations

import grp
import os
import pwd
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest
from settings import Item, SettingError, converge, people

GROUPS = ["sysadm", "secadm"]


class FakeHost:
    """passwd and group as a host has them, changed by the commands that a setting runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.folder = folder
        self.commands: list[str] = []
        self.marks = {"root": "root", "games": "games"}
        self.groups: dict[str, list[str]] = {name: [] for name in GROUPS}
        monkeypatch.setattr(pwd, "getpwall", self.accounts)
        monkeypatch.setattr(grp, "getgrall", self.members)
        monkeypatch.setattr(people, "run", self.run)
        monkeypatch.setattr(people, "BACKUPS", folder / "kept")
        monkeypatch.setattr(people, "CRONTABS", folder / "crontabs")
        monkeypatch.setattr(os, "chown", lambda path, uid, gid, follow_symlinks: None)

    def accounts(self) -> list[SimpleNamespace]:
        homes = {name: str(self.folder / "home" / name) for name in self.marks}
        return [SimpleNamespace(pw_name=n, pw_gecos=m, pw_dir=homes[n]) for n, m in self.marks.items()]

    def members(self) -> list[SimpleNamespace]:
        return [SimpleNamespace(gr_name=name, gr_mem=list(found)) for name, found in self.groups.items()]

    def run(self, *argv: str, check: bool = True) -> None:
        self.commands.append(" ".join(argv))
        name = argv[-1]
        if argv[0] == "useradd":
            self.marks[name] = argv[argv.index("--comment") + 1]
            home = self.folder / "home" / name
            home.mkdir(parents=True)
            (home / "notes").write_text("x")
        if argv[0] in ("useradd", "usermod"):
            for group, found in self.groups.items():
                self.groups[group] = [one for one in found if one != name]
            self.groups[argv[argv.index("--groups") + 1]].append(name)
        if argv[0] == "userdel":
            del self.marks[name]
            self.groups = {
                group: [one for one in found if one != name] for group, found in self.groups.items()
            }
        if argv[0] == "gpasswd":
            self.groups[name].remove(argv[2])


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeHost:
    return FakeHost(monkeypatch, tmp_path)


def wanted(**members: str) -> list[Item]:
    return [{"kind": "people", "name": "administrators", "groups": GROUPS, "members": members}]


def test_who_is_listed_has_an_account_in_one_group(host: FakeHost) -> None:
    ((_, result),) = converge(wanted(zhang="sysadm", wang="secadm"), dry=False)
    assert result.changed
    assert host.groups == {"sysadm": ["zhang"], "secadm": ["wang"]}
    assert all("PASS_MAX_DAYS=-1" in one for one in host.commands if one.startswith("useradd"))
    ((_, again),) = converge(wanted(zhang="sysadm", wang="secadm"), dry=False)
    assert not again.changed


def test_another_part_means_another_group_and_not_both(host: FakeHost) -> None:
    converge(wanted(zhang="sysadm"), dry=False)
    converge(wanted(zhang="secadm"), dry=False)
    assert host.groups == {"sysadm": [], "secadm": ["zhang"]}


def test_who_is_gone_loses_all_but_the_home_which_root_keeps(host: FakeHost) -> None:
    converge(wanted(zhang="sysadm", wang="secadm"), dry=False)
    (host.folder / "crontabs").mkdir()
    (host.folder / "crontabs/zhang").write_text("* * * * * id\n")
    ((_, dry),) = converge(wanted(wang="secadm"), dry=True)
    assert dry.actions == ["zhang removed"]
    assert "zhang" in host.marks
    converge(wanted(wang="secadm"), dry=False)
    assert "zhang" not in host.marks
    assert "loginctl terminate-user zhang" in host.commands
    assert list((host.folder / "crontabs").iterdir()) == []
    assert not (host.folder / "home/zhang").exists()
    (kept,) = (host.folder / "kept/people").iterdir()
    assert kept.name.startswith("zhang.until-")
    assert (kept / "notes").read_text() == "x"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o700


def test_an_account_that_somebody_else_made_is_neither_taken_over_nor_removed(host: FakeHost) -> None:
    with pytest.raises(SettingError, match="games"):
        converge(wanted(games="sysadm"), dry=False)
    assert host.commands == []
    converge(wanted(), dry=False)
    assert set(host.marks) == {"root", "games"}


def test_nobody_else_is_in_the_groups(host: FakeHost) -> None:
    host.groups["sysadm"].append("games")
    ((_, result),) = converge(wanted(zhang="sysadm"), dry=False)
    assert "games leaves sysadm" in result.actions
    assert host.groups["sysadm"] == ["zhang"]


def test_a_group_that_is_none_of_them_is_refused() -> None:
    with pytest.raises(SettingError, match="wheel"):
        converge(wanted(zhang="wheel"), dry=False)
