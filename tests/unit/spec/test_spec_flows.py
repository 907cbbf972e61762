"""Permits follow from the flow matrix exactly: checked against a definition written the other way round."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path
from random import Random
from typing import get_args

from hypothesis import given, settings
from hypothesis import strategies as st

from provchain.spec import ChainSpec, Flow, Permit, inbound, listeners, load, outbound, permits
from provchain.spec.model import NodeRole, ServiceName

BASE = load(Path(__file__).parent / "good.yml")
ZONES = [zone.name for zone in BASE.zones]
PORTS = {"ssh": ("tcp", 22), "ntp": ("udp", 123), "p2p": ("tcp", 26656), "rpc": ("tcp", 26657)}
LISTENS = {
    **{name: {"ssh", "p2p", "rpc"} for name in ("v1", "v2", "v3", "v4", "a1")},
    "m1": {"ssh", "ntp"},
}


def _flow(source: str, target: str, service: ServiceName, role: NodeRole | None) -> Flow:
    return Flow.model_validate({"from": source, "to": target, "service": service, "to_role": role})


flow_matrix = st.lists(
    st.builds(
        _flow,
        st.sampled_from(ZONES),
        st.sampled_from(ZONES),
        st.sampled_from(get_args(ServiceName)),
        st.none() | st.sampled_from(get_args(NodeRole)),
    ),
    max_size=12,
)


def _with(flows: list[Flow]) -> ChainSpec:
    return BASE.model_copy(update={"flows": tuple(flows)})


@settings(deadline=None)
@given(flow_matrix)
def test_what_passes_is_what_a_flow_allows_and_the_host_offers(flows: list[Flow]) -> None:
    passing = {(p.source_zone, p.target, p.service) for p in permits(_with(flows))}
    for zone in ZONES:
        for host in BASE.hosts:
            for service in get_args(ServiceName):
                expected = service in LISTENS[host.name] and any(
                    (flow.source, flow.target, flow.service) == (zone, host.zone, service)
                    and flow.to_role in (None, *host.roles)
                    for flow in flows
                )
                assert ((zone, host.name, service) in passing) is expected


@settings(deadline=None)
@given(flow_matrix, st.randoms())
def test_the_order_and_the_repetition_of_flows_do_not_matter(flows: list[Flow], random: Random) -> None:
    shuffled = [*flows, *flows]
    random.shuffle(shuffled)
    found = permits(_with(flows))
    assert permits(_with(shuffled)) == found
    assert len(set(found)) == len(found)


@settings(deadline=None)
@given(flow_matrix)
def test_every_permit_is_inbound_of_one_host_and_leads_to_a_listener(flows: list[Flow]) -> None:
    spec = _with(flows)
    found = permits(spec)
    assert sorted(map(repr, found)) == sorted(repr(p) for host in spec.hosts for p in inbound(spec, host))
    for permit in found:
        host = spec.host(permit.target)
        assert permit.address == host.address
        assert (permit.protocol, permit.port) == PORTS[permit.service]
        assert (permit.service, permit.protocol, permit.port) in {
            (x.service, x.protocol, x.port) for x in listeners(spec, host)
        }


@settings(deadline=None)
@given(flow_matrix)
def test_a_host_may_open_what_its_zone_may_except_to_itself(flows: list[Flow]) -> None:
    spec = _with(flows)
    for host in spec.hosts:
        expected = [p for p in permits(spec) if p.source_zone == host.zone and p.target != host.name]
        assert list(outbound(spec, host)) == expected


def test_a_permit_in_full() -> None:
    spec = _with([_flow("edge", "core", "rpc", "rpc")])
    assert permits(spec) == (
        Permit(
            IPv4Network("10.1.1.0/24"), "edge", "v2", "core", IPv4Address("10.1.0.12"), "tcp", 26657, "rpc"
        ),
    )


def test_nothing_passes_without_a_flow() -> None:
    assert permits(_with([])) == ()


def test_listeners_follow_the_roles() -> None:
    for host in BASE.hosts:
        assert {x.service for x in listeners(BASE, host)} == LISTENS[host.name]
