"""See a network as a zone sees it: open connections from a short-lived namespace on the zone's bridge."""

from __future__ import annotations

import errno
import fcntl
import selectors
import socket
import time
from collections.abc import Sequence
from ipaddress import IPv4Interface

from provchain.lab import names, netns
from provchain.paths import runtime_dir
from provchain.spec import ChainSpec

Target = tuple[str, int]


def connect(
    spec: ChainSpec, zone: str, targets: Sequence[Target], timeout: float = 2.0
) -> dict[Target, bool]:
    """Say for each ``(address, port)`` whether a TCP connection from the zone's probe address opens.

    All are tried at once; one that is not open after ``timeout`` seconds is False, as is a refused one.
    Probes of one zone wait for each other. Raises LabError if the network is not there.
    """
    network, place = spec.network, spec.zone(zone)
    namespace, port = names.probe_namespace(network, zone), names.probe_port(zone)
    address = IPv4Interface(f"{place.probe}/{place.cidr.prefixlen}")
    with (runtime_dir(network) / f"probe-{zone}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            netns.add(namespace)  # one that a crash left is used again, and removed
            netns.attach(network, zone, port, namespace, address, place.router)
            return netns.inside(namespace, lambda: _connect(targets, timeout))
        finally:
            netns.unplug(network, port)
            netns.delete(namespace)


def _connect(targets: Sequence[Target], timeout: float) -> dict[Target, bool]:
    result = dict.fromkeys(targets, False)
    deadline = time.monotonic() + timeout
    with selectors.DefaultSelector() as selector:
        for target in result:
            attempt = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
            if attempt.connect_ex(target) not in (0, errno.EINPROGRESS):
                attempt.close()
                continue
            selector.register(attempt, selectors.EVENT_WRITE, target)
        while selector.get_map() and (left := deadline - time.monotonic()) > 0:
            for key, _ in selector.select(left):
                selector.unregister(key.fileobj)
                _finish(key.fileobj, key.data, result)
        for key in list(selector.get_map().values()):
            _finish(key.fileobj, None, result)
    return result


def _finish(attempt: object, target: Target | None, result: dict[Target, bool]) -> None:
    assert isinstance(attempt, socket.socket)  # noqa: S101 - the selector knows it as "file or number"
    if target is not None:
        result[target] = attempt.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    attempt.close()
