"""Files that are there whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

from provnode.storage.errors import StoreError


def sync_directory(path: Path) -> None:
    """Make the names in `path` durable (a rename is only in the page cache until then)."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def os_error(error: OSError, what: str) -> StoreError:
    """The typed form of an operating system error."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return StoreError("disk_full", f"{what}: {error.strerror}", "free space, then try again")
    return StoreError("io", f"{what}: {error.strerror}", "look at the disk and the file's owner and mode")


def replace_file(path: Path, data: bytes) -> None:
    """Replace `path` by `data`, durably: after a crash it holds the old bytes or the new ones.

    The file is for its owner only (0600), who stays the same. Raises StoreError; then the old file is still
    there.
    """
    temporary = path.with_name(path.name + ".new")
    try:
        handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        try:
            if os.geteuid() == 0 and path.exists():
                there = path.stat()
                os.fchown(handle, there.st_uid, there.st_gid)
            write_all(handle, data)
            os.fsync(handle)
        finally:
            os.close(handle)
        temporary.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise os_error(error, str(path)) from error


def write_all(handle: int, data: bytes) -> None:
    """Write every byte (a single write may stop short when the disk runs full)."""
    view = memoryview(data)
    while view:
        view = view[os.write(handle, view) :]


def settle(new: Path, path: Path) -> None:
    """Give a complete file its name, durably: after a crash `path` is that file or is not there."""
    try:
        handle = os.open(new, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
        new.rename(path)
        sync_directory(path.parent)
    except OSError as error:
        raise os_error(error, str(path)) from error
