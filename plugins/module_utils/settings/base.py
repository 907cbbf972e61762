"""What every kind of setting has in common: its parameters, its result, how it fails."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path


class SettingError(Exception):
    """A setting that is refused or can't be applied; the message names it, the cause, and what was found."""


class MissingError(SettingError):
    """What a setting is about is not there, a package that is not installed for instance.

    ``foreseen`` is what a dry run tells where an earlier step of the real run may bring it.
    """

    def __init__(self, message: str, foreseen: Result | None = None) -> None:
        super().__init__(message)
        self.foreseen = foreseen


@dataclass
class Result:
    """What a setting did, or in a dry run would do."""

    changed: bool = False
    before: str = ""
    after: str = ""
    actions: list[str] = field(default_factory=list)
    left: str = ""
    """Why it was left as it is: what it is about is not there."""

    def note(self, action: str) -> None:
        """Record one change."""
        self.changed = True
        self.actions.append(action)


@dataclass
class Undo:
    """What a setting is about to change: files by path, packages by name, and commands that restore."""

    paths: list[str] = field(default_factory=list)
    packages: list[str] = field(default_factory=list)
    commands: list[list[str]] = field(default_factory=list)


@dataclass(frozen=True)
class Setting:
    """One setting of a host. Its fields are its parameters; those without a default must be given."""

    @property
    def label(self) -> str:
        """Return what it is called in results and in ``restart_on``: its path or its name."""
        return str(getattr(self, "path", getattr(self, "name", "")))

    def check(self) -> None:
        """Refuse parameters that contradict each other; raises SettingError. Nothing is looked at yet."""

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        """Look, and change what differs unless ``dry``; ``changed`` has the labels that changed before it.

        A dry run and a real run come from the same comparison. Raises SettingError or OSError.
        """
        raise NotImplementedError

    def undo(self) -> Undo:
        """Return what brings back what is there now; raises SettingError where nothing can."""
        raise SettingError(f"{self.label}: a change of this kind can't be taken back, so it is not recorded")

    def redo(self) -> Undo:
        """Return what brings it back as it is now, once an earlier change of it has been taken back."""
        return self.undo()


def run(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command without a shell; raises SettingError with its words if it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip())[-500:]
        raise SettingError(f"{' '.join(argv)}: exit code {done.returncode}: {words}")
    return done


SINCE = "ActiveEnterTimestampMonotonic"


def properties(unit: str) -> dict[str, str]:
    """Return what systemd says of a unit, also of one that is not there."""
    names = f"LoadState,ActiveState,UnitFileState,RefuseManualStop,{SINCE}"
    shown = run("systemctl", "show", unit, f"--property={names}", check=False).stdout
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def sync(folder: Path) -> None:
    """Make the names in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
