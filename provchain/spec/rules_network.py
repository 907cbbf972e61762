"""Rules about the network: zones, addresses, the bastion, the flow matrix."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations

from provchain.document import Finding
from provchain.spec.flows import SERVICES, offered, targets
from provchain.spec.model import ChainSpec, NodeRole, ServiceName
from provchain.spec.rules_chain import repeated

LONGEST_PREFIX = 28


def zone_networks(spec: ChainSpec) -> Iterator[Finding]:
    """Zones have names and networks of their own, with room for the reserved addresses."""
    yield from repeated((("zones", i, "name"), zone.name) for i, zone in enumerate(spec.zones))
    for i, zone in enumerate(spec.zones):
        path, net = ("zones", i, "cidr"), zone.cidr
        if net.prefixlen > LONGEST_PREFIX:
            yield Finding(
                path, str(net), f"a prefix of at most /{LONGEST_PREFIX}, with room for reserved addresses"
            )
        elif (
            net.is_loopback
            or net.is_multicast
            or net.is_link_local
            or net.network_address.packed[0] in (0, 255)
        ):
            yield Finding(path, str(net), "a network for hosts")
    for (_, one), (j, two) in combinations(enumerate(spec.zones), 2):
        if one.cidr.overlaps(two.cidr):
            yield Finding(
                ("zones", j, "cidr"),
                str(two.cidr),
                f"a network that does not overlap {one.name}'s {one.cidr}",
            )


def management_zone(spec: ChainSpec) -> Iterator[Finding]:
    """Exactly one zone is for management: the operator station stands there."""
    count = sum(zone.kind == "management" for zone in spec.zones)
    if count != 1:
        yield Finding(("zones",), f"{count} zones of kind management", "exactly 1")


def host_addresses(spec: ChainSpec) -> Iterator[Finding]:
    """Hosts stand in a listed zone, at an address of their own in it that is not reserved."""
    zones = {zone.name: zone for zone in spec.zones}
    yield from repeated((("hosts", i, "address"), host.address) for i, host in enumerate(spec.hosts))
    for i, host in enumerate(spec.hosts):
        zone, path = zones.get(host.zone), ("hosts", i, "address")
        if zone is None:
            yield Finding(("hosts", i, "zone"), host.zone, "one of " + ", ".join(zones))
            continue
        reserved = {
            zone.cidr.network_address: "the network's own address",
            zone.cidr.broadcast_address: "the broadcast address",
            zone.router: "the router's address",
            zone.probe: "the probe's address",
        }
        if zone.kind == "management":
            reserved[zone.operator] = "the operator station's address"
        if host.address not in zone.cidr:
            yield Finding(path, str(host.address), f"an address in {zone.cidr}, the zone {zone.name}")
        elif host.address in reserved:
            free = f"{zone.router + 1} to {zone.operator - 1}"
            yield Finding(path, f"{host.address}, {reserved[host.address]}", free)


def host_zones(spec: ChainSpec) -> Iterator[Finding]:
    """Validators stand in consensus zones, bastions in the management zone (A18)."""
    kinds = {zone.name: zone.kind for zone in spec.zones}
    for i, host in enumerate(spec.hosts):
        for role, kind in (("validator", "consensus"), ("bastion", "management")):
            if role in host.roles and kinds.get(host.zone, kind) != kind:
                found = f"a {role} in {host.zone}, a zone of kind {kinds[host.zone]}"
                yield Finding(("hosts", i, "zone"), found, f"a zone of kind {kind}")


def bastion(spec: ChainSpec) -> Iterator[Finding]:
    """One host is the bastion: the one that ssh.bastion names, with that role."""
    named = [host.name for host in spec.hosts if "bastion" in host.roles]
    if spec.ssh.bastion not in [host.name for host in spec.hosts]:
        yield Finding(("ssh", "bastion"), spec.ssh.bastion, "the name of a host")
    elif named != [spec.ssh.bastion]:
        yield Finding(
            ("ssh", "bastion"),
            f"{spec.ssh.bastion}, while the role bastion is on {', '.join(named) or 'no host'}",
            "one bastion, named here and with that role",
        )


def host_access(spec: ChainSpec) -> Iterator[Finding]:
    """Existing hosts say how they are reached, each in its own way; lab hosts are reached by the lab."""
    for i, host in enumerate(spec.hosts):
        path = ("hosts", i, "ssh")
        if spec.backend == "existing" and host.ssh is None:
            yield Finding(path, "nothing", "address, port, user and host_key, with the backend existing")
        if spec.backend == "lab" and host.ssh is not None:
            yield Finding(path, "a mapping", "nothing, with the backend lab")
    reached = [(i, host.ssh) for i, host in enumerate(spec.hosts) if host.ssh is not None]
    yield from repeated((("hosts", i, "ssh"), f"{ssh.address}:{ssh.port}") for i, ssh in reached)
    # cloned images carry one key to every host, and then no host can be told from another
    yield from repeated((("hosts", i, "ssh", "host_key"), ssh.host_key) for i, ssh in reached)


def service_ports(spec: ChainSpec) -> Iterator[Finding]:
    """Services have ports of their own, so that a rule for one never opens another."""
    yield from repeated((("services", name), spec.services.endpoint(name).port) for name in SERVICES)


def flow_ends(spec: ChainSpec) -> Iterator[Finding]:
    """Each flow is said once and leads from a listed zone to hosts that offer the service.

    A zone without hosts may be named: the flow stands ready for the first one.
    """
    names = [zone.name for zone in spec.zones]
    yield from repeated(
        (("flows", i), f"{flow.source} to {flow.target} {flow.service} {flow.to_role or 'all'}")
        for i, flow in enumerate(spec.flows)
    )
    for i, flow in enumerate(spec.flows):
        for key, name in (("from", flow.source), ("to", flow.target)):
            if name not in names:
                yield Finding(("flows", i, key), name, "one of " + ", ".join(names))
        if flow.to_role is not None and flow.service not in offered((flow.to_role,)):
            allowed = "a role that offers it, or no role"
            yield Finding(("flows", i, "to_role"), f"{flow.to_role}, which offers no {flow.service}", allowed)
        elif any(host.zone == flow.target for host in spec.hosts) and not targets(spec, flow):
            whom = f"{flow.service} of a {flow.to_role} host" if flow.to_role else flow.service
            yield Finding(
                ("flows", i), f"{whom} in {flow.target}", "a service that a host of the zone offers"
            )


def needed_flows(spec: ChainSpec) -> Iterator[Finding]:
    """Every host is reached by SSH from the management zone, and reaches a clock and the logs' collectors."""
    management = {zone.name for zone in spec.zones if zone.kind == "management"}
    reached = {
        host.name
        for flow in spec.flows
        if flow.service == "ssh" and flow.source in management
        for host in targets(spec, flow)
    }
    for zone in spec.zones:
        here = [host for host in spec.hosts if host.zone == zone.name]
        lost = [host.name for host in here if host.name not in reached]
        if lost and management:
            found = f"no flow for ssh from the management zone to {', '.join(lost)} in {zone.name}"
            yield Finding(("flows",), found, "one, as hosts are set up that way")
    yield from _served(spec, "ntp", "time")
    yield from _served(spec, "logs", "logs")


def _served(spec: ChainSpec, service: ServiceName, role: NodeRole) -> Iterator[Finding]:
    """Where hosts have a role, every zone with others has a flow to what they serve."""
    serving = [host for host in spec.hosts if role in host.roles]
    sources = {flow.source for flow in spec.flows if flow.service == service and targets(spec, flow)}
    for zone in spec.zones:
        here = [host.name for host in spec.hosts if host.zone == zone.name and role not in host.roles]
        if here and serving and zone.name not in sources:
            found = f"no flow for {service} from {zone.name} to a host with the role {role}"
            yield Finding(("flows",), found, f"one, for {', '.join(here)}")


RULES = (
    (("zones",), zone_networks),
    (("zones",), management_zone),
    (("hosts", "zones"), host_addresses),
    (("hosts", "zones"), host_zones),
    (("hosts", "ssh"), bastion),
    (("hosts", "backend"), host_access),
    (("services",), service_ports),
    (("flows", "hosts", "zones"), flow_ends),
    (("flows", "hosts", "zones"), needed_flows),
)
