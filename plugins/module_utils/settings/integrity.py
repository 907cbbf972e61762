"""What a host's files should be: the database of AIDE."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path

from .base import Result, Setting, run

_DIFFERS = 7
"""The largest exit code that is no error: what differs, added 1, removed 2, changed 4 (aide(1))."""


@dataclass(frozen=True)
class IntegrityDatabase(Setting):
    """``integrity_database``: AIDE's database says what is there now; left if nothing was touched since.

    The report of what differs from the one before goes to the log first, and so to the collector: nothing is
    taken for good in silence. It is no change: what differs was changed elsewhere, and told there.
    """

    path: str
    config: str
    folders: list[str]

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        if not dry and self._is_old():
            made = shlex.quote(f"{self.path}.new"), shlex.quote(self.path)
            mode = "--update" if Path(self.path).is_file() else "--init"
            script = (
                f"/usr/bin/aide --config={shlex.quote(self.config)} {mode} >/dev/null; found=$?\n"
                f'test "$found" -le {_DIFFERS} || exit "$found"\n'
                f"mv -f {made[0]} {made[1]}"
            )
            run(
                "systemd-run", "--quiet", "--collect", "--pipe", "--wait", "--property=User=_aide",
                "--property=Group=_aide", "--property=UMask=0077",
                "--property=AmbientCapabilities=CAP_DAC_READ_SEARCH", "/bin/sh", "-c", script,
            )  # fmt: skip
        return Result()

    def _is_old(self) -> bool:
        database = Path(self.path)
        if not database.is_file() or not database.stat().st_size:
            return True
        newer = ("-xdev", "-cnewer", self.path, "-print", "-quit")
        found = run("find", *filter(_is_there, self.folders), *newer, check=False)
        return bool(found.stdout)


def _is_there(folder: str) -> bool:
    return Path(folder).is_dir()
