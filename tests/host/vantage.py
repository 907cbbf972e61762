"""See hosts as a zone sees them: what opens, and what answers.

In a lab from an address of the zone that no host has; elsewhere from a host of the zone over SSH.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from ipaddress import IPv4Interface
from pathlib import Path
from typing import cast

from provchain.lab import names, netns
from tests.host.network import Network

Target = tuple[str, int]
_SCRIPT = Path(__file__).with_name("remote") / "probe.py"


def zones(network: Network) -> list[str]:
    """Return the zones that can be looked from: all of a lab's, elsewhere those that have a host."""
    spec = network.spec
    inhabited = {host.zone for host in spec.hosts}
    return [zone.name for zone in spec.zones if spec.backend == "lab" or zone.name in inhabited]


def seen(
    network: Network, zone: str, tcp: Mapping[Target, float], ntp: Mapping[Target, float]
) -> dict[Target, bool]:
    """Say which TCP ports open and which addresses tell the time, seen from a zone, all tried side by side.

    Each target with the seconds that it has time.
    """
    question = _question(tcp, ntp)
    if network.spec.backend != "lab":
        viewer = next(host.name for host in network.spec.hosts if host.zone == zone)
        found = network.python(viewer, "probe.py", question)
    else:
        with _guest(network, zone) as namespace:
            found = _within(namespace, question)
    return _answers(tcp, found["tcp"]) | _answers(ntp, found["ntp"])


def past_the_router(network: Network, tcp: Mapping[Target, float]) -> dict[Target, bool]:
    """Say which ports of a lab's hosts open when no router filters, so that the hosts' own rules decide."""
    found = _within(names.lab_namespace(network.spec.network), _question(tcp, {}))
    return _answers(tcp, found["tcp"])


def _question(tcp: Mapping[Target, float], ntp: Mapping[Target, float]) -> dict[str, object]:
    asked = {"tcp": tcp, "ntp": ntp}
    return {kind: [[*target, seconds] for target, seconds in of.items()] for kind, of in asked.items()}


def _answers(asked: Mapping[Target, float], found: Sequence[bool]) -> dict[Target, bool]:
    return dict(zip(asked, found, strict=True))


@contextlib.contextmanager
def _guest(network: Network, zone: str) -> Iterator[str]:
    """Hold a namespace with the zone's probe address."""
    spec = network.spec
    place, name = spec.zone(zone), spec.network
    namespace, port = names.probe_namespace(name, zone), names.probe_port(zone)
    try:
        netns.add(namespace)  # one that a crash left is used again, and removed
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


def _within(namespace: str, question: object) -> dict[str, list[bool]]:
    """Run the probe in a namespace of this machine."""
    argv = ["nsenter", f"--net=/run/netns/{namespace}", sys.executable, "-I", str(_SCRIPT)]
    done = subprocess.run([*argv, json.dumps(question)], capture_output=True, text=True, check=True)
    return cast(dict[str, list[bool]], json.loads(done.stdout))
