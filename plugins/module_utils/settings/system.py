"""Accounts, kernel parameters and systemd units."""

from __future__ import annotations

import grp
import os
import pwd
import re
import time
from dataclasses import dataclass, field
from pathlib import Path

from .base import SINCE, MissingError, Result, Setting, SettingError, Undo, properties, run

SYSCTL = Path("/proc/sys")
# one that nobody may stop by hand is ended by a signal
_STOP = 'systemctl stop "$1" || systemctl kill --signal=TERM "$1"'
_KNOB = re.compile(r"[a-z0-9_]+(\.[a-zA-Z0-9_-]+)+")


@dataclass(frozen=True)
class Group(Setting):
    """``group``: a system group."""

    name: str

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        try:
            grp.getgrnam(self.name)
        except KeyError:
            if not dry:
                run("groupadd", "--system", self.name)
            return Result(True, actions=["created"])
        return Result()


@dataclass(frozen=True)
class User(Setting):
    """``user``: a system account without a password, with a group of its own, and in ``groups`` besides."""

    name: str
    home: str = "/"
    shell: str = "/usr/sbin/nologin"
    groups: list[str] = field(default_factory=list)

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        more = ["--groups", ",".join(self.groups)] if self.groups else []
        try:
            present = pwd.getpwnam(self.name)
        except KeyError:
            if not dry:
                options = ("--system", "--user-group", "--no-create-home", "-d", self.home, "-s", self.shell)
                run("useradd", *options, *more, self.name)
            return Result(True, actions=["created"])
        result = Result()
        if (present.pw_shell, present.pw_dir) != (self.shell, self.home):
            result.note("changed")
            result.before = f"{present.pw_dir} {present.pw_shell}\n"
            result.after = f"{self.home} {self.shell}\n"
            if not dry:
                run("usermod", "-d", self.home, "-s", self.shell, self.name)
        missing = [group for group in self.groups if not self._in(group)]
        if missing:
            result.note(f"joins {' '.join(missing)}")
            if not dry:
                run("usermod", "--append", "--groups", ",".join(missing), self.name)
        return result

    def _in(self, group: str) -> bool:
        try:
            return self.name in grp.getgrnam(group).gr_mem
        except KeyError:
            # a dry run may not have made it
            return False


@dataclass(frozen=True)
class Knob(Setting):
    """``knob``: a kernel parameter's value in force; one that this kernel doesn't have is passed over.

    One that can't be written fails with its name. A value in ``fits`` is as good and stays: some can't be
    changed any more before the next boot (kernel.unprivileged_bpf_disabled 1).
    """

    name: str
    value: str
    fits: list[str] = field(default_factory=list)

    @property
    def _path(self) -> Path:
        return SYSCTL / self.name.replace(".", "/")

    @property
    def is_there(self) -> bool:
        """Return whether this kernel has it."""
        return self._path.is_file()

    def check(self) -> None:
        if not _KNOB.fullmatch(self.name) or "\n" in self.value:
            raise SettingError(f"knob {self.name!r} = {self.value!r}: not a parameter")

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        result = Result()
        if not self.is_there:
            return result
        present = " ".join(self._path.read_text().split())
        if present not in (self.value, *self.fits):
            result.note(f"{present} -> {self.value}")
            if not dry:
                try:
                    self._path.write_text(self.value)
                except OSError as error:
                    raise SettingError(
                        f"knob {self.name}: {present}, not {self.value}: {error.strerror}"
                    ) from None
        return result

    def undo(self) -> Undo:
        present = " ".join(self._path.read_text().split())
        return Undo(commands=[["/sbin/sysctl", "-q", "-w", f"{self.name}={present}"]])


@dataclass(frozen=True)
class UnitsOff(Setting):
    """``units_off``: none of these units runs or starts at boot; those that are not there are passed over."""

    names: list[str]

    @property
    def label(self) -> str:
        return " ".join(self.names)

    def _on(self) -> list[tuple[str, bool, bool]]:
        """Return the units that are on, with whether they start at boot and whether they run."""
        found = {name: properties(name) for name in self.names}
        states = [
            (
                name,
                one.get("UnitFileState") in ("enabled", "enabled-runtime"),
                one.get("ActiveState") == "active",
            )
            for name, one in found.items()
        ]
        return [state for state in states if state[1] or state[2]]

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        result = Result()
        for name, boots, active in self._on():
            result.note(f"{name}: {'enabled ' if boots else ''}{'active ' if active else ''}-> off")
            if not dry:
                run("systemctl", "disable", "--now", name)
        return result

    def undo(self) -> Undo:
        undo = Undo()
        for name, boots, active in self._on():
            undo.commands += [["/bin/systemctl", "enable", name]] if boots else []
            undo.commands += [["/bin/systemctl", "start", name]] if active else []
        return undo


@dataclass(frozen=True)
class Unit(Setting):
    """``unit``: a systemd unit, enabled and running, and newer than the files in ``restart_on``.

    ``ready`` is a command that returns, well, once the service does its work again: after a restart it is
    waited for, so that what goes from host to host never takes the next one away too early.
    """

    name: str
    restart_on: list[str] = field(default_factory=list)
    ready: list[str] = field(default_factory=list)

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        found, result = properties(self.name), Result()
        if found.get("LoadState") == "not-found":
            raise MissingError(f"{self.name}: no such unit", Result(True, actions=["enabled", "start"]))
        if found.get("UnitFileState") not in ("enabled", "static"):
            result.note("enabled")
        verb = ""
        if found.get("ActiveState") != "active":
            verb = "start"
        elif changed & set(self.restart_on) or _stale(found, self.restart_on):
            verb = "restart"
        if verb:
            result.note(verb)
        if dry or not result.changed:
            return result
        # not only if systemd says that it needs it: it doesn't notice a unit's first drop-in folder
        run("systemctl", "daemon-reload")
        if "enabled" in result.actions:
            run("systemctl", "enable", self.name)
        if verb:
            self._turn(verb, found)
            state = properties(self.name).get("ActiveState")
            # a start that a condition of the unit forbids ends with exit code 0
            if state != "active":
                raise SettingError(
                    f"{self.name}: {state} after systemctl {verb}; see journalctl -u {self.name}"
                )
        if verb == "restart" and self.ready:
            run(*self.ready)
        return result

    def _turn(self, verb: str, found: dict[str, str]) -> None:
        if verb == "start" or found.get("RefuseManualStop") != "yes":
            run("systemctl", verb, self.name)
            return
        # nobody may stop it by hand; ended by a signal, systemd starts it again
        run("systemctl", "kill", "--signal=TERM", self.name)
        for _ in range(100):
            time.sleep(0.1)
            again = properties(self.name)
            if again.get("ActiveState") == "active" and again.get(SINCE) != found.get(SINCE):
                return

    def undo(self) -> Undo:
        found = properties(self.name)
        undo = Undo(commands=[["/bin/systemctl", "daemon-reload"]])
        if found.get("UnitFileState") not in ("enabled", "static"):
            undo.commands.append(["/bin/systemctl", "disable", self.name])
        if found.get("ActiveState") == "active":
            undo.commands.append(["/bin/systemctl", "try-restart", self.name])
        else:
            undo.commands.append(["/bin/sh", "-c", _STOP, "sh", self.name])
        return undo


@dataclass(frozen=True)
class UnitsReloaded(Setting):
    """``units_reloaded``: systemd has read these unit files since they changed."""

    paths: list[str]

    @property
    def label(self) -> str:
        return "unit files"

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        result = Result()
        if changed & set(self.paths):
            result.note("read anew")
            if not dry:
                run("systemctl", "daemon-reload")
        return result

    def undo(self) -> Undo:
        return Undo(commands=[["/bin/systemctl", "daemon-reload"]])


def _stale(found: dict[str, str], paths: list[str]) -> bool:
    """Tell whether one of the files is newer than the running unit.

    So a restart that was due when a run was interrupted is made up for by the next one.
    """
    booted = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
    started = booted + int(found.get(SINCE) or 0) / 1_000_000
    return any(Path(path).lstat().st_mtime > started for path in paths if os.path.lexists(path))
