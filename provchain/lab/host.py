"""Life cycle of a lab host: a systemd-nspawn container with a whole Debian, sshd and a cable to its zone.

A small supervisor starts nspawn again when the guest rebooted (status 133), in the host's own control
groups, so that nothing of a host can outlive it unseen.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path

from provchain.lab import cgroup, limits, names, netns, root
from provchain.lab.shell import LabError

_BOOT_SECONDS = 30.0
_STOP_SECONDS = 15.0
_JOIN_SECONDS = 3.0
_NSPAWN = Path("/run/systemd/nspawn")
_POWEROFF = signal.SIGRTMIN + 4  # systemd(1): start poweroff.target
_REBOOT = signal.SIGRTMIN + 5  # systemd(1): start reboot.target
# $1: number of groups, then the groups, then nspawn's command. 0 stands for the writer itself.
_SUPERVISOR = """
n=$1; shift; groups=
while [ "$n" -gt 0 ]; do groups="$groups $1"; shift; n=$((n - 1)); done
for g in $groups; do echo 0 >"$g/guard/cgroup.procs"; done
while (for g in $groups; do echo 0 >"$g/machine/cgroup.procs"; done; exec "$@"); [ $? -eq 133 ]; do :; done
"""


@dataclass(frozen=True)
class Host:
    """A host as the lab needs it: where it is plugged in, and who may log in first."""

    network: str
    name: str
    zone: str
    interface: str
    """Its address with the zone's prefix length."""
    gateway: str
    user: str
    port: int
    """Where its sshd listens from the first boot on."""
    neighbours: Mapping[str, str] = field(default_factory=dict)
    """Addresses of the network's hosts by name, itself included."""


def ensure(host: Host) -> str:
    """Bring the host to the state described, whatever is there of it, and return its public SSH key.

    Leftovers of a crash are adopted if they are whole and ended otherwise. Returns when sshd answers.
    Raises LabError if it does not within 30 s, with the end of its console.
    """
    network, name = host.network, host.name
    namespace = names.host_namespace(network, name)
    if not (running(network, name) and root.mounted(network, name)):
        cgroup.end(network, name)
        if not root.exists(network, name):  # half a host is begun anew: nobody has used it yet
            root.remove(network, name)
        root.mount(network, name)
    root.prepare(network, name, host.user, host.port)
    root.name_hosts(network, name, host.neighbours)
    if _cable_problems(host):
        netns.add(namespace)
        interface, gateway = IPv4Interface(host.interface), IPv4Address(host.gateway)
        netns.attach(network, host.zone, names.port(name), namespace, interface, gateway)
    if not running(network, name):
        start(network, name)
    _wait(host)
    return root.host_key(network, name)


def exists(network: str, name: str) -> bool:
    """Return whether the host has a file system, running or not."""
    return root.exists(network, name)


def running(network: str, name: str) -> bool:
    """Return whether the host's supervisor and the first process of its guest are there."""
    return cgroup.guarded(network, name) and leader(network, name) is not None


def problems(host: Host) -> list[str]:
    """Say what differs from ``ensure`` on a host that exists."""
    found = []
    if not running(host.network, host.name):
        found.append("not running")
    if not root.mounted(host.network, host.name):
        found.append("file system is not mounted")
    return found + _cable_problems(host)


def leader(network: str, name: str) -> int | None:
    """Return the process that is number 1 inside the host, by its id out here."""
    for pid in cgroup.processes(network, name):
        with contextlib.suppress(OSError):  # it may have ended by now
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
            inner = next((line.split()[1:] for line in status.splitlines() if line.startswith("NSpid:")), [])
            if len(inner) == 2 and inner[1] == "1":
                return pid
    return None


def start(network: str, name: str) -> None:
    """Start a stopped host under its supervisor; does not wait for its services."""
    groups = [str(group) for group in cgroup.make(network, name)]
    limits.lift()
    namespace = names.host_namespace(network, name)
    machine = [
        "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--link-journal=no",
        "--resolv-conf=off", "--timezone=off", f"--machine={namespace}",
        f"--directory={root.tree(network, name)}", f"--network-namespace-path=/run/netns/{namespace}",
        "--capability=CAP_NET_ADMIN",  # a host's own firewall
    ]  # fmt: skip
    argv = ["setsid", "--fork", "sh", "-c", _SUPERVISOR, namespace, str(len(groups)), *groups, *machine]
    environment = {"PATH": os.environ.get("PATH", os.defpath), "SYSTEMD_NSPAWN_API_VFS_WRITABLE": "network"}
    with (root.folder(network, name) / "console.log").open("ab") as console:
        subprocess.run(
            argv, stdin=subprocess.DEVNULL, stdout=console, stderr=console, env=environment, check=True
        )
    deadline = time.monotonic() + _JOIN_SECONDS  # the supervisor runs beside us and joins its group first
    while not cgroup.guarded(network, name) and time.monotonic() < deadline:
        time.sleep(0.01)


def stop(network: str, name: str) -> None:
    """Shut a host down in order, and by force if it takes longer than 15 s."""
    pid = leader(network, name)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, _POWEROFF)
        deadline = time.monotonic() + _STOP_SECONDS
        while cgroup.processes(network, name) and time.monotonic() < deadline:
            time.sleep(0.05)
    cgroup.end(network, name)


def reboot(network: str, name: str) -> None:
    """Reboot a running host from within; returns when it boots again, LabError after 30 s."""
    pid = leader(network, name)
    if pid is None:
        raise LabError(f"host {name} is not running")
    os.kill(pid, _REBOOT)
    deadline = time.monotonic() + _BOOT_SECONDS
    while leader(network, name) in (None, pid):
        if time.monotonic() > deadline:
            raise LabError(f"host {name} does not come back from its reboot")
        time.sleep(0.05)


def kill(network: str, name: str) -> None:
    """End a host as if its power was cut: all its processes at once, nothing flushed by them."""
    cgroup.end(network, name)


def remove(network: str, name: str) -> None:
    """Remove a host with its processes, mounts, namespace, cable, control groups and files; repeatable."""
    cgroup.end(network, name)
    cgroup.discard(network, name)
    _forget(network, name)
    root.remove(network, name)
    netns.unplug(network, names.port(name))
    netns.delete(names.host_namespace(network, name))


def reset(host: Host) -> str:
    """Make the host anew from the image, with a new SSH key, which is returned."""
    remove(host.network, host.name)
    return ensure(host)


def wait(network: str, name: str, address: str, port: int, seconds: float = _BOOT_SECONDS) -> None:
    """Return when the host's sshd answers on its own address; raises LabError after ``seconds``.

    Asked from inside the host's namespace, so that no firewall decides on the answer.
    """
    deadline = time.monotonic() + seconds
    namespace = names.host_namespace(network, name)
    while not netns.banner(namespace, address, port, timeout=2.0).startswith(b"SSH-"):
        if time.monotonic() > deadline or not cgroup.guarded(network, name):
            console = root.folder(network, name) / "console.log"
            raise LabError(
                f"{name}: sshd did not answer on {address}:{port}",
                cause=console.read_text(encoding="utf-8", errors="replace")[-800:].strip(),
                remedy=f"see {console}",
            )
        time.sleep(0.03)


def _forget(network: str, name: str) -> None:
    """Remove the two files in /run that nspawn leaves when it is killed."""
    if root.mounted(network, name):
        tree = root.tree(network, name).stat()
        (_NSPAWN / "locks" / f"inode-{tree.st_dev}:{tree.st_ino}").unlink(missing_ok=True)
    with contextlib.suppress(FileNotFoundError):
        (_NSPAWN / "propagate" / names.host_namespace(network, name)).rmdir()


def _wait(host: Host) -> None:
    wait(host.network, host.name, str(IPv4Interface(host.interface).ip), host.port)


def _cable_problems(host: Host) -> list[str]:
    namespace = names.host_namespace(host.network, host.name)
    return netns.problems(
        host.network, host.zone, names.port(host.name), namespace, IPv4Interface(host.interface)
    )
