"""Rules on trial come back unless they are confirmed, also when a run is killed on the way."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from settings import SettingError, firewall


class FakeHost:
    """A kernel that holds rules, and a systemd that holds one timer."""

    def __init__(self) -> None:
        self.rules = "first\n"
        self.timer = ""
        self.log: list[str] = []

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Play nft, unshare, systemctl and systemd-run."""
        said = ""
        if argv[:2] == ("nft", "-f"):
            self.log.append("loaded")
            self.rules = Path(argv[2]).read_text().removeprefix("flush ruleset\n")
        elif argv[0] == "nft":
            said = self.rules
        elif argv[0] == "unshare":
            said = Path(argv[-1]).read_text()
        elif argv[0] == "systemd-run":
            assert not self.timer, "a unit of this name is there already"
            self.log.append("armed")
            self.timer = argv[-1]
        elif argv[:2] == ("systemctl", "stop"):
            self.timer = ""
        return subprocess.CompletedProcess(argv, 0, said, "")

    def time_passes(self) -> None:
        """Let the timer do what it was armed for."""
        if self.timer:
            script, self.timer = self.timer, ""
            load, _, remove = script.partition(" && ")
            self.run(*load.split())
            subprocess.run(remove.split(), check=True)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeHost:
    host = FakeHost()
    monkeypatch.setattr(firewall, "run", host.run)
    monkeypatch.setattr(firewall, "PENDING", tmp_path / "pending")
    return host


def test_the_timer_is_armed_before_the_rules_are_in_force(host: FakeHost) -> None:
    firewall.begin("second\n", firewall.in_force(), 60)
    assert host.log == ["armed", "loaded"]
    assert host.rules == "second\n"


def test_rules_that_nobody_confirms_are_taken_back(host: FakeHost) -> None:
    firewall.begin("second\n", firewall.in_force(), 60)
    host.time_passes()
    assert host.rules == "first\n"
    assert not firewall.pending()
    with pytest.raises(SettingError, match="taken back"):
        firewall.confirm("second\n")


def test_confirmed_rules_stay(host: FakeHost) -> None:
    firewall.begin("second\n", firewall.in_force(), 60)
    firewall.confirm("second\n")
    firewall.end()
    host.time_passes()
    assert host.rules == "second\n"
    assert not firewall.pending()


def test_after_two_trials_what_was_confirmed_last_comes_back(host: FakeHost) -> None:
    """A run that was killed leaves rules on trial; the next run's trial must not take them for good ones."""
    firewall.begin("second\n", firewall.in_force(), 60)
    firewall.begin("third\n", firewall.in_force(), 60)
    host.time_passes()
    assert host.rules == "first\n"


def test_a_trial_that_was_interrupted_is_confirmed_by_the_next_run(host: FakeHost) -> None:
    firewall.begin("second\n", firewall.in_force(), 60)
    assert firewall.pending()
    firewall.begin("second\n", firewall.in_force(), 60)
    firewall.confirm("second\n")
    firewall.end()
    host.time_passes()
    assert host.rules == "second\n"


def test_rules_that_changed_during_the_trial_are_not_confirmed(host: FakeHost) -> None:
    firewall.begin("second\n", firewall.in_force(), 60)
    host.rules = "by hand\n"
    with pytest.raises(SettingError, match="taken back"):
        firewall.confirm("second\n")
