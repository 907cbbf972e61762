"""Network namespaces, virtual links, and sockets that are opened inside a namespace."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from ipaddress import IPv4Address, IPv4Interface
from pathlib import Path
from typing import Any, TypeVar

from provchain.lab import names
from provchain.lab.shell import LabError, run
from provchain.paths import runtime_dir

_FOLDER = Path("/run/netns")
_CLONE_NEWNET = 0x40000000  # <sched.h>
T = TypeVar("T")


def exists(namespace: str) -> bool:
    """Return whether a network namespace of this name is there and mounted."""
    return os.path.ismount(_FOLDER / namespace)


def add(namespace: str) -> None:
    """Make a network namespace with its loopback up; one that is there already is kept."""
    if not exists(namespace):
        (_FOLDER / namespace).unlink(missing_ok=True)  # left by a reboot or a crash in between
        run("ip", "netns", "add", namespace)
    run("ip", "-n", namespace, "link", "set", "lo", "up")


def delete(namespace: str) -> None:
    """Remove a network namespace by name with all links in it, if it is there."""
    if (_FOLDER / namespace).exists():
        run("ip", "netns", "delete", namespace)


def of_network(network: str) -> list[str]:
    """Return the names of all namespaces of a network."""
    if not _FOLDER.is_dir():
        return []
    return sorted(path.name for path in _FOLDER.iterdir() if names.owned_namespace(network, path.name))


@contextlib.contextmanager
def plumbing(network: str) -> Iterator[None]:
    """Hold the network's lock: links of one network are laid by one process or thread at a time."""
    with (runtime_dir(network) / "plumbing.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def link(namespace: str, name: str) -> dict[str, Any] | None:
    """Return what the kernel says of a link (flags, master …), or None if there is none."""
    found = _ask(namespace, "-d", "link", "show", "dev", name)
    return found[0] if found else None


def addresses(namespace: str, name: str) -> list[str]:
    """Return a link's IPv4 addresses with prefix lengths, or nothing if the link is missing."""
    found = _ask(namespace, "-4", "address", "show", "dev", name)
    return [f"{info['local']}/{info['prefixlen']}" for entry in found for info in entry.get("addr_info", [])]


def attach(
    network: str, zone: str, port: str, namespace: str, address: IPv4Interface, gateway: IPv4Address
) -> None:
    """Lead a cable from a zone's bridge to ``eth0`` of a namespace, with its address and default route.

    The port is isolated: even neighbours of a zone reach each other only through the router, which
    answers for them, so that one set of rules governs all traffic. An older cable is replaced.
    """
    lab = names.lab_namespace(network)
    with plumbing(network):
        if link(lab, port) is not None:
            run("ip", "-n", lab, "link", "delete", port)
        if link(namespace, "eth0") is not None:  # its other end is somewhere wrong
            run("ip", "-n", namespace, "link", "delete", "eth0")
        run(
            "ip", "-n", lab, "link", "add", port, "type", "veth",
            "peer", "name", "eth0", "address", names.mac(address.ip), "netns", namespace,
        )  # fmt: skip
        run(
            "ip", "-n", lab, "-batch", "-",
            stdin=f"link set {port} master {names.bridge(zone)} up\n"
            f"link set {port} type bridge_slave isolated on\n",
        )  # fmt: skip
        run(
            "ip", "-n", namespace, "-batch", "-",
            stdin=f"address add {address} dev eth0\nlink set eth0 up\nroute add default via {gateway}\n",
        )  # fmt: skip


def unplug(network: str, port: str) -> None:
    """Remove a cable with both its ends, if it is there."""
    lab = names.lab_namespace(network)
    with plumbing(network):
        if link(lab, port) is not None:
            run("ip", "-n", lab, "link", "delete", port)


def problems(network: str, zone: str, port: str, namespace: str, address: IPv4Interface) -> list[str]:
    """Say what differs from the cable that ``attach`` lays; nothing if all is well."""
    if not exists(namespace):
        return [f"namespace {namespace} is missing"]
    found = []
    outer = link(names.lab_namespace(network), port)
    if outer is None:
        return [f"port {port} is missing"]
    if outer.get("master") != names.bridge(zone):
        found.append(f"port {port} is not on bridge {names.bridge(zone)}")
    if "UP" not in outer.get("flags", []):
        found.append(f"port {port} is down")
    if str(address) not in addresses(namespace, "eth0"):
        found.append(f"eth0 does not have {address}")
    return found


def inside(namespace: str, action: Callable[[], T]) -> T:
    """Run ``action`` in a thread that has entered a namespace; sockets it opens stay there.

    Raises LabError if the namespace can't be entered, and whatever ``action`` raises.
    """
    result: list[T] = []
    failure: list[BaseException] = []

    def enter() -> None:
        try:
            with (_FOLDER / namespace).open("rb") as handle:
                libc = ctypes.CDLL(None, use_errno=True)
                if libc.setns(handle.fileno(), _CLONE_NEWNET) != 0:
                    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
            result.append(action())
        except BaseException as problem:
            failure.append(problem)

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    if failure:
        if isinstance(failure[0], OSError):
            raise LabError(f"namespace {namespace} can't be used", cause=str(failure[0])) from failure[0]
        raise failure[0]
    return result[0]


def banner(namespace: str, address: str, port: int, timeout: float) -> bytes:
    """Return the first bytes that a TCP service sends by itself, asked for inside a namespace.

    Empty if nothing listens or nothing comes within ``timeout`` seconds.
    """

    def ask() -> bytes:
        try:
            with socket.create_connection((address, port), timeout=timeout) as connection:
                return connection.recv(64)
        except OSError:
            return b""

    return inside(namespace, ask)


def _ask(namespace: str, *question: str) -> list[dict[str, Any]]:
    if not exists(namespace):
        return []
    answer = run("ip", "-json", "-n", namespace, *question, accept=(0, 1))  # 1: no such device
    return [entry for entry in json.loads(answer or "[]") if entry]
