"""The base image of lab hosts: a minimal Debian, unpacked once into the cache and shared by overlayfs.

It holds what a cloud image would: systemd, sshd, sudo, Python for the configuration tool, and the tools
that roles configure, because lab hosts have no route to a package mirror. It has no SSH host key and no
user; a host gets its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from provchain.lab.shell import LabError, run
from provchain.paths import cache

SUITE = "bookworm"
PACKAGES = (
    "aide",
    "aide-common",
    "auditd",
    "chrony",
    "cracklib-runtime",
    "cron",
    "dbus",
    "iproute2",
    "less",
    "libfaketime",
    "libpam-pwquality",
    "libpam-systemd",
    "libssl3",
    "logrotate",
    "netcat-openbsd",
    "nftables",
    "openssh-server",
    "openssl",
    "procps",
    "python3",
    "rsyslog",
    "rsyslog-relp",
    "sudo",
    "systemd",
    "systemd-sysv",
)
# Run in the finished tree ($1). Keys and ids must be a host's own; nspawn's console is no terminal.
_HOOKS = (
    'rm -f "$1"/etc/ssh/ssh_host_*',
    ': >"$1"/etc/machine-id; rm -f "$1"/var/lib/dbus/machine-id',
    'chroot "$1" systemctl mask console-getty.service getty.target',
    # a container has no kernel of its own to be audited: its machine's auditd does that
    'chroot "$1" systemctl mask auditd.service',
    'rm -f "$1"/etc/resolv.conf "$1"/etc/hostname; : >"$1"/etc/resolv.conf',
)


def key() -> str:
    """Return the image's name in the cache: a digest of all that goes into it."""
    recipe = json.dumps([SUITE, PACKAGES, _HOOKS])
    return hashlib.sha256(recipe.encode()).hexdigest()[:16]


def path() -> Path:
    """Return the folder of the unpacked image, whether it is there yet or not."""
    return cache() / "image" / key()


def ensure(progress: Callable[[str], None] = lambda _: None) -> Path:
    """Return the unpacked image, building it if it is missing.

    Safe to interrupt: the tree is built under another name and renamed when complete. Whoever comes
    second waits for the first. Raises LabError if the packages can't be had.
    """
    target = path()
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    with _alone(target.parent / ".lock") as lock:
        if not target.is_dir():
            for stale in target.parent.glob(".building-*"):
                run("rm", "-rf", "--one-file-system", str(stale))
            building = Path(tempfile.mkdtemp(prefix=".building-", dir=target.parent))
            _build(building, lock, progress)
            building.chmod(0o755)
            building.rename(target)
    return target


def _build(target: Path, lock: int, progress: Callable[[str], None]) -> None:
    progress(f"unpacking {SUITE} with {len(PACKAGES)} packages")
    hooks = [f"--customize-hook={hook}" for hook in _HOOKS]
    # A mount namespace of its own: mounts that a killed build would leave vanish with it. The build
    # inherits the lock, so that an orphan still holds it and nobody deletes the tree under it.
    argv = ["unshare", "--mount", "mmdebstrap", "--mode=root", "--variant=minbase", "--format=directory"]
    argv += [f"--include={','.join(PACKAGES)}", *hooks, *_proxy(), SUITE, str(target), *_sources()]
    log: list[str] = []
    with subprocess.Popen(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        pass_fds=(lock,),
    ) as process:
        assert process.stderr is not None  # noqa: S101 - asked for with PIPE
        for line in process.stderr:
            log.append(line.rstrip())
            if line.startswith("I: "):
                progress(line[3:].rstrip())
    if process.returncode != 0:
        raise LabError(
            "the lab's base image could not be built",
            cause="\n".join(log[-8:]),
            remedy="check that apt-get update works on this machine",
        )


def _sources() -> list[str]:
    """Return this machine's own Debian mirrors, where its packages come from too."""
    fields = "$(ORIGIN) $(RELEASE) $(COMPONENT) $(REPO_URI)"
    lines = run("apt-get", "indextargets", "--format", fields, "Created-By: Packages").splitlines()
    found = [line.split(" ") for line in lines]
    own = [f for f in found if len(f) == 4 and f[0] == "Debian" and f[1].startswith(SUITE) and f[2] == "main"]
    return list(dict.fromkeys(f"deb {uri} {suite} {component}" for _, suite, component, uri in own))


def _proxy() -> list[str]:
    lines = run("apt-config", "dump", "Acquire::http::Proxy", "Acquire::https::Proxy").splitlines()
    return [f"--aptopt={line}" for line in lines if '""' not in line]


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[int]:
    with path.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield handle.fileno()
