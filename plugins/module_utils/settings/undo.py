"""What brings a host back: kept before a setting changes it, as copies of files and a shell script.

A record is a folder: ``label``, ``rules``, the copies, and ``back.sh``, which puts everything back and can be
run by hand. The first record of a setting stays, as it holds what was there before provchain came.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from .base import SettingError, Undo, run, sync

JOURNAL = Path("/var/backups/provchain/baseline")
_SCRIPT = "back.sh"
_INTERFACES = re.compile(r"knob [a-z0-9.]+\.conf\.")


@dataclass(frozen=True)
class Record:
    """A change that can be taken back."""

    folder: Path

    @property
    def label(self) -> str:
        """Return the setting's kind and name."""
        return (self.folder / "label").read_text().strip()

    @property
    def rules(self) -> list[str]:
        """Return the rules that the setting serves."""
        return (self.folder / "rules").read_text().split()

    @property
    def lost(self) -> list[str]:
        """Return what can't be taken back, for people."""
        return (self.folder / "lost").read_text().splitlines()

    def back(self) -> None:
        """Bring back what was there, and forget the record. Raises SettingError; then the record stays."""
        run("/bin/sh", str(self.folder / _SCRIPT))
        shutil.rmtree(self.folder)
        sync(self.folder.parent)


def records(journal: Path) -> list[Record]:
    """Return what can be taken back, the newest first, but units last: they restart with their files back.

    Parameters of interfaces come after the general ones: turning forwarding on or off resets some of them
    (the kernel's ip-sysctl.rst, ip_forward).
    """
    if not journal.is_dir():
        return []
    folders = [path for path in journal.iterdir() if path.name[0] != "."]
    newest = [Record(path) for path in sorted(folders, reverse=True)]
    return sorted(newest, key=lambda one: (one.label.startswith("unit "), bool(_INTERFACES.match(one.label))))


def _next(journal: Path) -> int:
    return 1 + max((int(record.folder.name.partition("-")[0]) for record in records(journal)), default=0)


def adopt(other: Path, journal: Path) -> None:
    """Move the records of another journal into this one, but for those that it has already."""
    journal.mkdir(parents=True, exist_ok=True, mode=0o700)
    for record in sorted(records(other), key=lambda one: one.folder.name):
        digest = record.folder.name.partition("-")[2]
        if not any(known.folder.name.endswith(digest) for known in records(journal)):
            shutil.move(record.folder, journal / f"{_next(journal):06}-{digest}")
    sync(journal)


def keep(journal: Path, label: str, rules: Iterable[str], undo: Undo) -> None:
    """Record what a setting is about to change, durably, unless it has been recorded before."""
    digest = hashlib.sha256(label.encode()).hexdigest()[:16]
    if any(record.folder.name.endswith(digest) for record in records(journal)):
        return
    journal.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = Path(tempfile.mkdtemp(dir=journal, prefix=".partial-"))
    lines = ["set -eu", 'here=$(dirname "$0")']
    for place, path in enumerate(undo.paths):
        there = shlex.quote(path)
        if os.path.lexists(path):
            copy = partial / str(place)
            run("/bin/cp", "-a", "--no-target-directory", path, str(copy))
            lines.append(f'/bin/cp -a --remove-destination --no-target-directory "$here/{place}" {there}')
        else:
            lines.append(f"/bin/rm -f {there}")
    lines += [shlex.join(command) for command in undo.commands]
    for name, text in (
        ("label", label),
        ("rules", "\n".join(rules)),
        ("lost", "\n".join(undo.lost)),
        (_SCRIPT, "\n".join(lines)),
    ):
        with (partial / name).open("w") as sink:
            sink.write(f"{text}\n")
            sink.flush()
            os.fsync(sink.fileno())
    sync(partial)
    partial.rename(journal / f"{_next(journal):06}-{digest}")
    sync(journal)


def back_all(journal: Path) -> str:
    """Return a script that takes back every record of a journal, the newest first, whatever fails."""
    return "\n".join(f"/bin/sh {shlex.quote(str(one.folder / _SCRIPT))} || true" for one in records(journal))


def unharden(journal: Path, rules: Iterable[str] | None, dry: bool) -> tuple[list[str], list[str]]:
    """Take back what serves these rules only (None: all); return what was taken back, and what can't be.

    A setting that serves other rules as well stays. Raises SettingError at the first that fails.
    """
    chosen = None if rules is None else set(rules)
    done, lost = [], []
    for record in records(journal):
        if chosen is not None and not set(record.rules) <= chosen:
            continue
        done.append(record.label)
        lost += record.lost
        if not dry:
            try:
                record.back()
            except SettingError as error:
                raise SettingError(f"{record.label} could not be taken back: {error}") from None
    return done, lost
