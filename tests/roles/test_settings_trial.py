"""Settings on trial, and their taking back on trial: the host itself undoes both when nobody confirms."""

from __future__ import annotations

import subprocess
from pathlib import Path
from types import SimpleNamespace

import pytest
import settings
from settings import SettingError, accounts, base, trial, undo

from provchain.baseline import catalog, fixes
from provchain.baseline.resources import Target
from provchain.paths import spec_file
from provchain.spec import load
from tests.roles.hostkit import items_of, tree


class FakeHost:
    """A systemd that holds one timer and units; what is no matter of systemd's is really run."""

    def __init__(self, folder: Path) -> None:
        self.script, self.timer, self.taking_back = folder / "back.sh", False, False
        self.journal = folder.with_name("journal")

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        said = ""
        if argv[0] == "systemd-run":
            assert not self.timer
            self.timer = True
        elif argv[:2] == ("systemctl", "stop"):
            self.timer = False
        elif argv[:2] == ("systemctl", "show"):
            said = f"ActiveState={'active' if self.taking_back else 'inactive'}\n"
        elif argv == ("/bin/sh", str(self.script)):
            self.back()
        elif argv[0] != "systemctl":
            return base.run(*argv, check=check)
        return subprocess.CompletedProcess(argv, 0, said, "")

    def back(self) -> None:
        """What the timer or a boot does."""
        text = self.script.read_text().replace("/bin/systemctl daemon-reload", "true")
        subprocess.run(["/bin/sh", "-c", text], check=True)


@pytest.fixture
def tried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    monkeypatch.setattr(trial, "FOLDER", tmp_path / "trial")
    monkeypatch.setattr(trial, "CONFIRMED", tmp_path / "trial-confirmed")
    monkeypatch.setattr(trial, "UNIT", tmp_path / "provchain-trial.service")
    monkeypatch.setattr(trial, "_WHOLE", ())
    fake = FakeHost(tmp_path / "trial")
    monkeypatch.setattr(trial, "JOURNAL", fake.journal)
    for module in (trial, undo):
        monkeypatch.setattr(module, "run", fake.run)
    return fake


def test_a_trial_that_nobody_confirms_is_taken_back(host: Path, tried: FakeHost) -> None:
    before = tree(host)
    trial.begin(items_of(host)[2:], 60)
    assert tried.timer
    assert tree(host) != before
    tried.back()
    assert tree(host) == before
    assert not trial.pending()
    assert not trial.UNIT.exists()
    with pytest.raises(SettingError, match="taken back"):
        trial.confirm()


def test_what_is_being_taken_back_can_not_be_confirmed(host: Path, tried: FakeHost) -> None:
    """The timer is over, and its script is at work just now."""
    trial.begin(items_of(host)[2:], 60)
    tried.taking_back = True
    with pytest.raises(SettingError, match="taken back"):
        trial.confirm()


def _hardened(host: Path, tried: FakeHost) -> list[undo.Record]:
    """Harden the host; return what came by the trial."""
    trial.begin(items_of(host)[2:], 60)
    trial.confirm()
    found = undo.records(tried.journal)
    assert all(record.access for record in found)
    return found


def test_a_confirmed_trial_stays_and_goes_by_another_trial(host: Path, tried: FakeHost) -> None:
    before = tree(host)
    records = _hardened(host, tried)
    after = tree(host)
    assert after != before
    assert (tried.timer, trial.pending()) == (False, False)
    assert undo.unharden(tried.journal, [], dry=False) == ([], []), "it went without a trial"
    assert tree(host) == after
    trial.begin([], 60, records)
    assert tried.timer
    assert tree(host) == before
    trial.confirm()
    assert undo.records(tried.journal) == []
    assert (tree(host), tried.timer, trial.pending()) == (before, False, False)


def test_what_was_taken_back_comes_again_unless_somebody_confirms(host: Path, tried: FakeHost) -> None:
    """The host is as hardened as before, and can be taken back the next time."""
    before = tree(host)
    records = _hardened(host, tried)
    after = tree(host)
    trial.begin([], 60, records)
    tried.back()
    assert tree(host) == after
    assert not trial.pending()
    trial.begin([], 60, undo.records(tried.journal))
    trial.confirm()
    assert tree(host) == before


def test_a_rule_goes_by_a_trial_that_writes_what_it_shares(host: Path, tried: FakeHost) -> None:
    before = tree(host)
    _hardened(host, tried)
    shared = items_of(host)[2] | {"content": "without c\n", "rules": ["b-b"]}
    trial.begin([shared], 60, undo.chosen(tried.journal, ["c-c"]))
    trial.confirm()
    undo.unharden(tried.journal, ["c-c"], dry=False)
    assert not (host / "new.conf").exists()
    assert (host / "old.conf").read_text() == "without c\n"
    assert [one.rules for one in undo.records(tried.journal)] == [["d-d"], ["b-b"]]
    trial.begin([], 60, undo.chosen(tried.journal, ["b-b", "d-d"]))
    trial.confirm()
    assert tree(host) == before


def test_a_confirmation_that_was_interrupted_is_finished(
    host: Path, tried: FakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tree(host)
    records = _hardened(host, tried)
    trial.begin([], 60, records)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(trial, "adopt", killed)
        with pytest.raises(KeyboardInterrupt):
            trial.confirm()
    assert not trial.pending()
    trial.settle()
    assert undo.records(tried.journal) == []
    assert (tree(host), trial.CONFIRMED.exists(), trial.UNIT.exists()) == (before, False, False)


def test_what_comes_back_is_validated_first(host: Path, tried: FakeHost) -> None:
    """The file as it was is refused: nothing is touched."""
    items = [item | {"validate": "/bin/grep -q new %s"} for item in items_of(host)[2:4]]
    trial.begin(items, 60)
    trial.confirm()
    after = tree(host)
    with pytest.raises(SettingError, match="/bin/grep -q new"):
        trial.begin([], 60, undo.records(tried.journal))
    assert not (trial.FOLDER / "redo").exists()
    assert (tree(host), trial.pending(), tried.timer) == (after, False, False)
    assert len(undo.records(tried.journal)) == 2


def test_all_files_are_looked_at_together_before_units_restart(
    host: Path, tried: FakeHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each may be right by itself, and the program refuse them all the same."""
    _hardened(host, tried)
    log = tmp_path / "log"
    undo.keep(
        tried.journal,
        "unit a",
        {"kind": "unit", "name": "a.service"},
        base.Undo(commands=[["touch", str(log)]]),
    )
    monkeypatch.setattr(settings.system, "properties", lambda unit: {})
    whole = ("/bin/grep", "-q", "new", str(host / "old.conf"))
    monkeypatch.setattr(trial, "_WHOLE", (whole,))
    after = tree(host)
    with pytest.raises(SettingError, match="/bin/grep -q new"):
        trial.begin([], 60, undo.records(tried.journal))
    assert not log.exists(), "a unit was restarted with files that are refused"
    assert tree(host) == after
    # what refuses the files as they are now can't tell of those that come
    monkeypatch.setattr(trial, "_WHOLE", (("/bin/grep", "-q", "nothing", str(host / "old.conf")),))
    trial.begin([], 60, undo.records(tried.journal))
    assert log.exists()


def test_accounts_come_again_as_they_were_on_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is right already would not be undone; that it is, is what has to come again."""
    people = [
        SimpleNamespace(pw_name="games", pw_shell="/usr/sbin/nologin"),
        SimpleNamespace(pw_name="x", pw_shell="/bin/sh"),
    ]
    monkeypatch.setattr("pwd.getpwall", lambda: people)
    shells = accounts.ShellsRemoved(names=["games", "lp"])
    assert (shells.undo().commands, shells.redo().commands) == (
        [],
        [["usermod", "--shell", "/usr/sbin/nologin", "games"]],
    )
    shadow = "x:$y$:1:0:90:7:::\nlocked:*:1:0:99999:7:::\n"
    monkeypatch.setattr(accounts, "run", lambda *_: SimpleNamespace(stdout=shadow))
    ages = accounts.PasswordAge(name="-M", days="90")
    assert (ages.undo().commands, ages.redo().commands) == ([], [["chage", "-M", "90", "x"]])


def test_what_goes_on_trial_is_of_kinds_that_come_again() -> None:
    """A kind of setting that is new here needs a redo that is shown above."""
    profile = catalog.load().profiles["mlps3-chain"]
    kinds = {
        one.kind
        for host in load(spec_file("lab")).hosts
        for one in fixes.plan(profile, Target(host.name, "debian", True, frozenset(host.roles)))
        if one.access
    }
    assert kinds == {"directory", "file", "pam_profile", "password_age", "shells_removed", "unit"}


def test_a_trial_that_was_interrupted_comes_back_to_what_was_confirmed(host: Path, tried: FakeHost) -> None:
    before = tree(host)
    trial.begin(items_of(host)[2:3], 60)
    trial.begin([items_of(host)[2] | {"content": "newer\n"}, *items_of(host)[3:]], 60)
    tried.back()
    assert tree(host) == before


def test_a_trial_that_fails_is_taken_back_at_once(host: Path, tried: FakeHost) -> None:
    before = tree(host)
    missing = {"kind": "file", "path": str(host / "none" / "x"), "content": "x"}
    with pytest.raises(SettingError, match="folder is missing"):
        trial.begin([*items_of(host)[2:], missing], 60)
    assert tree(host) == before
    assert not trial.pending()
    assert not tried.timer
