"""Files, folders and links, replaced in one step and durable."""

from __future__ import annotations

import base64
import binascii
import glob
import grp
import os
import pwd
import re
import stat
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from .base import MissingError, Result, Setting, SettingError, Undo, run, sync

BACKUPS = Path("/var/backups/provchain")
_TEXT_LIMIT = 65_536
_NEW = ".provchain"
"""How the name of a file ends that is not in its place yet; a run that was killed may leave one."""
_MODE = re.compile(r"0[0-7]{3,4}")


def owner_ids(owner: str, group: str) -> tuple[int, int]:
    """Return the numbers of a user and a group (the user's own name if empty); raises SettingError."""
    try:
        return pwd.getpwnam(owner).pw_uid, grp.getgrnam(group or owner).gr_gid
    except KeyError as error:
        raise SettingError(f"owner {owner}:{group or owner}: {error.args[0]}") from None


def write(
    path: Path, content: bytes, mode: str, owner: str, group: str, accept: Callable[[str], None]
) -> None:
    """Replace a file in one step, durably; ``accept`` sees the new file's name first and may raise.

    Owner and mode are set through the open file, so that nobody who may write in the folder can have
    them set on another file by a link.
    """
    for stale in path.parent.glob(f".{glob.escape(path.name)}.*{_NEW}"):
        stale.unlink()
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=_NEW)
    try:
        with os.fdopen(handle, "wb") as sink:
            sink.write(content)
            sink.flush()
            accept(name)
            os.fchown(sink.fileno(), *owner_ids(owner, group))
            os.fchmod(sink.fileno(), int(mode, 8))
            os.fsync(sink.fileno())
        Path(name).replace(path)
        sync(path.parent)
    finally:
        Path(name).unlink(missing_ok=True)


@dataclass(frozen=True)
class Owned(Setting):
    """Something with an owner, a group and a mode."""

    path: str
    mode: str = ""
    owner: str = "root"
    group: str = ""

    def check(self) -> None:
        if not self.path.startswith("/"):
            raise SettingError(f"{self.path}: not a whole path")
        if not _MODE.fullmatch(self.mode):
            raise SettingError(f"{self.path}: mode {self.mode!r}, allowed: octal text such as '0644'")

    def fix_attributes(self, result: Result, dry: bool) -> None:
        """Put owner, group and mode right, on the thing itself and never through a link."""
        wanted = (self.owner, self.group or self.owner, self.mode)
        handle = os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            present = _attributes(os.fstat(handle))
            if present == wanted:
                return
            result.note(f"{' '.join(present)} -> {' '.join(wanted)}")
            if not dry:
                os.fchown(handle, *owner_ids(self.owner, self.group))
                os.fchmod(handle, int(self.mode, 8))
        finally:
            os.close(handle)


def names(found: os.stat_result) -> tuple[str, str]:
    """Return owner and group by name, or by number where they have none."""
    try:
        owner = pwd.getpwuid(found.st_uid).pw_name
    except KeyError:
        owner = str(found.st_uid)
    try:
        group = grp.getgrgid(found.st_gid).gr_name
    except KeyError:
        group = str(found.st_gid)
    return owner, group


def _attributes(found: os.stat_result) -> tuple[str, str, str]:
    return *names(found), f"{stat.S_IMODE(found.st_mode):04o}"


@dataclass(frozen=True)
class File(Owned):
    """``file``: a regular file with exactly this content, given as text or as base64.

    ``validate`` is a command with ``%s`` for the new file's path (``/usr/sbin/visudo -cf %s``); if it
    fails, nothing is replaced. What is replaced is kept under /var/backups/provchain, mode 0600.
    """

    mode: str = "0644"
    content: str | None = None
    b64: str | None = None
    validate: str = ""

    def check(self) -> None:
        super().check()
        if (self.content is None) == (self.b64 is None):
            raise SettingError(f"{self.path}: one of content and b64 is needed")
        if self.validate and "%s" not in self.validate:
            raise SettingError(f"{self.path}: validate {self.validate!r} has no %s for the new file")
        self.wanted()

    def wanted(self) -> bytes:
        """Return the content as bytes."""
        if self.b64 is None:
            return (self.content or "").encode()
        try:
            return base64.b64decode(self.b64, validate=True)
        except binascii.Error as error:
            raise SettingError(f"{self.path}: b64 is no base64: {error}") from None

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        path, content, result = Path(self.path), self.wanted(), Result()
        regular = path.is_file() and not path.is_symlink()
        present = path.read_bytes() if regular else None
        if present == content:
            self.fix_attributes(result, dry)
            return result
        if path.is_dir() and not path.is_symlink():
            raise SettingError(f"{path}: is a folder, not a file")
        result.note("replaced" if path.exists() or path.is_symlink() else "created")
        result.before, result.after = shown(present or b""), shown(content)
        if dry:
            self._accept_copy(content)
        folder = str(path.parent)
        made = any(label == folder or label.startswith(f"{folder}/") for label in changed)
        if not (path.parent.is_dir() or (dry and made)):
            # its package is not installed, or not yet
            raise MissingError(f"{path}: its folder is missing", foreseen=result)
        if dry:
            return result
        write(
            path, content, self.mode, self.owner, self.group, lambda name: self._accept(name, path, present)
        )
        return result

    def undo(self) -> Undo:
        return Undo(paths=[self.path])

    def _accept(self, name: str, path: Path, present: bytes | None) -> None:
        self._validate(name)
        if present is not None:
            _keep(path, present)

    def _accept_copy(self, content: bytes) -> None:
        """Validate without writing where the file will be: a dry run leaves no trace there."""
        if self.validate:
            with tempfile.NamedTemporaryFile(prefix=f".{Path(self.path).name}.") as copy:
                copy.write(content)
                copy.flush()
                self._validate(copy.name)

    def _validate(self, name: str) -> None:
        if self.validate:
            run(*(word.replace("%s", name) for word in self.validate.split()))


def rewrite(path: Path, content: bytes) -> None:
    """Replace the content of a file that is there in one step, durably; owner and mode stay."""
    found = path.lstat()
    write(path, content, f"{stat.S_IMODE(found.st_mode):04o}", *names(found), lambda name: None)


def shown(content: bytes) -> str:
    """Return a file's content as Ansible shows it."""
    return content[:_TEXT_LIMIT].decode(errors="replace")


def _keep(path: Path, present: bytes) -> None:
    """Keep what is about to be replaced, for root only: it may have been a secret."""
    kept = BACKUPS / str(path).lstrip("/")
    BACKUPS.mkdir(parents=True, exist_ok=True, mode=0o700)
    kept.parent.mkdir(parents=True, exist_ok=True)
    write(kept, present, "0600", "root", "root", lambda name: None)


@dataclass(frozen=True)
class Directory(Owned):
    """``directory``: a folder with this owner and mode; missing parents are made with mode 0755.

    With ``only``, files of other names are removed from it; folders in it are left.
    """

    mode: str = "0755"
    only: list[str] | None = None

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        path, result = Path(self.path), Result()
        if path.is_symlink() or (path.exists() and not path.is_dir()):
            raise SettingError(f"{path}: is there and is no folder")
        if path.is_dir():
            self.fix_attributes(result, dry)
            self._remove_others(path, result, dry)
            return result
        result.note("created")
        if not dry:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
            path.mkdir(mode=0o700)
            self.fix_attributes(Result(), dry=False)
            sync(path.parent)
        return result

    def undo(self) -> Undo:
        """Remove it again unless somebody has put something there, or give it back as it was."""
        if not os.path.lexists(self.path):
            return Undo(commands=[["/bin/rmdir", "--ignore-fail-on-non-empty", self.path]])
        owner, group, mode = _attributes(Path(self.path).lstat())
        return Undo(commands=[["/usr/bin/install", "-d", "-o", owner, "-g", group, "-m", mode, self.path]])

    def _remove_others(self, path: Path, result: Result, dry: bool) -> None:
        for other in sorted(path.iterdir()) if self.only is not None else ():
            if other.name not in (self.only or ()) and (other.is_symlink() or not other.is_dir()):
                removed = Absent(str(other)).apply(dry, frozenset())
                result.note(f"removed {other.name}")
                result.before += removed.before


@dataclass(frozen=True)
class Folder(Setting):
    """``folder``: a folder is there; one that is stays as it is, another is made for root alone."""

    path: str

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        path = Path(self.path)
        if path.is_dir():
            return Result()
        if not dry:
            path.mkdir(mode=0o700)
            sync(path.parent)
        return Result(True, actions=["created"])

    def undo(self) -> Undo:
        return Undo(commands=[["/bin/rmdir", "--ignore-fail-on-non-empty", self.path]])


@dataclass(frozen=True)
class Link(Setting):
    """``link``: a symbolic link to ``target``, replaced in one step."""

    path: str
    target: str

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        path = Path(self.path)
        present = str(path.readlink()) if path.is_symlink() else None
        if present == self.target:
            return Result()
        if path.exists() and present is None:
            raise SettingError(f"{path}: is there and is no link")
        if not dry:
            new = path.with_name(f".{path.name}.new")
            new.unlink(missing_ok=True)
            new.symlink_to(self.target)
            new.replace(path)
            sync(path.parent)
        before = f"{present}\n" if present else ""
        return Result(True, before, f"{self.target}\n", ["linked"])


@dataclass(frozen=True)
class Absent(Setting):
    """``absent``: no such file; a folder is refused, as removing a tree is no setting."""

    path: str

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        path = Path(self.path)
        if not path.exists() and not path.is_symlink():
            return Result()
        if path.is_dir() and not path.is_symlink():
            raise SettingError(f"{path}: is a folder, only files are removed")
        if not dry:
            if path.is_file() and not path.is_symlink():
                _keep(path, path.read_bytes())
            path.unlink()
            sync(path.parent)
        return Result(True, f"{path}\n", "", ["removed"])


@dataclass(frozen=True)
class Made(Setting):
    """``made``: a file that a command makes where there is none; what it holds is nobody's business."""

    path: str
    command: list[str]

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        path = Path(self.path)
        if path.exists():
            return Result()
        if not dry:
            run(*self.command)
            if not path.is_file():
                raise SettingError(f"{path}: its command ended, and it is not there")
            sync(path.parent)
        return Result(True, "", f"{path}\n", ["made"])
