"""What brings a host back: kept before a setting changes it, as copies of files and a shell script.

A record is a folder: ``record.json`` says what it is of and which rules it serves, beside it lie the copies
and ``back.sh``, which puts everything back and can be run by hand. The first record of a setting stays, as it
holds what was there before provchain came.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shlex
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .base import SettingError, Undo, run, sync
from .files import shown
from .packages import repack

JOURNAL = Path("/var/backups/provchain/baseline")
_SCRIPT, _TOLD, _PARTIAL = "back.sh", "record.json", ".partial-"
_READERS = {"audit_loaded": 1, "units_reloaded": 1, "unit": 2}
"""Kinds of settings that have a program read files, in the order in which they are taken back."""
_INTERFACES = re.compile(r"knob [a-z0-9.]+\.conf\.")


@dataclass(frozen=True)
class Record:
    """A change that can be taken back."""

    folder: Path

    @property
    def _told(self) -> dict[str, Any]:
        try:
            told = json.loads((self.folder / _TOLD).read_text())
        except (OSError, ValueError) as error:
            raise SettingError(f"{self.folder} is no record of a change: {error}") from None
        return dict(told)

    @property
    def label(self) -> str:
        """Return the setting's kind and name."""
        return str(self._told["label"])

    @property
    def item(self) -> dict[str, Any]:
        """Return the setting as it was given."""
        return dict(self._told["item"])

    @property
    def rules(self) -> list[str]:
        """Return the rules that the setting serves."""
        return list(self._told["item"].get("rules", []))

    @property
    def access(self) -> bool:
        """Tell whether it came by a trial: then it goes by one."""
        return bool(self._told.get("access"))

    @property
    def paths(self) -> list[tuple[str, Path]]:
        """Return the files that come back, each with its copy, which is not there if the file was not."""
        return [(path, self.folder / str(place)) for place, path in enumerate(self._told["paths"])]

    def tell(self, rules: Iterable[str], *, access: bool = False) -> None:
        """Have it serve these rules, in one step."""
        told = self._told
        told["item"]["rules"] = list(rules)
        told["access"] = access or self.access
        partial = self.folder / f"{_TOLD}.part"
        partial.write_text(json.dumps(told))
        partial.replace(self.folder / _TOLD)

    def run(self) -> None:
        """Bring back what was there. Raises SettingError."""
        run("/bin/sh", str(self.folder / _SCRIPT))

    def forget(self) -> None:
        """Remove the record, in one step."""
        gone = self.folder.with_name(f"{_PARTIAL}{self.folder.name}")
        self.folder.rename(gone)
        sync(gone.parent)
        shutil.rmtree(gone)


def _folders(journal: Path) -> list[Path]:
    return [one for one in journal.iterdir() if one.name[0] != "."] if journal.is_dir() else []


def _digest(label: str) -> str:
    return hashlib.sha256(label.encode()).hexdigest()[:16]


def find(journal: Path, label: str) -> Record | None:
    """Return the record of a setting, or None if it has none."""
    digest = _digest(label)
    return next((Record(one) for one in _folders(journal) if one.name.endswith(digest)), None)


def records(journal: Path) -> list[Record]:
    """Return what can be taken back, the newest first, but last what reads files, as they are back by then.

    Parameters of interfaces come after the general ones: turning forwarding on or off resets some of them
    (the kernel's ip-sysctl.rst, ip_forward).
    """
    newest = [Record(path) for path in sorted(_folders(journal), reverse=True)]

    def late(record: Record) -> tuple[int, bool]:
        label = record.label
        return _READERS.get(label.partition(" ")[0], 0), bool(_INTERFACES.match(label))

    return sorted(newest, key=late)


def _next(journal: Path) -> int:
    return 1 + max((int(one.name.partition("-")[0]) for one in _folders(journal)), default=0)


def adopt(other: Path, journal: Path) -> None:
    """Move the records of a trial into a journal, but for those that it has already: the older one counts."""
    journal.mkdir(parents=True, exist_ok=True, mode=0o700)
    for record in sorted(records(other), key=lambda one: one.folder.name):
        record.tell(record.rules, access=True)
        known = find(journal, record.label)
        if known is None:
            shutil.move(record.folder, journal / f"{_next(journal):06}-{_digest(record.label)}")
        else:
            known.tell(_joined(known.rules, record.rules), access=True)
    sync(journal)


def _joined(some: Iterable[str], more: Iterable[str]) -> list[str]:
    return list(dict.fromkeys([*some, *more]))


def serve(journal: Path, items: Mapping[str, dict[str, Any]]) -> None:
    """Note, for settings by label that are recorded already, which rules they serve as well by now."""
    for label, item in items.items():
        record = find(journal, label)
        if record is not None and not set(item.get("rules", [])) <= set(record.rules):
            record.tell(_joined(record.rules, item["rules"]))


def keep(journal: Path, label: str, item: Mapping[str, Any], undo: Undo) -> None:
    """Record what a setting is about to change, unless it has been recorded before.

    It is on the disk for sure once ``durable`` has returned.
    """
    if find(journal, label) is not None:
        return
    journal.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = Path(tempfile.mkdtemp(dir=journal, prefix=_PARTIAL))
    lines = ["set -eu", 'here=$(dirname "$0")']
    for place, path in enumerate(undo.paths):
        there = shlex.quote(path)
        if os.path.lexists(path):
            run("/bin/cp", "-a", "--no-target-directory", path, str(partial / str(place)))
            lines.append(f'/bin/cp -a --remove-destination --no-target-directory "$here/{place}" {there}')
        else:
            lines.append(f"/bin/rm -f {there}")
    for name in undo.packages:
        repack(name, partial / f"{name}.deb")
    if undo.packages:
        kept = " ".join(f'"$here"/{name}.deb' for name in undo.packages)
        # what is there of its configuration has stayed, as it was
        lines.append(f"DEBIAN_FRONTEND=noninteractive /usr/bin/dpkg --force-confold --install {kept}")
    lines += [shlex.join(command) for command in undo.commands]
    told = {"label": label, "item": dict(item), "paths": undo.paths}
    (partial / _TOLD).write_text(json.dumps(told))
    (partial / _SCRIPT).write_text("\n".join([*lines, ""]))
    partial.rename(journal / f"{_next(journal):06}-{_digest(label)}")


def durable(journal: Path) -> None:
    """Have what was kept on the disk, and remove what an interrupted run has left."""
    if journal.is_dir():
        for stale in journal.glob(f"{_PARTIAL}*"):
            shutil.rmtree(stale)
        run("/bin/sync", "--file-system", str(journal))


def back_all(journal: Path) -> str:
    """Return a script that takes back every record of a journal, the newest first, whatever fails."""
    return "\n".join(f"/bin/sh {shlex.quote(str(one.folder / _SCRIPT))} || true" for one in records(journal))


def chosen(journal: Path, rules: Iterable[str]) -> list[Record]:
    """Return the records that serve these rules only, or all if none are named."""
    wanted = set(rules)
    return [one for one in records(journal) if not wanted or set(one.rules) <= wanted]


def remaining(journal: Path, rules: Iterable[str]) -> list[str]:
    """Return the other rules that records serve: those that stay when ``rules`` go; none if all go."""
    gone = set(rules)
    return sorted({rule for one in records(journal) for rule in one.rules} - gone) if gone else []


def differences(some: Iterable[Record]) -> list[dict[str, str]]:
    """Return what differs between files that are there and those that come back, as Ansible shows it."""
    return [
        {"before_header": path, "after_header": path, "before": _text(Path(path)), "after": _text(copy)}
        for record in some
        for path, copy in record.paths
        if _text(Path(path)) != _text(copy)
    ]


def _text(path: Path) -> str:
    return shown(path.read_bytes()) if path.is_file() else ""


def unharden(journal: Path, rules: Iterable[str], dry: bool) -> tuple[list[str], list[str]]:
    """Take back what serves these rules only (none named: all); return what was taken back, and what failed.

    A setting that serves other rules as well stays, and serves those from then on. What came by a trial is
    passed over: it goes by one. What fails keeps its record, and the rest is taken back nevertheless.
    """
    done, failed = [], []
    gone = set(rules)
    for record in chosen(journal, gone):
        if record.access:
            continue
        label = record.label
        if not dry:
            try:
                record.run()
            except SettingError as error:
                failed.append(f"{label} could not be taken back: {error}")
                continue
            record.forget()
        done.append(label)
    for record in [] if dry else records(journal):
        if gone & set(record.rules) and not set(record.rules) <= gone:
            record.tell([rule for rule in record.rules if rule not in gone])
    return done, failed
