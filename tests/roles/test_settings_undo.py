"""What hardening changes can be taken back, by rule or wholly, also after a run that was killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import settings
from settings import converge, files, system, undo
from settings.base import Undo
from settings.undo import unharden

from tests.roles.hostkit import items_of, tree


def test_everything_comes_back(host: Path, tmp_path: Path) -> None:
    before, journal = tree(host), tmp_path / "journal"
    converge(items_of(host), dry=False, journal=journal)
    after = tree(host)
    assert (
        after["login.defs"][0] == "# PASS_MAX_DAYS is a limit\nPASS_MAX_DAYS 90\nUMASK 022\nHOME_MODE 0750\n"
    )
    assert after["open"][1] == "0644"
    assert "new.conf" in after
    assert not any(result.changed for _, result in converge(items_of(host), dry=False, journal=journal))
    done, _ = unharden(journal, [], dry=True)
    assert len(done) == 5
    assert tree(host) == after
    unharden(journal, [], dry=False)
    back = tree(host)
    assert sorted(back.pop("login.defs")[0].split()) == sorted(before.pop("login.defs")[0].split())
    assert back == before
    assert unharden(journal, [], dry=False) == ([], [])


def test_a_rule_comes_back_by_itself(host: Path, tmp_path: Path) -> None:
    """What serves another rule as well stays; edits of others in the same file stay, too."""
    journal = tmp_path / "journal"
    converge(items_of(host), dry=False, journal=journal)
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
    assert len(undo.records(journal)) == 1
    unharden(journal, [], dry=False)
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
    unharden(journal, [], dry=False)
    assert (folder.exists(), used.exists()) == (False, True)
    assert oct(kept.stat().st_mode) == "0o40700"


def test_what_turns_forwarding_on_comes_back_before_what_that_resets(tmp_path: Path) -> None:
    """The kernel puts accept_redirects of all interfaces to another value with it."""
    journal = tmp_path / "journal"
    forward, redirects = "knob net.ipv4.ip_forward", "knob net.ipv4.conf.all.accept_redirects"
    for label in ("file /etc/x.conf.d/y", forward, redirects, "knob net.ipv4.tcp_syncookies"):
        undo.keep(journal, label, {"kind": label.split()[0]}, Undo())
    order = [record.label for record in undo.records(journal)]
    assert order == ["knob net.ipv4.tcp_syncookies", forward, "file /etc/x.conf.d/y", redirects]


def test_what_reads_files_goes_last_and_units_after_what_systemd_reads(tmp_path: Path) -> None:
    """Whatever came first: a unit before the file that it shares with rules of its own, or after it."""
    journal = tmp_path / "journal"
    labels = [
        "unit a.service",
        "file /etc/x",
        "units_reloaded unit files",
        "audit_loaded rules",
        "file /etc/y",
    ]
    for label in [*labels, "unit b.service"]:
        undo.keep(journal, label, {"kind": label.split()[0]}, Undo())
    order = [record.label for record in undo.records(journal)]
    assert order[:2] == ["file /etc/y", "file /etc/x"]
    assert order[2:] == [
        "audit_loaded rules",
        "units_reloaded unit files",
        "unit b.service",
        "unit a.service",
    ]


def test_a_record_is_there_before_the_change(
    host: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of all settings before the first of them: killed between the two, the host still comes back."""
    journal = tmp_path / "journal"

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(files, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        converge(items_of(host)[2:], dry=False, journal=journal)
    assert [record.rules for record in undo.records(journal)] == [["d-d"], ["c-c"], ["b-b", "c-c"]]


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


def test_rules_that_come_later_are_served_as_well(host: Path, tmp_path: Path) -> None:
    """Hardened by one rule first and by more afterwards, what both need stays when the first one goes."""
    journal = tmp_path / "journal"
    shared = {"kind": "file", "path": str(host / "old.conf"), "content": "new\n"}
    converge([shared | {"rules": ["a-a"]}], dry=False, journal=journal)
    converge([shared | {"rules": ["a-a", "b-b"]}], dry=False, journal=journal)
    assert undo.remaining(journal, ["a-a"]) == ["b-b"]
    assert unharden(journal, ["a-a"], dry=False) == ([], [])
    assert (host / "old.conf").read_text() == "new\n"
    assert [one.rules for one in undo.records(journal)] == [["b-b"]]
    assert undo.remaining(journal, ["b-b"]) == []
    unharden(journal, ["b-b"], dry=False)
    assert (host / "old.conf").read_text() == "old\n"


def test_nothing_is_written_where_nothing_is_to_change(host: Path, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    converge(items_of(host), dry=False, journal=journal)
    before = {path: path.stat().st_mtime_ns for path in journal.rglob("*")}
    converge(items_of(host), dry=False, journal=journal)
    assert {path: path.stat().st_mtime_ns for path in journal.rglob("*")} == before
