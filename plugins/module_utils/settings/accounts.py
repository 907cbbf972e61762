"""Accounts that are there already: their shells and the ages of their passwords."""

from __future__ import annotations

import pwd
import re
from dataclasses import dataclass

from .base import Result, Setting, SettingError, Undo, run

NOLOGIN = "/usr/sbin/nologin"
_NO_SHELLS = (NOLOGIN, "/sbin/nologin", "/bin/false", "/usr/bin/false", "/bin/sync", "")
# the place of each age in a line of shadow(5), by the option of chage(1) that sets it
_AGES = {"-m": 3, "-M": 4, "-W": 5}


@dataclass(frozen=True)
class ShellsRemoved(Setting):
    """``shells_removed``: none of these accounts has a shell; those that are not there are passed over."""

    names: list[str]

    @property
    def label(self) -> str:
        return "default accounts"

    def _able(self) -> list[pwd.struct_passwd]:
        return [one for one in pwd.getpwall() if one.pw_name in self.names and one.pw_shell not in _NO_SHELLS]

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        result = Result()
        for account in self._able():
            result.note(f"{account.pw_name}: {account.pw_shell} -> {NOLOGIN}")
            if not dry:
                run("usermod", "--shell", NOLOGIN, account.pw_name)
        return result

    def undo(self) -> Undo:
        return Undo(commands=[["usermod", "--shell", one.pw_shell, one.pw_name] for one in self._able()])

    def redo(self) -> Undo:
        there = [one for one in pwd.getpwall() if one.pw_name in self.names]
        return Undo(commands=[["usermod", "--shell", one.pw_shell, one.pw_name] for one in there])


@dataclass(frozen=True)
class PasswordAge(Setting):
    """``password_age``: an age of every password there is: ``name`` is chage's option -m, -M or -W.

    Accounts without a password are passed over: they have nothing to change, and an age would lock them out.
    """

    name: str
    days: str

    @property
    def label(self) -> str:
        return f"passwords {self.name}"

    def check(self) -> None:
        if self.name not in _AGES or not re.fullmatch(r"[0-9]{1,5}", self.days):
            raise SettingError(f"password_age {self.name} {self.days}: -m, -M or -W and days are needed")

    def _present(self) -> list[tuple[str, int]]:
        """Return the accounts with a password, with the age that is set."""
        rows = [line.split(":") for line in run("getent", "shadow").stdout.splitlines()]
        able = [row for row in rows if len(row) == 9 and row[1] and row[1][0] not in "*!"]
        return [(row[0], int(row[_AGES[self.name]] or -1)) for row in able]

    def _wrong(self) -> list[tuple[str, int]]:
        limit = int(self.days)
        if self.name == "-M":
            return [(name, age) for name, age in self._present() if not 1 <= age <= limit]
        return [(name, age) for name, age in self._present() if age < limit]

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        result = Result()
        for name, age in self._wrong():
            result.note(f"{name}: {age} -> {self.days} days")
            if not dry:
                run("chage", self.name, self.days, name)
        return result

    def undo(self) -> Undo:
        return Undo(commands=[["chage", self.name, str(age), name] for name, age in self._wrong()])

    def redo(self) -> Undo:
        return Undo(commands=[["chage", self.name, str(age), name] for name, age in self._present()])
