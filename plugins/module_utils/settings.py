"""Typed settings of a host: look, compare, change. Runs on the host with its Python and nothing else.

Each kind of setting is a function ``(item, check) -> Result``: it looks first, says what differs, and
changes it unless ``check`` is set. So a dry run and a real run come from the same comparison.
"""

from __future__ import annotations

import grp
import os
import pwd
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Item = dict[str, Any]
BACKUPS = Path("/var/backups/provchain")
_TEXT_LIMIT = 65_536


class SettingError(Exception):
    """A setting that can't be applied; the message names the item, the cause, and nothing changed by it."""


@dataclass
class Result:
    """What an item did, or in a dry run would do."""

    changed: bool = False
    before: str = ""
    after: str = ""
    actions: list[str] = field(default_factory=list)


def run(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command without a shell; raises SettingError with its words if it fails."""
    done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if check and done.returncode != 0:
        words = (done.stderr.strip() or done.stdout.strip())[-500:]
        raise SettingError(f"{' '.join(argv)}: exit code {done.returncode}: {words}")
    return done


def _owner(item: Item) -> tuple[str, str]:
    owner = str(item.get("owner", "root"))
    return owner, str(item.get("group", owner))


def _attributes(path: Path) -> tuple[str, str, str]:
    """Return owner, group and mode of a path, without following a link."""
    found = path.lstat()
    try:
        owner = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        owner = str(found.st_uid)
    try:
        group = grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        group = str(found.st_gid)
    return owner, group, f"{stat.S_IMODE(found.st_mode):04o}"


def _fix_attributes(path: Path, item: Item, mode: str, result: Result, check: bool) -> None:
    owner, group = _owner(item)
    wanted = (owner, group, mode)
    present = _attributes(path) if path.exists() else None
    if present is not None and present != wanted:
        result.changed = True
        result.actions.append(f"{' '.join(present)} -> {' '.join(wanted)}")
        if not check:
            shutil.chown(path, owner, group)
            path.chmod(int(mode, 8))


def _sync(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def apply_file(item: Item, check: bool) -> Result:
    """``path content [mode owner group validate]``: a regular file with exactly this content.

    ``validate`` is a command with ``%s`` for the new file's path; if it fails, nothing is replaced.
    What is replaced is kept under /var/backups/provchain.
    """
    path, content = Path(item["path"]), str(item["content"]).encode()
    mode = str(item.get("mode", "0644"))
    regular = path.is_file() and not path.is_symlink()
    present = path.read_bytes() if regular else None
    result = Result()
    if present == content:
        _fix_attributes(path, item, mode, result, check)
        return result
    result.changed = True
    result.before = (present or b"")[:_TEXT_LIMIT].decode(errors="replace")
    result.after = content[:_TEXT_LIMIT].decode(errors="replace")
    result.actions.append("replaced" if path.exists() else "created")
    if not path.parent.is_dir() and not check:
        raise SettingError(f"{path}: its folder is missing")
    if path.parent.is_dir():
        _replace(path, content, item, mode, present, check)
    return result


def _replace(path: Path, content: bytes, item: Item, mode: str, present: bytes | None, check: bool) -> None:
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        if item.get("validate"):
            run(*(word.replace("%s", name) for word in str(item["validate"]).split()))
        if check:
            return
        if present is not None:
            kept = BACKUPS / str(path).lstrip("/")
            kept.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            kept.write_bytes(present)
            kept.chmod(0o600)
        shutil.chown(name, *_owner(item))
        Path(name).chmod(int(mode, 8))
        Path(name).replace(path)
        _sync(path.parent)
    finally:
        Path(name).unlink(missing_ok=True)


def apply_directory(item: Item, check: bool) -> Result:
    """``path [mode owner group]``: a folder."""
    path, result = Path(item["path"]), Result()
    mode = str(item.get("mode", "0755"))
    if not path.is_dir():
        result.changed = True
        result.actions.append("created")
        if check:
            return result
        path.mkdir(parents=True)
        shutil.chown(path, *_owner(item))
        path.chmod(int(mode, 8))
        return result
    _fix_attributes(path, item, mode, result, check)
    return result


def apply_link(item: Item, check: bool) -> Result:
    """``path target``: a symbolic link, replaced in one step."""
    path, target = Path(item["path"]), str(item["target"])
    present = str(path.readlink()) if path.is_symlink() else None
    if present == target:
        return Result()
    if not check:
        new = path.with_name(f".{path.name}.new")
        new.unlink(missing_ok=True)
        new.symlink_to(target)
        new.replace(path)
        _sync(path.parent)
    return Result(True, f"{present}\n", f"{target}\n", ["linked"])


def apply_absent(item: Item, check: bool) -> Result:
    """``path``: no such file; a folder is refused, as removing a tree is no setting."""
    path = Path(item["path"])
    if not path.exists() and not path.is_symlink():
        return Result()
    if path.is_dir() and not path.is_symlink():
        raise SettingError(f"{path}: is a folder, only files are removed")
    if not check:
        path.unlink()
    return Result(True, f"{path}\n", "", ["removed"])


def apply_group(item: Item, check: bool) -> Result:
    """``name``: a system group."""
    try:
        grp.getgrnam(item["name"])
    except KeyError:
        if not check:
            run("groupadd", "--system", str(item["name"]))
        return Result(True, actions=["created"])
    return Result()


def apply_user(item: Item, check: bool) -> Result:
    """``name [home shell groups]``: a system user without password; ``groups`` are in addition."""
    name, shell, home = (
        str(item["name"]),
        str(item.get("shell", "/usr/sbin/nologin")),
        str(item.get("home", "/")),
    )
    groups = sorted(item.get("groups", []))
    try:
        present = pwd.getpwnam(name)
    except KeyError:
        if not check:
            more = ["--groups", ",".join(groups)] if groups else []
            run(
                "useradd",
                "--system",
                "--user-group",
                "--no-create-home",
                "-d",
                home,
                "-s",
                shell,
                *more,
                name,
            )
        return Result(True, actions=["created"])
    result = Result()
    if (present.pw_shell, present.pw_dir) != (shell, home):
        result = Result(True, f"{present.pw_dir} {present.pw_shell}\n", f"{home} {shell}\n", ["changed"])
        if not check:
            run("usermod", "-d", home, "-s", shell, name)
    missing = [group for group in groups if name not in grp.getgrnam(group).gr_mem]
    if missing:
        result.changed = True
        result.actions.append(f"joins {' '.join(missing)}")
        if not check:
            run("usermod", "--append", "--groups", ",".join(missing), name)
    return result


def apply_package(item: Item, check: bool) -> Result:
    """``name file``: a Debian package, installed from a local file if it isn't there already."""
    found = run("dpkg-query", "-W", "-f=${Status}", str(item["name"]), check=False)
    if found.stdout == "install ok installed":
        return Result()
    if not check:
        run("dpkg", "--install", str(item["file"]))
    return Result(True, actions=["installed"])


def _properties(unit: str) -> dict[str, str]:
    names = "ActiveState,UnitFileState,NeedDaemonReload,ActiveEnterTimestampMonotonic"
    shown = run("systemctl", "show", unit, f"--property={names}", check=False).stdout
    return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)


def _stale(properties: dict[str, str], paths: list[str]) -> bool:
    """Tell whether one of the files is newer than the running unit.

    So a restart that was due when a run was interrupted is made up for by the next one.
    """
    booted = time.time() - time.clock_gettime(time.CLOCK_MONOTONIC)
    started = booted + int(properties.get("ActiveEnterTimestampMonotonic") or 0) / 1_000_000
    return any(Path(path).lstat().st_mtime > started for path in paths if os.path.lexists(path))


def apply_unit(item: Item, check: bool) -> Result:
    """``name [restart_on]``: a systemd unit, enabled and running, and newer than the files that it reads."""
    name, result = str(item["name"]), Result()
    found = _properties(name)
    if found.get("NeedDaemonReload") == "yes" and not check:
        run("systemctl", "daemon-reload")
    if found.get("UnitFileState") != "enabled":
        result.changed = True
        result.actions.append("enabled")
        if not check:
            run("systemctl", "enable", name)
    verb = ""
    if found.get("ActiveState") != "active":
        verb = "start"
    elif item["changed"] or _stale(found, item.get("restart_on", [])):
        verb = "restart"
    if verb:
        result.changed = True
        result.actions.append(verb)
        if not check:
            run("systemctl", verb, name)
    return result


KINDS: dict[str, Callable[[Item, bool], Result]] = {
    "absent": apply_absent,
    "directory": apply_directory,
    "file": apply_file,
    "group": apply_group,
    "link": apply_link,
    "package": apply_package,
    "unit": apply_unit,
    "user": apply_user,
}
ALLOWED: dict[str, tuple[set[str], set[str]]] = {
    "absent": ({"path"}, set()),
    "directory": ({"path"}, {"mode", "owner", "group"}),
    "file": ({"path", "content"}, {"mode", "owner", "group", "validate"}),
    "group": ({"name"}, set()),
    "link": ({"path", "target"}, set()),
    "package": ({"name", "file"}, set()),
    "unit": ({"name"}, {"restart_on"}),
    "user": ({"name"}, {"home", "shell", "groups"}),
}


def refuse(items: list[Item]) -> None:
    """Refuse a list with an unknown kind or key, or with a missing key, before anything is changed."""
    for number, item in enumerate(items):
        kind = item.get("kind")
        if kind not in KINDS:
            raise SettingError(f"settings[{number}]: kind {kind!r}, allowed: {', '.join(sorted(KINDS))}")
        needed, optional = ALLOWED[str(kind)]
        given = set(item) - {"kind"}
        if needed - given:
            raise SettingError(f"settings[{number}] ({kind}): {', '.join(sorted(needed - given))} is missing")
        if given - needed - optional:
            raise SettingError(
                f"settings[{number}] ({kind}): unknown key {', '.join(sorted(given - needed - optional))}"
            )


def label(item: Item) -> str:
    """Return what an item is called in results and in ``restart_on``: its path or its name."""
    return str(item.get("path", item.get("name")))


def converge(items: list[Item], check: bool) -> list[tuple[Item, Result]]:
    """Apply all items in order; a unit is restarted if something that it names has changed."""
    refuse(items)
    changed: set[str] = set()
    done: list[tuple[Item, Result]] = []
    for item in items:
        given = item | {"changed": bool(changed & set(item.get("restart_on", [])))}
        result = KINDS[str(item["kind"])](given, check)
        if result.changed:
            changed.add(label(item))
        done.append((item, result))
    return done
