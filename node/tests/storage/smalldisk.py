"""A real file system of a few hundred KiB, to see what a full disk does."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def small_disk(place: Path, kib: int) -> Iterator[Path]:
    """Mount a tmpfs of `kib` KiB at `place` meanwhile."""
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kib}k", "tmpfs", place], check=True)
    try:
        yield place
    finally:
        # lazy: a test that failed may have left a file open, and the mount must go all the same
        subprocess.run(["umount", "--lazy", place], check=True)
