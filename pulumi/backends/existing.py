"""Hosts that are there already: nothing is made, their SSH servers are taken from the description."""

from __future__ import annotations

from collections.abc import Sequence

import pulumi
from backends.protocol import Access, Made
from provchain import spec


class ExistingBackend:
    """For teams whose networks and machines come from elsewhere; each host's own firewall still applies."""

    def __init__(self, _spec: spec.ChainSpec) -> None:
        pass

    def router(self, _permits: Sequence[spec.Permit], *, parent: pulumi.Resource) -> Made:
        """Make nothing: the zones are separated by whoever runs the network."""
        return []

    def zone(self, _zone: spec.Zone, *, parent: pulumi.Resource, after: Made) -> Made:
        """Make nothing."""
        return []

    def host(self, host: spec.Host, _zone: spec.Zone, *, parent: pulumi.Resource, after: Made) -> Access:
        """Return what the description says of the host's SSH server."""
        if host.ssh is None:  # refused with the description already
            raise ValueError(f"host {host.name} has no ssh entry")
        return Access(str(host.ssh.address), host.ssh.port, host.ssh.user, host.ssh.host_key)
