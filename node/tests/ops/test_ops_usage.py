"""What the process says of itself."""

from __future__ import annotations

import threading
from pathlib import Path

from provnode.ops.usage import usage

MIB = 1024 * 1024


def test_memory_files_and_threads_are_counted_where_they_are() -> None:
    before = usage()
    block = bytearray(64 * MIB)
    block[::4096] = b"x" * len(block[::4096])
    release = threading.Event()
    thread = threading.Thread(target=release.wait)
    thread.start()
    with Path(__file__).open("rb"), Path(__file__).open("rb"):
        now = usage()
    release.set()
    thread.join()
    assert 60 * MIB < now.anonymous - before.anonymous < 80 * MIB
    assert now.resident >= now.anonymous > 0
    assert now.peak >= now.resident - MIB
    assert now.open_files == before.open_files + 2 <= now.most_files
    assert now.threads == before.threads + 1
    assert now.cpu_seconds >= before.cpu_seconds
