"""An isolated network for hosts of one kind."""

from __future__ import annotations

from backends.protocol import Backend

import pulumi
from provchain import spec
from topology.router import Router


class Zone(pulumi.ComponentResource):
    """A zone; the router is there before it, so no zone is ever unguarded."""

    def __init__(self, zone: spec.Zone, backend: Backend, router: Router) -> None:
        super().__init__("provchain:topology:Zone", zone.name)
        self.spec = zone
        self.made = backend.zone(zone, parent=self, after=router.made)
        self.register_outputs({})
