"""The flow matrix holds: every flow in it passes, from every zone, and nothing else does (A18)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest

from provchain.spec import listeners, permits
from tests.host import vantage
from tests.host.network import Network
from tests.host.vantage import Target

# services that hosts often run and that nobody declared, and one of the ephemeral range
UNDECLARED = (23, 80, 111, 443, 3306, 5432, 6379, 8080, 9100, 40404)
PATIENCE, SILENCE = 10.0, 1.0


@pytest.fixture(scope="module")
def ports(network: Network) -> tuple[int, ...]:
    """Return every TCP port worth a knock: those of the description's services, and undeclared ones."""
    services = network.spec.services
    declared = {services.endpoint(name) for name in ("ssh", "p2p", "rpc", "ntp")}
    tcp = {endpoint.port for endpoint in declared if endpoint.protocol == "tcp"}
    return tuple(sorted(tcp | set(UNDECLARED)))


@pytest.fixture(scope="module", autouse=True)
def doors(network: Network, ports: tuple[int, ...]) -> Iterator[None]:
    """Have something listen on every port of every lab host, so that only firewalls keep them closed."""
    with contextlib.ExitStack() as stack:
        if network.spec.backend == "lab":
            for name in network.names:
                stack.enter_context(vantage.listening(network, name, ports))
        yield


def _permitted(network: Network, zone: str, protocol: str) -> set[Target]:
    return {
        (str(permit.address), permit.port)
        for permit in permits(network.spec)
        if permit.source_zone == zone and permit.protocol == protocol
    }


def _others(network: Network, zone: str) -> list[str]:
    """Return the addresses to knock at; outside a lab the viewer itself is within its own walls."""
    hosts = network.spec.hosts
    if network.spec.backend != "lab":
        viewer = next(host for host in hosts if host.zone == zone)
        hosts = tuple(host for host in hosts if host is not viewer)
    return [str(host.address) for host in hosts]


def test_what_the_matrix_permits_passes(zone: str, network: Network) -> None:
    reachable = set(_others(network, zone))
    wanted = sorted(t for t in _permitted(network, zone, "tcp") if t[0] in reachable)
    found = vantage.tcp(network, zone, wanted, PATIENCE)
    assert [target for target, opened in found.items() if not opened] == []


def test_nothing_else_passes(zone: str, network: Network, ports: tuple[int, ...]) -> None:
    permitted = _permitted(network, zone, "tcp")
    forbidden = [(a, p) for a in _others(network, zone) for p in ports if (a, p) not in permitted]
    assert forbidden
    found = vantage.tcp(network, zone, forbidden, SILENCE)
    assert [target for target, opened in found.items() if opened] == []


def test_the_time_is_told_to_whom_the_matrix_says(zone: str, network: Network) -> None:
    port = network.spec.services.endpoint("ntp").port
    targets = [(address, port) for address in _others(network, zone)]
    permitted = _permitted(network, zone, "udp")
    found = vantage.ntp(network, zone, targets, 2 * SILENCE)
    assert {target for target, answers in found.items() if answers} == permitted & set(targets)


def test_the_host_drops_by_itself(name: str, facts: dict[str, Any]) -> None:
    """Its own rules have a chain for what comes in, and that chain's last word is drop."""
    rules = json.loads(facts["rules"])["nftables"]
    chains = [entry["chain"] for entry in rules if "chain" in entry]
    inwards = [chain for chain in chains if chain.get("hook") == "input"]
    assert [chain["policy"] for chain in inwards] == ["drop"], name
    forward = [chain for chain in chains if chain.get("hook") == "forward"]
    assert all(chain["policy"] == "drop" for chain in forward), name
    assert facts["units"]["nftables.service"]["show"]["UnitFileState"] == "enabled", name


@pytest.mark.lab
def test_the_hosts_own_firewall_needs_no_router(name: str, network: Network, ports: tuple[int, ...]) -> None:
    """Knock from the router itself, which no forwarding rule filters: the second wall stands alone."""
    host = network.described(name)
    permitted = _permitted(network, host.zone, "tcp")
    own = [(str(host.address), port) for port in ports]
    found = vantage.past_the_router(network, own, SILENCE)
    offered = {one.port for one in listeners(network.spec, host)}
    assert {t for t, opened in found.items() if opened} == {
        t for t in own if t in permitted and t[1] in offered
    }
