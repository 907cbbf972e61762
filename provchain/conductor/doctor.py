"""Say what this machine lacks for a lab, before anything is tried."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from provchain.paths import home

_COMMANDS = {
    "systemd-nspawn": "systemd-container",
    "mmdebstrap": "mmdebstrap",
    "nft": "nftables",
    "ip": "iproute2",
    "nsenter": "util-linux",
    "nc": "netcat-openbsd",
    "ssh": "openssh-client",
    "openssl": "openssl",
    "gcc": "gcc",
}
_DISK_GIB = 5
_MEMORY_GIB = 3


@dataclass(frozen=True)
class Check:
    """One thing looked at: its name, whether it is as needed, what was found, and the remedy if not."""

    name: str
    ok: bool
    found: str
    remedy: str = ""

    def as_dict(self) -> dict[str, object]:
        """Return the check for ``--json``."""
        return asdict(self)


def checks() -> list[Check]:
    """Look at the machine; changes nothing."""
    return [check() for check in (_root, _python, _hash, _memory, _disk, _cgroups, _engine)] + _commands()


def _root() -> Check:
    user = os.geteuid()
    return Check("root", user == 0, f"user id {user}", "run as root: namespaces and hosts need it")


def _python() -> Check:
    found = ".".join(map(str, sys.version_info[:3]))
    return Check("python", sys.version_info[:2] == (3, 11), found, "run tools/bootstrap on Debian 12")


def _hash() -> Check:
    import hashlib

    ok = "sm3" in hashlib.algorithms_available
    return Check("SM3", ok, "in OpenSSL" if ok else "missing", "use an OpenSSL 3 that was built with SM3")


def _memory() -> Check:
    kib = next(
        int(line.split()[1])
        for line in Path("/proc/meminfo").read_text().splitlines()
        if line.startswith("MemAvailable")
    )
    return Check(
        "memory", kib >= _MEMORY_GIB * 2**20, f"{kib / 2**20:.1f} GiB free", f"{_MEMORY_GIB} GiB are needed"
    )


def _disk() -> Check:
    place = home() if home().exists() else Path("/")
    free = shutil.disk_usage(place).free / 2**30
    return Check("disk", free >= _DISK_GIB, f"{free:.1f} GiB free at {place}", f"{_DISK_GIB} GiB are needed")


def _cgroups() -> Check:
    mounts = Path("/proc/mounts").read_text().splitlines()
    writable = [
        m.split()[1] for m in mounts if m.split()[2].startswith("cgroup") and "rw" in m.split()[3].split(",")
    ]
    return Check("cgroups", bool(writable), f"{len(writable)} writable hierarchies", "mount cgroups writable")


def _engine() -> Check:
    pulumi, go = shutil.which("pulumi"), shutil.which("go")
    found = pulumi or (f"none; will be built with {go}" if go else "none; will be built with Go from PyPI")
    return Check("pulumi engine", True, found)


def _commands() -> list[Check]:
    found = {
        name: shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") for name in _COMMANDS
    }
    return [
        Check(name, path is not None, path or "missing", f"apt-get install {_COMMANDS[name]}")
        for name, path in found.items()
    ]
