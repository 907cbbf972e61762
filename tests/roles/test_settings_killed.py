"""A run that is killed in the middle is continued by the same command; what was there first comes back."""

from __future__ import annotations

import itertools
import signal
import subprocess
import sys
from pathlib import Path

import settings
from settings.undo import unharden

from provchain.paths import REPOSITORY
from tests.roles import hostkit
from tests.roles.hostkit import tree

_RUN = f"""
import os, signal, sys
from pathlib import Path
sys.path[:0] = [{str(Path(settings.__file__).parents[1])!r}, {str(REPOSITORY)!r}]
import settings
from tests.roles import hostkit
top, step = Path(sys.argv[1]), int(sys.argv[2])
settings.files.BACKUPS = top / "backups"
changing = {{"rename", "remove", "rmdir", "mkdir", "chmod", "chown"}}
seen = -1

def kill(event, args):
    global seen
    writes = event == "open" and isinstance(args[2], int) and args[2] & (os.O_WRONLY | os.O_RDWR)
    if writes or event == "subprocess.Popen" or event.removeprefix("os.") in changing:
        seen += 1
        if seen == step:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill)
settings.converge(hostkit.items_of(top / "etc"), dry=False, journal=top / "journal")
"""
"""Hardens a folder in a process of its own, killed before its call of this number that changes one."""


def _run(top: Path, step: int) -> int:
    return subprocess.run([sys.executable, "-c", _RUN, str(top), str(step)], check=False).returncode


def test_a_run_that_is_killed_anywhere_is_continued_and_taken_back(tmp_path: Path) -> None:
    killed = 0
    for step in itertools.count():
        top = tmp_path / str(step)
        top.mkdir()
        hostkit.make(top / "etc")
        before = tree(top / "etc")
        code = _run(top, step)
        if code == 0:
            break
        assert code == -signal.SIGKILL
        killed += 1
        if step % 2:
            # without it, what the killed run has done is taken back
            assert _run(top, -1) == 0
            hardened = tree(top / "etc")
            assert (hardened["old.conf"][0], hardened["open"][1]) == ("new\n", "0644")
        assert unharden(top / "journal", [], dry=False)[1] == []
        back = tree(top / "etc")
        if step % 2 == 0:
            # a file that is not in its place yet may be left, until a run writes that file
            back = {name: one for name, one in back.items() if not name.endswith(".provchain")}
        lines = [one.pop("login.defs")[0].split() for one in (back, before)]
        assert sorted(lines[0]) == sorted(lines[1])
        assert back == before, f"killed before step {step}"
    assert killed > 30
