"""Typed settings of a host: look, compare, change. Runs on the host with its Python and nothing else.

Each kind is a class whose fields are its parameters. It looks first, says what differs, and changes it
unless the run is dry. A new kind is a class here and a line in ``KINDS``.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any

from . import firewall, trial, undo
from .accounts import PasswordAge, ShellsRemoved
from .attributes import Attributes
from .audit import AuditLoaded
from .base import MissingError, Result, Setting, SettingError
from .files import Absent, Directory, File, Folder, Link, Made
from .integrity import IntegrityDatabase
from .options import Option
from .packages import Package, PackagesAbsent
from .pam import PamProfile
from .people import People
from .system import Group, Knob, Unit, UnitsOff, UnitsReloaded, User
from .undo import JOURNAL, durable, find, keep, serve

__all__ = [
    "JOURNAL",
    "KINDS",
    "Item",
    "Result",
    "Setting",
    "SettingError",
    "converge",
    "firewall",
    "label",
    "parse",
    "report",
    "trial",
    "undo",
]

Item = dict[str, Any]
KINDS: dict[str, type[Setting]] = {
    "absent": Absent,
    "attributes": Attributes,
    "audit_loaded": AuditLoaded,
    "directory": Directory,
    "file": File,
    "folder": Folder,
    "group": Group,
    "integrity_database": IntegrityDatabase,
    "knob": Knob,
    "link": Link,
    "made": Made,
    "option": Option,
    "package": Package,
    "packages_absent": PackagesAbsent,
    "pam_profile": PamProfile,
    "password_age": PasswordAge,
    "people": People,
    "shells_removed": ShellsRemoved,
    "unit": Unit,
    "units_off": UnitsOff,
    "units_reloaded": UnitsReloaded,
    "user": User,
}


def parse(items: list[Item]) -> list[Setting]:
    """Read a list of settings; raises SettingError for a kind or key that is unknown, missing or mistyped."""
    return [_parse(f"settings[{number}]", dict(item)) for number, item in enumerate(items)]


def _parse(where: str, item: Item) -> Setting:
    kind = item.pop("kind", None)
    if not _fits(item.pop("rules", []), list[str]):
        raise SettingError(f"{where}: rules, needed: {_words(list[str])}")
    if kind not in KINDS:
        raise SettingError(f"{where}: kind {kind!r}, allowed: {', '.join(sorted(KINDS))}")
    types = typing.get_type_hints(KINDS[kind])
    fields = {one.name: one for one in dataclasses.fields(KINDS[kind])}
    unknown = sorted(set(item) - set(fields))
    if unknown:
        raise SettingError(
            f"{where} ({kind}): unknown key {', '.join(unknown)}; allowed: {', '.join(fields)}"
        )
    missing = [one.name for one in fields.values() if one.name not in item and _needed(one)]
    if missing:
        raise SettingError(f"{where} ({kind}): {', '.join(missing)} is missing")
    for key, value in item.items():
        if not _fits(value, types[key]):
            raise SettingError(f"{where} ({kind}): {key} is {value!r}, needed: {_words(types[key])}")
    setting = KINDS[kind](**item)
    setting.check()
    return setting


def _needed(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _fits(value: object, wanted: object) -> bool:
    """Tell whether a value has the type that a field declares: text, a list of text, or text by name."""
    if wanted in (list[str], list[str] | None):
        return isinstance(value, list) and all(isinstance(one, str) for one in value)
    if wanted == dict[str, str]:
        return isinstance(value, dict) and all(isinstance(one, str) for pair in value.items() for one in pair)
    return isinstance(value, str)


def _words(wanted: object) -> str:
    if wanted in (list[str], list[str] | None):
        return "a list of text"
    return "text by name" if wanted == dict[str, str] else "text"


def label(item: Item) -> str:
    """Return what a setting is called in results and records: its kind and name; raises SettingError."""
    (setting,) = parse([item])
    return f"{item['kind']} {setting.label}"


def converge(
    items: list[Item],
    dry: bool,
    journal: Path | None = None,
    recorded: Callable[[], None] = lambda: None,
) -> list[tuple[str, Result]]:
    """Apply all settings in order and return what each did, under its kind and label.

    The whole list is checked before anything is changed. With a ``journal``, what settings are about to
    change is kept there first, under the ``rules`` that the items name, and ``recorded`` is called: of all
    settings before the first of them changes anything, as one can change what another is about (a kernel
    parameter those of interfaces). What serves rules only is left where its object is missing:
    ``Result.left`` says so.
    """
    settings = [(f"{item['kind']} {one.label}", one) for item, one in zip(items, parse(items), strict=True)]
    if journal is None or dry:
        return _apply(items, settings, dry)
    foreseen = _apply(items, settings, dry=True)
    serve(journal, {name: item for item, (name, _) in zip(items, settings, strict=True)})
    if not any(result.changed for _, result in foreseen):
        return foreseen
    knobs = {name: one.undo() for name, one in settings if isinstance(one, Knob) and one.is_there}
    for item, (name, setting), (_, result) in zip(items, settings, foreseen, strict=True):
        if result.changed:
            keep(journal, name, item, setting.undo())
    durable(journal)
    recorded()

    def late(item: Item, name: str, setting: Setting) -> None:
        # one that something before it has made necessary: a parameter is to be what it was before that
        if find(journal, name) is None:
            keep(journal, name, item, knobs.get(name) or setting.undo())
            durable(journal)
            recorded()

    return _apply(items, settings, dry=False, late=late)


def _apply(
    items: list[Item],
    settings: list[tuple[str, Setting]],
    dry: bool,
    late: Callable[[Item, str, Setting], None] | None = None,
) -> list[tuple[str, Result]]:
    """Apply settings; ``late`` is called before one changes something."""
    changed: set[str] = set()
    done: list[tuple[str, Result]] = []
    for item, (name, setting) in zip(items, settings, strict=True):
        try:
            result = setting.apply(dry or late is not None, frozenset(changed))
            if late is not None and result.changed:
                late(item, name, setting)
                result = setting.apply(False, frozenset(changed))
        except MissingError as error:
            if item.get("rules"):
                result = Result(left=str(error))
            elif dry and error.foreseen:
                result = error.foreseen
            else:
                raise
        if result.changed:
            changed.add(setting.label)
        done.append((name, result))
    return done


def report(done: list[tuple[str, Result]]) -> dict[str, Any]:
    """Return what Ansible shows of settings that were applied: actions by name, and their differences."""
    changes = {name: result for name, result in done if result.changed}
    diff = [
        {"before_header": name, "after_header": name, "before": result.before, "after": result.after}
        for name, result in changes.items()
        if result.before or result.after
    ]
    return {
        "settings": {name: result.actions for name, result in changes.items()},
        "left": {name: result.left for name, result in done if result.left},
        "diff": diff,
    }
