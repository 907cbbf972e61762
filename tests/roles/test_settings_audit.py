"""The kernel's audit and its daemon, both played by the tests."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from settings import audit, converge

RULES = "/etc/audit/rules.d/50-provchain.rules"
ITEM = {"kind": "audit_loaded"}


class FakeAudit:
    """Answers for augenrules, auditctl and systemctl, and a record of what changes something."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, *, locked: bool = False, differ: bool = False
    ) -> None:
        self.done: list[str] = []
        self.locked, self.differ = locked, differ
        monkeypatch.setattr(audit, "run", self.run)
        monkeypatch.setattr(audit, "_LOAD", ["/bin/true", "--load"])

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        said = ""
        if argv[-1] == "--check":
            said = "Rules have changed and should be updated\n" if self.differ else "No change\n"
        elif argv == ("/sbin/auditctl", "-s"):
            said = f"enabled {2 if self.locked else 1}\nfailure 1\npid 215\n"
        else:
            self.done.append(" ".join(argv))
        return subprocess.CompletedProcess(argv, 0, said, "")


@pytest.mark.parametrize(
    ("locked", "differ", "done"),
    [
        (False, False, []),
        (False, True, ["/bin/true --load"]),
        # the kernel takes none before the next boot, which loads the file that is made now
        (True, True, ["/bin/true"]),
        (True, False, []),
    ],
)
def test_rules_of_the_files_are_loaded(
    monkeypatch: pytest.MonkeyPatch, locked: bool, differ: bool, done: list[str]
) -> None:
    fake = FakeAudit(monkeypatch, locked=locked, differ=differ)
    ((_, foreseen),) = converge([ITEM], dry=True)
    assert (foreseen.changed, fake.done) == (bool(done), [])
    ((_, result),) = converge([ITEM], dry=False)
    assert (result.actions, fake.done) == (foreseen.actions, done)


def test_without_the_daemon_it_is_left_and_the_rest_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(audit, "_LOAD", ["/nosuch/augenrules", "--load"])
    ((_, result),) = converge([{**ITEM, "rules": ["audit-loaded"]}], dry=False)
    assert (result.changed, "auditd is not installed" in result.left) == (False, True)


def test_the_daemon_reads_its_configuration_anew(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    conf = tmp_path / "auditd.conf"
    conf.write_text("log_group = adm\nflush=none\n", "utf-8")
    monkeypatch.setattr(audit, "_FOLDER", f"{tmp_path}/")
    monkeypatch.setattr(audit, "_CONFIGURATION", str(conf))
    fake = FakeAudit(monkeypatch)
    option = {"kind": "option", "path": str(conf), "separator": " = ", "key": "flush", "value": "none"}
    (_, (_, result)) = converge([option, ITEM], dry=False)
    # it takes no line without blanks, and nothing of a file that has one
    assert conf.read_text("utf-8") == "log_group = adm\nflush = none\n"
    assert (result.actions, fake.done) == (
        ["configuration read anew"],
        ["systemctl kill --signal=HUP auditd.service"],
    )
    (_, (_, again)) = converge([option, ITEM], dry=False)
    assert not again.changed
