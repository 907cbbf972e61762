"""See hosts as a zone sees them: what opens, and what answers.

In a lab from an address of the zone that no host has; elsewhere from a host of the zone over SSH.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Interface
from pathlib import Path
from typing import cast

from provchain.lab import names, netns, probe
from tests.host.network import Network

Target = tuple[str, int]
_SCRIPT = Path(__file__).with_name("remote") / "probe.py"


def zones(network: Network) -> list[str]:
    """Return the zones that can be looked from: all of a lab's, elsewhere those that have a host."""
    spec = network.spec
    inhabited = {host.zone for host in spec.hosts}
    return [zone.name for zone in spec.zones if spec.backend == "lab" or zone.name in inhabited]


def tcp(network: Network, zone: str, targets: Sequence[Target], seconds: float) -> dict[Target, bool]:
    """Say which TCP ports open, seen from a zone."""
    if network.spec.backend == "lab":
        return probe.connect(network.spec, zone, targets, seconds)
    found = network.python(_viewer(network, zone), "probe.py", _question(targets, [], seconds))
    return dict(zip(targets, found["tcp"], strict=True))


def ntp(network: Network, zone: str, targets: Sequence[Target], seconds: float) -> dict[Target, bool]:
    """Say which addresses answer a question for the time, seen from a zone."""
    question = _question([], targets, seconds)
    if network.spec.backend != "lab":
        found = network.python(_viewer(network, zone), "probe.py", question)
        return dict(zip(targets, found["ntp"], strict=True))
    with _guest(network, zone) as namespace:
        return dict(zip(targets, _within(namespace, question)["ntp"], strict=True))


def _question(tcp: Sequence[Target], ntp: Sequence[Target], seconds: float) -> dict[str, object]:
    return {"tcp": list(tcp), "ntp": list(ntp), "seconds": seconds}


def _viewer(network: Network, zone: str) -> str:
    return next(host.name for host in network.spec.hosts if host.zone == zone)


@contextlib.contextmanager
def _guest(network: Network, zone: str) -> Iterator[str]:
    """Hold a namespace with the zone's probe address, beside those of ``probe.connect``."""
    spec = network.spec
    place, name = spec.zone(zone), spec.network
    namespace, port = names.host_namespace(name, f"~n-{zone}"), f"n-{zone}"
    try:
        netns.add(namespace)
        address = IPv4Interface(f"{place.probe}/{place.cidr.prefixlen}")
        netns.attach(name, zone, port, namespace, address, place.router)
        yield namespace
    finally:
        netns.unplug(name, port)
        netns.delete(namespace)


@contextlib.contextmanager
def listening(network: Network, host: str, ports: Sequence[int]) -> Iterator[None]:
    """Listen on ports of a lab host for a while, in its network but not on the host itself.

    Without this a port on which nothing listens looks closed, whatever the firewalls do. Ports that are in
    use already are left alone.
    """
    address = str(network.described(host).address)

    def listen() -> list[socket.socket]:
        opened = []
        for port in ports:
            one = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                one.bind((address, port))
                one.listen(16)
            except OSError:
                one.close()  # the host listens there itself
            else:
                opened.append(one)
        return opened

    namespace = names.host_namespace(network.spec.network, host)
    sockets = netns.inside(namespace, listen)
    try:
        within = netns.inside(namespace, lambda: [_opens(address, port) for port in ports])
        assert all(within), f"{host}: nothing listens on {ports}: {within}"
        yield
    finally:
        for one in sockets:
            one.close()


def _opens(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), timeout=2).close()
    except OSError:
        return False
    return True


def past_the_router(network: Network, targets: Sequence[Target], seconds: float) -> dict[Target, bool]:
    """Say which ports of a lab's hosts open when no router filters, so that the hosts' own rules decide."""

    found = _within(names.lab_namespace(network.spec.network), _question(targets, [], seconds))
    return dict(zip(targets, found["tcp"], strict=True))


def _within(namespace: str, question: object) -> dict[str, list[bool]]:
    """Run the probe in a namespace of this machine."""
    argv = ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, "-I", str(_SCRIPT)]
    done = subprocess.run([*argv, json.dumps(question)], capture_output=True, text=True, check=True)
    return cast(dict[str, list[bool]], json.loads(done.stdout))
