"""The flow matrix holds: every flow in it passes, from every zone, and nothing else does (A18)."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from provchain.spec import listeners, permits
from provchain.spec.flows import SERVICES
from tests.host import vantage
from tests.host.network import Network
from tests.host.vantage import Target

# services that hosts often run and that nobody declared, and one of the ephemeral range
UNDECLARED = (23, 80, 111, 443, 3306, 5432, 6379, 8080, 9100, 40404)
PATIENCE, SILENCE = 10.0, 1.0
ROUTER = "~router"
"""No zone's name."""


@pytest.fixture(scope="module")
def ports(network: Network) -> tuple[int, ...]:
    """Return every TCP port worth a knock: those of the description's services, and undeclared ones."""
    declared = {network.spec.services.endpoint(service) for service in SERVICES}
    tcp = {endpoint.port for endpoint in declared if endpoint.protocol == "tcp"}
    return tuple(sorted(tcp | set(UNDECLARED)))


@pytest.fixture(scope="module")
def doors(network: Network, ports: tuple[int, ...], all_facts: dict[str, dict[str, Any]]) -> Iterator[None]:
    """Have something listen on every port of every lab host, so that only firewalls keep them closed.

    Not before the hosts have told of their own sockets.
    """
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


@dataclass(frozen=True)
class View:
    """What a zone sees of all hosts; the router's own, what opens when no router filters."""

    permitted: dict[Target, bool]
    forbidden: dict[Target, bool]
    time: dict[Target, bool]


@pytest.fixture(scope="module")
def views(network: Network, ports: tuple[int, ...], doors: None) -> dict[str, View]:
    """Return what each zone sees, and in a lab the router, all looked at side by side."""

    def look(zone: str) -> View:
        addresses = _others(network, zone)
        permitted = _permitted(network, zone, "tcp")
        passing = sorted(target for target in permitted if target[0] in addresses)
        forbidden = [(a, port) for a in addresses for port in ports if (a, port) not in permitted]
        time = [(a, network.port("ntp")) for a in addresses]
        patience = dict.fromkeys(passing, PATIENCE) | dict.fromkeys(forbidden, SILENCE)
        found = vantage.seen(network, zone, patience, dict.fromkeys(time, 2 * SILENCE))
        return View(*({target: found[target] for target in of} for of in (passing, forbidden, time)))

    def past_the_router() -> View:
        targets = [(str(host.address), port) for host in network.spec.hosts for port in ports]
        return View({}, vantage.past_the_router(network, dict.fromkeys(targets, SILENCE)), {})

    places = [*vantage.zones(network), *([ROUTER] if network.spec.backend == "lab" else [])]
    return network.each(places, lambda place: past_the_router() if place == ROUTER else look(place))


def test_what_the_matrix_permits_passes(zone: str, views: dict[str, View]) -> None:
    assert [target for target, opened in views[zone].permitted.items() if not opened] == []


def test_nothing_else_passes(zone: str, views: dict[str, View]) -> None:
    assert views[zone].forbidden
    assert [target for target, opened in views[zone].forbidden.items() if opened] == []


def test_the_time_is_told_to_whom_the_matrix_says(
    zone: str, network: Network, views: dict[str, View]
) -> None:
    seen = views[zone].time
    told = {target for target, answers in seen.items() if answers}
    assert told == _permitted(network, zone, "udp") & set(seen)


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
def test_the_hosts_own_firewall_needs_no_router(name: str, network: Network, views: dict[str, View]) -> None:
    """Knock from the router itself, which no forwarding rule filters: the second wall stands alone."""
    host = network.described(name)
    permitted = _permitted(network, host.zone, "tcp")
    unrouted = views[ROUTER].forbidden
    found = {target: opened for target, opened in unrouted.items() if target[0] == str(host.address)}
    offered = {one.port for one in listeners(network.spec, host)}
    assert found
    assert {t for t, opened in found.items() if opened} == {
        t for t in found if t in permitted and t[1] in offered
    }
