"""Files that commands make: born once, and AIDE's database, taken anew only when something was touched."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
import settings
from settings import SettingError, converge, integrity


def made(path: Path, script: str) -> settings.Item:
    return {"kind": "made", "path": str(path), "command": ["/bin/sh", "-c", script]}


def test_what_a_command_makes_is_made_once(tmp_path: Path) -> None:
    born = tmp_path / "born"
    item = made(born, f"echo x >>{born}")
    assert [result.changed for _, result in converge([item], dry=True)] == [True]
    assert not born.exists()
    assert [converge([item], dry=False)[0][1].changed for _ in range(2)] == [True, False]
    assert born.read_text() == "x\n"


@pytest.mark.parametrize(("script", "message"), [("exit 3", "exit code 3"), ("true", "it is not there")])
def test_a_command_that_makes_nothing_fails(tmp_path: Path, script: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        converge([made(tmp_path / "born", script)], dry=False)


class Aide:
    """Plays systemd-run, and does what the script that it is given does: the database is now."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.modes: list[str] = []
        self.watched = folder / "watched"
        self.watched.mkdir()
        self.item: settings.Item = {
            "kind": "integrity_database",
            "path": str(folder / "aide.db"),
            "config": "/etc/provchain/aide.conf",
            "folders": [str(self.watched), str(folder / "missing")],
        }
        monkeypatch.setattr(integrity, "run", self.run)

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        if argv[0] == "systemd-run":
            self.modes.append(next(word for word in argv[-1].split() if word in ("--init", "--update")))
            Path(self.item["path"]).write_text("database")
        return (
            subprocess.run(argv, capture_output=True, text=True, check=True) if argv[0] == "find" else _DONE
        )


_DONE = subprocess.CompletedProcess([], 0, "", "")


def test_the_database_is_taken_anew_when_something_was_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    aide = Aide(monkeypatch, tmp_path)
    database = Path(aide.item["path"])
    converge([aide.item], dry=True)
    assert aide.modes == []
    assert not converge([aide.item], dry=False)[0][1].changed
    assert aide.modes == ["--init"]
    os.utime(database, (2**32, 2**32))  # find compares with its time of change: later than any file's
    converge([aide.item], dry=False)
    assert aide.modes == ["--init"]
    (aide.watched / "new").write_text("x")
    os.utime(database, (1, 1))
    converge([aide.item], dry=False)
    assert aide.modes == ["--init", "--update"]


@pytest.mark.parametrize(("code", "passes"), [(0, True), (7, True), (8, False), (17, False)])
def test_what_differs_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, passes: bool
) -> None:
    """The script itself, with a program in the place of AIDE."""
    aide = Aide(monkeypatch, tmp_path)
    scripts: list[str] = []

    def keep(*argv: str) -> subprocess.CompletedProcess[str]:
        scripts.append(argv[-1])
        return _DONE

    monkeypatch.setattr(integrity, "run", keep)
    converge([aide.item], dry=False)
    program = tmp_path / "aide"
    program.write_text(f"#!/bin/sh\necho new >{aide.item['path']}.new\nexit {code}\n")
    program.chmod(0o755)
    done = subprocess.run(["/bin/sh", "-c", scripts[0].replace("/usr/bin/aide", str(program))], check=False)
    assert (done.returncode == 0) == passes
    assert Path(aide.item["path"]).exists() == passes
