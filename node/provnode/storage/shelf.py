"""The state snapshots that a node keeps for others: a folder a height, there whole or not at all."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable
from pathlib import Path

from provnode.storage.errors import StoreError
from provnode.storage.files import os_error, replace_file, sync_directory
from provnode.storage.sealing import PLAIN, Sealing

KEPT = 2
_MANIFEST = "manifest"

Write = Callable[[Callable[[int, bytes], None]], bytes]
"""Gives every chunk, with its index, to the function that keeps it, and returns the manifest."""


class Shelf:
    """The snapshots under one folder; what a crash left half done is removed. Raises StoreError."""

    def __init__(self, folder: Path, sealing: Sealing = PLAIN) -> None:
        self._folder = folder
        self._sealing = sealing
        self._lock = threading.Lock()
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            for path in folder.iterdir():
                if not (path / _MANIFEST).is_file() or not path.name.isdigit():
                    shutil.rmtree(path)
        except OSError as error:
            raise os_error(error, str(folder)) from error

    def heights(self) -> list[int]:
        """Of which heights there are snapshots, ascending."""
        return sorted(int(path.name) for path in self._folder.iterdir() if path.name.isdigit())

    def add(self, height: int, write: Write) -> None:
        """Keep another snapshot and drop all but the newest. Raises StoreError."""
        new = self._folder / f"{height}.new"
        try:
            shutil.rmtree(new, ignore_errors=True)
            new.mkdir(mode=0o700)
            try:
                manifest = write(
                    lambda index, raw: replace_file(new / str(index), self._seal(height, str(index), raw))
                )
                replace_file(new / _MANIFEST, self._seal(height, _MANIFEST, manifest))
                with self._lock:
                    if not (self._folder / str(height)).exists():
                        new.rename(self._folder / str(height))
                        sync_directory(self._folder)
                    for old in self.heights()[:-KEPT]:
                        shutil.rmtree(self._folder / str(old))
            finally:
                shutil.rmtree(new, ignore_errors=True)
        except OSError as error:
            raise os_error(error, str(self._folder)) from error

    def newest(self) -> tuple[int, bytes] | None:
        """Height and manifest of the newest snapshot. Raises StoreError."""
        with self._lock:
            heights = self.heights()
            if not heights:
                return None
            raw = self._read(heights[-1], _MANIFEST)
        return None if raw is None else (heights[-1], raw)

    def chunk(self, height: int, index: int) -> bytes | None:
        """A chunk, None where there is no such one (any more). Raises StoreError."""
        return self._read(height, str(index))

    def _seal(self, height: int, name: str, raw: bytes) -> bytes:
        return self._sealing.seal(_place(height, name), raw)

    def _read(self, height: int, name: str) -> bytes | None:
        try:
            raw = (self._folder / str(height) / name).read_bytes()
            return self._sealing.open(_place(height, name), raw)
        except FileNotFoundError:
            return None
        except StoreError:
            return None  # sealed under a data key that is in use no longer, or damaged: the next one follows
        except OSError as error:
            raise os_error(error, str(self._folder)) from error


def _place(height: int, name: str) -> bytes:
    return f"snapshot {height} {name}".encode()
