"""Accounts of people: made and taken away as a list says, each in one of several groups."""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from .base import Result, Setting, SettingError, run, sync
from .files import BACKUPS

MARK = "managed by provchain"
"""In the comment field of passwd(5): what does not have it was made by somebody else and is left alone."""
CRONTABS = Path("/var/spool/cron/crontabs")
# they come in by key: an age would ask for a new password where there is none
_AGELESS = ("-K", "PASS_MAX_DAYS=-1", "-K", "PASS_MIN_DAYS=-1", "-K", "HOME_MODE=0700")


@dataclass(frozen=True)
class People(Setting):
    """``people``: these accounts, by ``members`` each in one of ``groups``, and no others of ours or in them.

    An account that goes loses its sessions, its crontab and its place in all groups; its home is kept for
    root alone. An account of that name that somebody else made is refused, for it may be a program's.
    """

    name: str
    groups: list[str]
    members: dict[str, str]

    def check(self) -> None:
        strange = sorted(set(self.members.values()) - set(self.groups))
        if strange:
            raise SettingError(f"people {self.name}: {', '.join(strange)}: none of {', '.join(self.groups)}")

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        result = Result()
        there = {one.pw_name: one for one in pwd.getpwall()}
        foreign = sorted(name for name in self.members if name in there and there[name].pw_gecos != MARK)
        if foreign:
            raise SettingError(f"{', '.join(foreign)}: is an account that somebody else made")
        gone = sorted(
            one.pw_name for one in there.values() if one.pw_gecos == MARK and one.pw_name not in self.members
        )
        for name in gone:
            result.note(f"{name} removed")
            result.before += f"{name}\n"
            if not dry:
                _remove(there[name])
        for name, group in self.members.items():
            if name not in there:
                result.note(f"{name} made, in {group}")
                result.after += f"{name}\n"
                if not dry:
                    own = ("--create-home", "--user-group", "--shell", "/bin/bash", "--comment", MARK)
                    run("useradd", *own, *_AGELESS, "--groups", group, name)
            elif (present := _groups(name)) != {group}:
                result.note(f"{name}: {' '.join(sorted(present)) or 'no group'} -> {group}")
                if not dry:
                    run("usermod", "--groups", group, name)
        for group, name in self._strangers({*self.members, *gone}):
            result.note(f"{name} leaves {group}")
            if not dry:
                run("gpasswd", "--delete", name, group)
        return result

    def _strangers(self, known: set[str]) -> list[tuple[str, str]]:
        """Return who else is in one of the groups, by group."""
        found = {one.gr_name: one.gr_mem for one in grp.getgrall() if one.gr_name in self.groups}
        return [(group, name) for group in found for name in found[group] if name not in known]


def _groups(name: str) -> set[str]:
    return {one.gr_name for one in grp.getgrall() if name in one.gr_mem}


def _remove(account: pwd.struct_passwd) -> None:
    """Take an account away, home last: nothing is left that its number could own."""
    run("loginctl", "terminate-user", account.pw_name, check=False)
    (CRONTABS / account.pw_name).unlink(missing_ok=True)
    home = Path(account.pw_dir)
    run("userdel", "--force", account.pw_name)
    if not home.is_dir() or home.is_symlink():
        return
    kept = BACKUPS / "people"
    kept.mkdir(parents=True, exist_ok=True, mode=0o700)
    place = kept / f"{account.pw_name}.until-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    shutil.move(home, place)
    for folder, folders, files in os.walk(place):
        for one in (Path(folder), *(Path(folder, each) for each in folders + files)):
            os.chown(one, 0, 0, follow_symlinks=False)
    place.chmod(0o700)
    sync(kept)
