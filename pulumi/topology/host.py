"""A machine and how to reach it."""

from __future__ import annotations

from backends.protocol import Backend

import pulumi
from provchain import spec
from topology.zone import Zone


class Host(pulumi.ComponentResource):
    """A host in its zone; ``access`` says where its SSH server is and which key it has."""

    def __init__(self, host: spec.Host, backend: Backend, zone: Zone) -> None:
        super().__init__("provchain:topology:Host", host.name)
        self.access = backend.host(host, zone.spec, parent=self, after=zone.made)
        self.register_outputs(self.access.export())
