"""What stands between the zones and lets only the flow matrix pass."""

from __future__ import annotations

from backends.protocol import Backend

import pulumi
from provchain.spec import ChainSpec, permits


class Router(pulumi.ComponentResource):
    """The network's router, or whatever enforces the flow matrix with this backend."""

    def __init__(self, spec: ChainSpec, backend: Backend) -> None:
        super().__init__("provchain:topology:Router", "router")
        self.made = backend.router(permits(spec), parent=self)
        self.register_outputs({})
