"""Control groups of lab hosts: one subtree a host in every hierarchy, ``provchain/<network>/<host>``.

Its child ``guard`` holds the supervisor and ``machine`` the container, so that no process sits in an
inner group. Works with a unified hierarchy and beside version 1 controllers (``/proc/mounts`` tells);
the unified one is what counts processes and ends them.
"""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path

from provchain.lab.shell import LabError

_ROOT = "provchain"
_PARTS = ("guard", "machine")
_END_SECONDS = 10.0


def hierarchies(mounts: str | None = None) -> list[tuple[Path, bool]]:
    """Return the mount point of every hierarchy, and whether it is the unified one.

    ``mounts`` is the text of ``/proc/mounts`` and is read from there by default.
    """
    text = Path("/proc/mounts").read_text(encoding="utf-8") if mounts is None else mounts
    rows = [line.split() for line in text.splitlines()]
    return [(Path(row[1]), row[2] == "cgroup2") for row in rows if row[2] in ("cgroup", "cgroup2")]


def make(network: str, host: str) -> list[Path]:
    """Make a host's groups in each hierarchy and return them; what exists already is kept."""
    groups = []
    for mount, _ in hierarchies():
        group = mount / _ROOT / network / host
        for part in _PARTS:
            (group / part).mkdir(parents=True, exist_ok=True)
        for folder in (mount / _ROOT, group.parent, group, *(group / part for part in _PARTS)):
            _allow_cpus(folder)
        groups.append(group)
    return groups


def processes(network: str, host: str) -> list[int]:
    """Return the ids of all processes of a host, its supervisor included."""
    found: set[int] = set()
    for folder, _, _ in os.walk(_unified(network, host)):
        with contextlib.suppress(OSError):  # a group may vanish while it is read
            ids = Path(folder, "cgroup.procs").read_text(encoding="ascii")
            found.update(int(pid) for pid in ids.split())
    return sorted(found)


def guarded(network: str, host: str) -> bool:
    """Return whether the host's supervisor is there."""
    try:
        return bool((_unified(network, host) / "guard" / "cgroup.procs").read_text(encoding="ascii").strip())
    except OSError:
        return False


def end(network: str, host: str) -> None:
    """Kill every process of a host at once, orphans too; raises LabError if one stays for 10 s."""
    group = _unified(network, host)
    if not group.is_dir():
        return
    deadline = time.monotonic() + _END_SECONDS
    (group / "cgroup.kill").write_text("1", encoding="ascii")
    while processes(network, host):
        if time.monotonic() > deadline:
            raise LabError(f"processes of {host} do not end", cause=str(processes(network, host)))
        time.sleep(0.01)


def discard(network: str, host: str) -> None:
    """Remove a host's groups, and its network's when they were the last; its processes must have ended."""
    for mount, _ in hierarchies():
        group = mount / _ROOT / network / host
        inner = sorted(group.rglob("*/"), key=lambda path: len(path.parts), reverse=True)
        for folder in [*(path for path in inner if path.is_dir()), group]:
            _remove(folder)
        for folder in (group.parent, mount / _ROOT):
            with contextlib.suppress(OSError):  # other hosts or networks are in it
                folder.rmdir()


def hosts(network: str) -> set[str]:
    """Return the hosts of a network that have a group in some hierarchy."""
    found: set[str] = set()
    for mount, _ in hierarchies():
        folder = mount / _ROOT / network
        if folder.is_dir():
            found.update(path.name for path in folder.iterdir() if path.is_dir())
    return found


def in_use() -> bool:
    """Return whether any host of any network has a group."""
    return any(path.is_dir() for mount, _ in hierarchies() for path in (mount / _ROOT).glob("*"))


def _remove(folder: Path) -> None:
    deadline = time.monotonic() + _END_SECONDS
    while folder.is_dir():
        try:
            folder.rmdir()
        except OSError as problem:  # the last process leaves a group a moment after its end
            if time.monotonic() > deadline:
                raise LabError(f"control group {folder} can't be removed", cause=str(problem)) from problem
            time.sleep(0.01)


def _unified(network: str, host: str) -> Path:
    for mount, unified in hierarchies():
        if unified:
            return mount / _ROOT / network / host
    raise LabError("this machine has no unified control group hierarchy", remedy="mount cgroup2")


def _allow_cpus(folder: Path) -> None:
    """Give a version 1 cpuset its parent's processors and memory; without them nothing may join it."""
    for name in ("cpuset.cpus", "cpuset.mems"):
        file = folder / name
        if file.is_file() and not file.read_text(encoding="ascii").strip():
            parent = folder.parent / name
            if parent.is_file():  # the unified root has none, and needs none
                file.write_text(parent.read_text(encoding="ascii"), encoding="ascii")
