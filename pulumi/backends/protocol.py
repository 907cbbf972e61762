"""What a backend must be able to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pulumi
from provchain import spec

Made = Sequence[pulumi.Resource]
"""What was made, for others to wait for; empty where nothing had to be made."""


@dataclass(frozen=True)
class Access:
    """How to reach a host by SSH: address, port, first user, and the server's public key."""

    address: pulumi.Input[str]
    port: int
    user: str
    host_key: pulumi.Input[str]

    def export(self) -> dict[str, Any]:
        """Return the four as stack outputs."""
        return {"address": self.address, "port": self.port, "user": self.user, "host_key": self.host_key}


class Backend(Protocol):
    """Makes, or finds, a network's parts as children of ``parent`` and after what they need."""

    def router(self, permits: Sequence[spec.Permit], *, parent: pulumi.Resource) -> Made:
        """Let pass what is permitted between the zones, and nothing else."""

    def zone(self, zone: spec.Zone, *, parent: pulumi.Resource, after: Made) -> Made:
        """Make a zone's network."""

    def host(self, host: spec.Host, zone: spec.Zone, *, parent: pulumi.Resource, after: Made) -> Access:
        """Make a host in its zone and say how to reach it."""
