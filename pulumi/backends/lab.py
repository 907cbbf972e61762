"""Real Debian hosts on this machine: the lab's router, bridges and containers as resources."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pulumi.dynamic import Resource

import pulumi
from backends.protocol import Access, Made
from provchain import spec
from provchain.lab.providers import HostProvider, RouterProvider, ZoneProvider


class LabRouter(Resource, module="lab", name="Router"):
    """The network's namespace with its packet filter."""

    def __init__(self, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions) -> None:
        super().__init__(RouterProvider(), name, {**props, "problems": None}, opts)


class LabZone(Resource, module="lab", name="Zone"):
    """A bridge."""

    def __init__(self, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions) -> None:
        super().__init__(ZoneProvider(), name, {**props, "problems": None}, opts)


class LabHost(Resource, module="lab", name="Host"):
    """A container with a whole Debian."""

    host_key: pulumi.Output[str]

    def __init__(self, name: str, props: dict[str, Any], opts: pulumi.ResourceOptions) -> None:
        super().__init__(HostProvider(), name, {**props, "host_key": None, "problems": None}, opts)


class LabBackend:
    """Makes everything in namespaces of the network's own, without a route to the outside."""

    def __init__(self, chain: spec.ChainSpec) -> None:
        self._chain = chain
        self._addresses = {host.name: str(host.address) for host in chain.hosts}

    def router(self, permits: Sequence[spec.Permit], *, parent: pulumi.Resource) -> Made:
        """Make the namespace and its rules."""
        passes = [
            {
                "source": str(permit.source),
                "address": str(permit.address),
                "protocol": permit.protocol,
                "port": permit.port,
                "purpose": f"{permit.source_zone} > {permit.target} {permit.service}",
            }
            for permit in permits
        ]
        props = {"network": self._chain.network, "passes": passes}
        return [LabRouter("lab-router", props, pulumi.ResourceOptions(parent=parent))]

    def zone(self, zone: spec.Zone, *, parent: pulumi.Resource, after: Made) -> Made:
        """Make the zone's bridge; the management zone also gets the operator's station."""
        props = {
            "network": self._chain.network,
            "name": zone.name,
            "cidr": str(zone.cidr),
            "router": str(zone.router),
            "station": str(zone.operator) if zone.kind == "management" else None,
        }
        return [LabZone(f"lab-{zone.name}", props, _options(parent, after))]

    def host(self, host: spec.Host, zone: spec.Zone, *, parent: pulumi.Resource, after: Made) -> Access:
        """Make and start the host."""
        port = self._chain.services.endpoint("ssh").port
        props = {
            "network": self._chain.network,
            "name": host.name,
            "zone": zone.name,
            "interface": f"{host.address}/{zone.cidr.prefixlen}",
            "gateway": str(zone.router),
            "user": self._chain.ssh.user,
            "port": port,
            "neighbours": self._addresses,
        }
        made = LabHost(f"lab-{host.name}", props, _options(parent, after))
        return Access(str(host.address), port, self._chain.ssh.user, made.host_key)


def _options(parent: pulumi.Resource, after: Made) -> pulumi.ResourceOptions:
    return pulumi.ResourceOptions(parent=parent, depends_on=list(after))
