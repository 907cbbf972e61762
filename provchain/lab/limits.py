"""The machine's limit that lab hosts need raised, while any lab host of any network is there.

A guest takes about eight inotify instances, and all count as root's: with the kernel's default of 128 the
systemd of a third network would not start.
"""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import Iterator
from pathlib import Path

from provchain.lab import cgroup

_INSTANCES = 4096
_LIMIT = Path("/proc/sys/fs/inotify/max_user_instances")
# gone with the next boot, as what it remembers is; no network's name holds a hyphen
_FOUND = Path("/run/provchain/found-inotify-instances")


def lift() -> None:
    """Raise the limit and remember what it was. The caller's host has its control groups already."""
    with _locked():
        found = int(_LIMIT.read_text(encoding="ascii"))
        if found < _INSTANCES:
            _FOUND.write_text(f"{found}\n", encoding="ascii")
            _LIMIT.write_text(str(_INSTANCES), encoding="ascii")


def restore() -> None:
    """Once no lab host is left, set the limit back, unless somebody else has changed it since."""
    with _locked():
        if cgroup.in_use() or not _FOUND.exists():
            return
        if int(_LIMIT.read_text(encoding="ascii")) == _INSTANCES:
            _LIMIT.write_text(_FOUND.read_text(encoding="ascii"), encoding="ascii")
        _FOUND.unlink()


@contextlib.contextmanager
def _locked() -> Iterator[None]:
    """Networks come and go side by side."""
    _FOUND.parent.mkdir(exist_ok=True)
    with _FOUND.with_suffix(".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
