"""A disk that forgets what was not synced, tears what it was writing, and refuses when it is told to.

The node's own code writes on it: `installed` puts these files in the place of the operating system's, for
paths that a `Disk` has given out.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, cast

from provnode.storage import files, wal

_ZEROS = 0.25
# bytes of a consensus log without a record
_WAL_HEAD = 20


@dataclass(slots=True, eq=False)
class _File:
    content: bytearray = field(default_factory=bytearray)
    synced: bytes = b""


@dataclass(slots=True)
class _Handle:
    disk: Disk
    file: _File | None  # None: the folder
    at: int = 0


class Disk:
    """One node's folder.

    `boundary` is called before each change: the process may end there. `renamed` is told of each file that
    took its final name.
    """

    def __init__(
        self, chance: random.Random, boundary: Callable[[], None], renamed: Callable[[str], None]
    ) -> None:
        self.boundary = boundary
        self.renamed = renamed
        # names of files that can't be written now
        self.refuses: frozenset[str] = frozenset()
        self.refused = self.torn = 0
        self._chance = chance
        self._files: dict[str, _File] = {}
        self._durable: dict[str, _File] = {}

    def path(self, name: str) -> Path:
        """Where a file is, for the node's code."""
        return cast(Path, _Path(self, name))

    def crash(self, *, forgetful: str = "") -> None:
        """The power is gone: what was not synced may be there, in part, or not at all.

        Of the file `forgetful` only its beginning is left, synced or not.
        """
        _os.forget(self)
        if self._files != self._durable and self._chance.random() < 0.5:
            self._files = dict(self._durable)
        for name, file in self._files.items():
            self._tear(file)
            if name == forgetful:
                del file.content[_WAL_HEAD:]
            file.synced = bytes(file.content)
        self._durable = dict(self._files)

    def _tear(self, file: _File) -> None:
        content, synced = file.content, file.synced
        if content == synced:
            return
        if not content.startswith(synced):  # it was cut: that may have happened or not
            if self._chance.random() < 0.5:
                file.content = bytearray(synced)
            return
        kept = self._chance.randint(len(synced), len(content))
        zeros = self._chance.random() < _ZEROS
        self.torn += kept < len(content)
        file.content[kept:] = bytes(len(content) - kept) if zeros else b""

    # --- what the operating system does

    def find(self, name: str) -> _File | None:
        """A file."""
        return self._files.get(name)

    def open(self, name: str, flags: int) -> _File:
        """A file to be written."""
        self.boundary()
        file = self._files.get(name)
        if flags & (os.O_CREAT | os.O_TRUNC):
            self.may_write(name)
        if file is None:
            if not flags & os.O_CREAT:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
            file = self._files[name] = _File()
        elif flags & os.O_TRUNC:
            file.content = bytearray()
        return file

    def rename(self, old: str, new: str) -> None:
        """Give a file another's name."""
        self.may_write(new)
        self._files[new] = self._files.pop(old)
        self.renamed(new)

    def unlink(self, name: str) -> None:
        """Take a name away."""
        self.boundary()
        self._files.pop(name, None)

    def may_write(self, name: str) -> None:
        """The process may end here, and the disk may refuse."""
        self.boundary()
        if name.removesuffix(".new") in self.refuses:
            self.refused += 1
            code = self._chance.choice((errno.ENOSPC, errno.EIO))
            raise OSError(code, os.strerror(code), name)

    def name_of(self, file: _File) -> str:
        """A name under which a file is found."""
        return next((name for name, found in self._files.items() if found is file), "")

    def sync(self, file: _File | None) -> None:
        """A file's content, or the folder's names, are safe."""
        self.may_write("" if file is None else self.name_of(file))
        if file is None:
            self._durable = dict(self._files)
        else:
            file.synced = bytes(file.content)

    def write(self, handle: _Handle, data: bytes) -> int:
        """Write; a disk that refuses may take a part of it first, as the system's call does."""
        file = handle.file
        assert file is not None
        name = self.name_of(file)
        if name.removesuffix(".new") in self.refuses and len(data) > 1 and self._chance.random() < 0.5:
            data = data[: self._chance.randint(1, len(data) - 1)]
            self.boundary()
        else:
            self.may_write(name)
        if handle.at > len(file.content):  # a hole
            file.content += bytes(handle.at - len(file.content))
        file.content[handle.at : handle.at + len(data)] = data
        handle.at += len(data)
        return len(data)


class _Path:
    """What the node's code asks of a path."""

    def __init__(self, disk: Disk, name: str) -> None:
        self.disk = disk
        self.name = name

    def __str__(self) -> str:
        return self.name or "."

    @property
    def parent(self) -> _Path:
        return _Path(self.disk, "")

    def with_name(self, name: str) -> _Path:
        return _Path(self.disk, name)

    def exists(self) -> bool:
        return self.disk.find(self.name) is not None

    def read_bytes(self) -> bytes:
        file = self.disk.find(self.name)
        if file is None:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), self.name)
        return bytes(file.content)

    def replace(self, target: _Path) -> None:
        self.disk.rename(self.name, target.name)

    def unlink(self, missing_ok: bool = False) -> None:
        self.disk.unlink(self.name)


class _Os:
    """The calls of `os` that the node's files are written with; its constants are the real ones."""

    def __init__(self) -> None:
        self._handles: dict[int, _Handle] = {}
        self._numbers = count(1)

    def __getattr__(self, name: str) -> int:
        if name.isupper():
            return int(getattr(os, name))
        raise AttributeError(f"the simulated disk has no os.{name}")

    def geteuid(self) -> int:
        return 1_000  # nobody's files are given to anybody

    def forget(self, disk: Disk) -> None:
        for number in [one for one, handle in self._handles.items() if handle.disk is disk]:
            del self._handles[number]

    def open(self, path: _Path, flags: int, mode: int = 0o777) -> int:
        file = None if flags & os.O_DIRECTORY else path.disk.open(path.name, flags)
        number = next(self._numbers)
        self._handles[number] = _Handle(path.disk, file)
        return number

    def close(self, number: int) -> None:
        self._handles.pop(number, None)

    def write(self, number: int, data: bytes) -> int:
        handle = self._handles[number]
        return handle.disk.write(handle, data)

    def fsync(self, number: int) -> None:
        handle = self._handles[number]
        handle.disk.sync(handle.file)

    fdatasync = fsync

    def lseek(self, number: int, at: int, whence: int) -> int:
        handle = self._handles[number]
        assert handle.file is not None
        handle.at = at + (len(handle.file.content) if whence == os.SEEK_END else 0)
        return handle.at

    def ftruncate(self, number: int, size: int) -> None:
        file = self._handles[number].file
        assert file is not None
        del file.content[size:]

    def truncate(self, path: _Path, size: int) -> None:
        path.disk.boundary()
        file = path.disk.find(path.name)
        assert file is not None
        del file.content[size:]


_os = _Os()


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """While this lasts, the node's files are on simulated disks."""
    modules: list[Any] = [files, wal]
    try:
        for module in modules:
            module.os = _os
        yield
    finally:
        for module in modules:
            module.os = os
        _os._handles.clear()
