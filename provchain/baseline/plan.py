"""What a network's description promises of its hosts, as rules about the plan see it. Pure."""

from __future__ import annotations

from collections import Counter

from provchain.baseline.resources import Plan
from provchain.spec.flows import targets
from provchain.spec.model import ChainSpec, Host


def plan_of(spec: ChainSpec, host: Host) -> Plan:
    """Return the plan of a network, seen from one of its hosts."""
    kinds = {zone.name: zone.kind for zone in spec.zones}
    validators = [one for one in spec.hosts if "validator" in one.roles]
    nodes = [one for one in spec.hosts if {"validator", "full"} & set(one.roles)]
    supervised = {
        one.failure_domain
        for flow in spec.flows
        if kinds[flow.source] == "regulator" and flow.service == "rpc"
        for one in targets(spec, flow)
    }
    return Plan(
        zones=frozenset(kinds.values()),
        own=kinds[host.zone],
        faults=max(0, (len(validators) - 1) // 3),
        together=max(Counter(one.failure_domain for one in validators).values(), default=0),
        copies=sum(1 for one in nodes if not one.keep_blocks),
        supervised=len(supervised),
        ssh_from=frozenset(kinds[flow.source] for flow in spec.flows if flow.service == "ssh"),
    )
