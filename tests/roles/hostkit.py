"""A host's folder, and settings of what is in it, for the tests of what is taken back."""

from __future__ import annotations

import stat
from pathlib import Path

import settings

Tree = dict[str, tuple[str, str, str]]


def make(etc: Path) -> None:
    """Make a folder with an option file, a drop-in, and a file that all may write."""
    etc.mkdir()
    (etc / "login.defs").write_text("# PASS_MAX_DAYS is a limit\nPASS_MAX_DAYS\t99999\nUMASK 022\n")
    (etc / "old.conf").write_text("old\n")
    (etc / "open").write_text("x\n")
    (etc / "open").chmod(0o666)


def items_of(etc: Path) -> list[settings.Item]:
    """Return settings of it, as rules a-a to d-d have them."""
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


def tree(folder: Path) -> Tree:
    """Return content, mode and owner by name."""
    return {
        path.name: (path.read_text(), f"{stat.S_IMODE(path.stat().st_mode):04o}", path.owner())
        for path in sorted(folder.iterdir())
    }
