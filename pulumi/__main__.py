"""The network that a stack is named after, as inventories/<stack>/chain.yml describes it."""

from __future__ import annotations

import backends
from topology import Host, Router, Zone

import pulumi
from provchain import paths, spec
from provchain.errors import ProvchainError

stack = pulumi.get_stack()
chain = spec.load(paths.spec_file(stack))
if chain.network != stack:
    raise ProvchainError(
        f"stack {stack} can't hold network {chain.network}", remedy="give the stack the network's name"
    )

backend = backends.choose(chain)
router = Router(chain, backend)
zones = {zone.name: Zone(zone, backend, router) for zone in chain.zones}
hosts = {host.name: Host(host, backend, zones[host.zone]) for host in chain.hosts}

pulumi.export("hosts", {name: host.access.export() for name, host in hosts.items()})
pulumi.export("digest", spec.digest(chain))
