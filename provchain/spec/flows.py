"""From the flow matrix to single permits: who may open a connection to which address and port. Pure.

Everything that filters or proves traffic (router, host firewalls, probes) derives from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import get_args

from provchain.spec.model import ChainSpec, Flow, Host, NodeRole, ServiceName

SERVICES: tuple[ServiceName, ...] = get_args(ServiceName)


@dataclass(frozen=True, slots=True)
class Permit:
    """Any address of ``source`` may open a connection to ``address``; answers follow by state."""

    source: IPv4Network
    source_zone: str
    target: str
    target_zone: str
    address: IPv4Address
    protocol: str
    port: int
    service: str


@dataclass(frozen=True, slots=True)
class Listener:
    """A socket that a host opens on its own address."""

    service: str
    protocol: str
    port: int


def offered(roles: tuple[NodeRole, ...]) -> tuple[ServiceName, ...]:
    """Return the services that a host with these roles listens on, in a fixed order."""
    node = bool({"validator", "full", "rpc"} & set(roles))
    on: dict[ServiceName, bool] = {
        "ssh": True,
        "ntp": "time" in roles,
        "logs": "logs" in roles,
        "p2p": node,
        "rpc": node,
    }
    return tuple(service for service in SERVICES if on[service])


def targets(spec: ChainSpec, flow: Flow) -> tuple[Host, ...]:
    """Return the hosts that a flow leads to, in the spec's order."""
    return tuple(
        host
        for host in spec.hosts
        if host.zone == flow.target
        and flow.service in offered(host.roles)
        and (flow.to_role is None or flow.to_role in host.roles)
    )


def permits(spec: ChainSpec) -> tuple[Permit, ...]:
    """Return everything that may pass, each once, ordered by source zone, target zone, target, service."""
    zones = {zone.name: zone for zone in spec.zones}
    found = set()
    for flow in spec.flows:
        protocol, port = spec.services.endpoint(flow.service)
        for host in targets(spec, flow):
            source = zones[flow.source]
            found.add(
                Permit(
                    source.cidr, source.name, host.name, host.zone, host.address, protocol, port, flow.service
                )
            )
    return tuple(sorted(found, key=lambda p: (p.source_zone, p.target_zone, p.target, p.service)))


def inbound(spec: ChainSpec, host: Host) -> tuple[Permit, ...]:
    """Return what others may open to this host."""
    return tuple(permit for permit in permits(spec) if permit.target == host.name)


def outbound(spec: ChainSpec, host: Host) -> tuple[Permit, ...]:
    """Return what this host may open to others."""
    return tuple(
        permit for permit in permits(spec) if permit.source_zone == host.zone and permit.target != host.name
    )


def listeners(spec: ChainSpec, host: Host) -> tuple[Listener, ...]:
    """Return exactly the sockets that the host opens towards the network."""
    return tuple(Listener(service, *spec.services.endpoint(service)) for service in offered(host.roles))
