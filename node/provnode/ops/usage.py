"""What this process takes of its host, from proc(5)."""

from __future__ import annotations

import os
import resource
import threading
from dataclasses import dataclass
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Usage:
    """Sizes in bytes, times in seconds.

    `anonymous` is memory of the process's own; what else is resident are pages of files, which the system can
    take back. `open_files` may grow to `most_files`.
    """

    cpu_seconds: float
    resident: int
    anonymous: int
    peak: int
    open_files: int
    most_files: int
    threads: int


def usage() -> Usage:
    """The process as it is now. Raises OSError without a proc file system."""
    _, resident, shared, *_ = map(int, Path("/proc/self/statm").read_text(encoding="ascii").split())
    used = resource.getrusage(resource.RUSAGE_SELF)
    # the folder itself is open while it is read
    files = sum(1 for _ in Path("/proc/self/fd").iterdir()) - 1
    return Usage(
        used.ru_utime + used.ru_stime,
        resident * _PAGE,
        (resident - shared) * _PAGE,
        used.ru_maxrss * 1024,
        files,
        resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        threading.active_count(),
    )
