"""What hardening changes can be taken back: by rule, wholly, and by the host itself when nobody confirms."""

from __future__ import annotations

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import settings
from settings import SettingError, converge, files, system, trial, undo, unharden
from settings.base import Undo

Tree = dict[str, tuple[str, str, str]]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's folder with an option file, a drop-in, and a file that all may write."""
    monkeypatch.setattr(files, "BACKUPS", tmp_path / "backups")
    etc = tmp_path / "etc"
    etc.mkdir()
    (etc / "login.defs").write_text("# PASS_MAX_DAYS is a limit\nPASS_MAX_DAYS\t99999\nUMASK 022\n")
    (etc / "old.conf").write_text("old\n")
    (etc / "open").write_text("x\n")
    (etc / "open").chmod(0o666)
    return etc


def _items(etc: Path) -> list[settings.Item]:
    defs = str(etc / "login.defs")
    return [
        {
            "kind": "option",
            "path": defs,
            "key": "PASS_MAX_DAYS",
            "value": "90",
            "separator": " ",
            "rules": ["a-a"],
        },
        {
            "kind": "option",
            "path": defs,
            "key": "HOME_MODE",
            "value": "0750",
            "separator": " ",
            "rules": ["b-b"],
        },
        {"kind": "file", "path": str(etc / "old.conf"), "content": "new\n", "rules": ["b-b", "c-c"]},
        {"kind": "file", "path": str(etc / "new.conf"), "content": "new\n", "rules": ["c-c"]},
        {"kind": "attributes", "path": f"{etc}/o*n", "most": "0644", "rules": ["d-d"]},
    ]


def _tree(folder: Path) -> Tree:
    return {
        path.name: (path.read_text(), f"{stat.S_IMODE(path.stat().st_mode):04o}", path.owner())
        for path in sorted(folder.iterdir())
    }


def test_everything_comes_back(host: Path, tmp_path: Path) -> None:
    before, journal = _tree(host), tmp_path / "journal"
    converge(_items(host), dry=False, journal=journal)
    after = _tree(host)
    assert (
        after["login.defs"][0] == "# PASS_MAX_DAYS is a limit\nPASS_MAX_DAYS 90\nUMASK 022\nHOME_MODE 0750\n"
    )
    assert after["open"][1] == "0644"
    assert "new.conf" in after
    assert not any(result.changed for _, result in converge(_items(host), dry=False, journal=journal))
    done, _ = unharden(journal, None, dry=True)
    assert len(done) == 5
    assert _tree(host) == after
    unharden(journal, None, dry=False)
    back = _tree(host)
    assert sorted(back.pop("login.defs")[0].split()) == sorted(before.pop("login.defs")[0].split())
    assert back == before
    assert unharden(journal, None, dry=False) == ([], [])


def test_a_rule_comes_back_by_itself(host: Path, tmp_path: Path) -> None:
    """What serves another rule as well stays; edits of others in the same file stay, too."""
    journal = tmp_path / "journal"
    converge(_items(host), dry=False, journal=journal)
    done, _ = unharden(journal, ["b-b"], dry=False)
    assert done == [f"option {host / 'login.defs'} HOME_MODE"]
    assert (host / "login.defs").read_text().split()[-4:] == ["PASS_MAX_DAYS", "90", "UMASK", "022"]
    assert (host / "old.conf").read_text() == "new\n"
    unharden(journal, ["b-b", "c-c"], dry=False)
    assert (host / "old.conf").read_text() == "old\n"
    assert not (host / "new.conf").exists()


def test_what_was_there_first_is_what_comes_back(host: Path, tmp_path: Path) -> None:
    """A second hardening with other values does not take the first one's for the host's own."""
    journal, before = tmp_path / "journal", (host / "old.conf").read_text()
    item = {"kind": "file", "path": str(host / "old.conf"), "rules": ["b-b"]}
    for content in ("one\n", "two\n"):
        converge([item | {"content": content}], dry=False, journal=journal)
    unharden(journal, None, dry=False)
    assert (host / "old.conf").read_text() == before


def test_a_parameter_comes_back_as_it_was_before_another_changed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Turning forwarding off, the kernel lets interfaces take redirects, which is then turned off again."""
    values = {"net.ipv4.ip_forward": "1", "net.ipv4.conf.all.accept_redirects": "0"}
    paths = {name: tmp_path / "sys" / name.replace(".", "/") for name in values}
    for name, path in paths.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(values[name])
    monkeypatch.setattr(system, "SYSCTL", tmp_path / "sys")
    really = system.Knob.apply

    def apply(knob: system.Knob, dry: bool, changed: frozenset[str]) -> settings.Result:
        if knob.name == "net.ipv4.ip_forward" and not dry:
            paths["net.ipv4.conf.all.accept_redirects"].write_text("1")
        return really(knob, dry, changed)

    monkeypatch.setattr(system.Knob, "apply", apply)
    items: list[settings.Item] = [{"kind": "knob", "name": name, "value": "0"} for name in values]
    converge(items, dry=False, journal=tmp_path / "journal")
    assert [path.read_text() for path in paths.values()] == ["0", "0"]
    told = [
        (one.folder / "back.sh").read_text().splitlines()[-1] for one in undo.records(tmp_path / "journal")
    ]
    assert told == [f"/sbin/sysctl -q -w {name}={value}" for name, value in values.items()]


def test_a_folder_that_was_made_goes_unless_it_is_used(tmp_path: Path) -> None:
    journal, folder, used = tmp_path / "journal", tmp_path / "a.d", tmp_path / "b.d"
    owner = {"owner": files.names(tmp_path.stat())[0], "group": files.names(tmp_path.stat())[1]}
    kept = tmp_path / "c.d"
    kept.mkdir(mode=0o700)
    items = [{"kind": "directory", "path": str(one), **owner} for one in (folder, used, kept)]
    converge(items, dry=False, journal=journal)
    assert oct(kept.stat().st_mode) == "0o40755"
    (used / "somebody's").touch()
    unharden(journal, None, dry=False)
    assert (folder.exists(), used.exists()) == (False, True)
    assert oct(kept.stat().st_mode) == "0o40700"


def test_what_turns_forwarding_on_comes_back_before_what_that_resets(tmp_path: Path) -> None:
    """The kernel puts accept_redirects of all interfaces to another value with it."""
    journal = tmp_path / "journal"
    labels = ["knob net.ipv4.ip_forward", "knob net.ipv4.conf.all.accept_redirects", "unit a.service"]
    for label in ["file /etc/x.conf.d/y", *labels]:
        undo.keep(journal, label, [], Undo())
    order = [record.label for record in undo.records(journal)]
    assert order == [labels[0], "file /etc/x.conf.d/y", labels[1], labels[2]]


def test_a_record_is_there_before_the_change(
    host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between the two, the host can still be brought back."""
    journal = tmp_path / "journal"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        converge(_items(host)[2:3], dry=False, journal=journal)
    assert [record.rules for record in undo.records(journal)] == [["b-b", "c-c"]]


def test_rights_are_never_widened(host: Path) -> None:
    (host / "open").chmod(0o600)
    item = {"kind": "attributes", "path": str(host / "open"), "most": "0644", "owners": ["daemon", "root"]}
    assert not converge([item], dry=False)[0][1].changed
    (host / "link").symlink_to("/etc/passwd")
    before = os.lstat("/etc/passwd").st_mode
    item = {"kind": "attributes", "path": f"{host}/*", "most": "0000"}
    converge([item], dry=False)
    assert os.lstat("/etc/passwd").st_mode == before, "a link was followed"


def test_an_option_that_stands_twice_is_set_once(host: Path) -> None:
    (host / "login.defs").write_text("UMASK 022\nA b\nUMASK 077\n#UMASK 000")
    item = {
        "kind": "option",
        "path": str(host / "login.defs"),
        "key": "UMASK",
        "value": "027",
        "separator": " ",
    }
    converge([item], dry=False)
    assert (host / "login.defs").read_text() == "A b\nUMASK 027\n#UMASK 000"


class FakeHost:
    """A systemd that holds one timer and one unit; scripts are really run."""

    def __init__(self, folder: Path) -> None:
        self.script, self.timer = folder / "back.sh", False

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        if argv[0] == "systemd-run":
            assert not self.timer
            self.timer = True
        elif argv[:2] == ("systemctl", "stop"):
            self.timer = False
        elif argv == ("/bin/sh", str(self.script)):
            self.back()
        elif argv[0] == "/bin/cp":
            subprocess.run(argv, check=True)
        return subprocess.CompletedProcess(argv, 0, "", "")

    def back(self) -> None:
        """What the unit does, when the timer is over or at a boot."""
        text = self.script.read_text().replace("/bin/systemctl daemon-reload", "true")
        subprocess.run(["/bin/sh", "-c", text], check=True)


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    monkeypatch.setattr(trial, "FOLDER", tmp_path / "trial")
    monkeypatch.setattr(trial, "UNIT", tmp_path / "provchain-trial.service")
    monkeypatch.setattr(trial, "JOURNAL", tmp_path / "journal")
    fake = FakeHost(tmp_path / "trial")
    for module in (trial, undo):
        monkeypatch.setattr(module, "run", fake.run)
    yield fake


def test_a_trial_that_nobody_confirms_is_taken_back(host: Path, tried: FakeHost) -> None:
    before = _tree(host)
    trial.begin(_items(host)[2:], 60)
    assert tried.timer
    assert _tree(host) != before
    tried.back()
    assert _tree(host) == before
    assert not trial.pending()
    assert not trial.UNIT.exists()
    with pytest.raises(SettingError, match="taken back"):
        trial.confirm()


def test_a_confirmed_trial_stays_and_can_be_taken_back_later(
    host: Path, tried: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _tree(host)
    trial.begin(_items(host)[2:], 60)
    after = _tree(host)
    trial.confirm()
    assert not tried.timer
    assert not trial.pending()
    assert _tree(host) == after
    monkeypatch.setattr(undo, "run", settings.base.run)
    unharden(tmp_path / "journal", None, dry=False)
    assert _tree(host) == before


def test_a_trial_that_was_interrupted_comes_back_to_what_was_confirmed(host: Path, tried: FakeHost) -> None:
    before = _tree(host)
    trial.begin(_items(host)[2:3], 60)
    trial.begin([_items(host)[2] | {"content": "newer\n"}, *_items(host)[3:]], 60)
    tried.back()
    assert _tree(host) == before


def test_a_trial_that_fails_is_taken_back_at_once(host: Path, tried: FakeHost) -> None:
    before = _tree(host)
    missing = {"kind": "file", "path": str(host / "none" / "x"), "content": "x"}
    with pytest.raises(SettingError, match="folder is missing"):
        trial.begin([*_items(host)[2:], missing], 60)
    assert _tree(host) == before
    assert not trial.pending()
    assert not tried.timer
