"""The Pulumi program with the engine mocked: which resources a description becomes, with which inputs."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
from typing import Any

import backends
import pytest
from backends.existing import ExistingBackend
from backends.lab import LabBackend
from topology import Host, Router, Zone

import pulumi
from provchain import spec
from provchain.paths import REPOSITORY, spec_file
from provchain.spec import ChainSpec, permits

CHAIN = spec.load(spec_file("lab"))


def host_key(address: str) -> str:
    """Make a well-formed public key that is one host's alone (RFC 8709)."""
    point = hashlib.sha256(address.encode()).digest()
    blob = b"".join(len(part).to_bytes(4, "big") + part for part in (b"ssh-ed25519", point))
    return f"ssh-ed25519 {base64.b64encode(blob).decode()}"


class Recording(pulumi.runtime.Mocks):
    """Remembers each resource that is asked for; hosts get a key, as they do for real."""

    def __init__(self) -> None:
        self.resources: dict[str, pulumi.runtime.MockResourceArgs] = {}

    def new_resource(self, args: pulumi.runtime.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        self.resources[args.name] = args
        return f"{args.name}-id", {**args.inputs, "host_key": f"key of {args.name}"}

    def call(self, args: pulumi.runtime.MockCallArgs) -> Any:  # noqa: ANN401 - never returns
        raise AssertionError(f"the program calls {args.token}")

    def made(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the inputs of the lab's resources of a kind, by name."""
        token = f"pulumi-python:dynamic/lab:{kind}"
        return {name: args.inputs for name, args in self.resources.items() if args.typ == token}


def build(chain: ChainSpec) -> tuple[Recording, dict[str, dict[str, Any]]]:
    """Run what __main__.py does for a description; return the mocks and the hosts' access."""
    mocks = Recording()
    # a loop of this run's own, as a test before may have closed the last one
    asyncio.set_event_loop(asyncio.new_event_loop())
    pulumi.runtime.set_mocks(mocks, project="provchain", stack=chain.network)
    access: dict[str, dict[str, Any]] = {}

    @pulumi.runtime.test  # type: ignore[untyped-decorator]  # as the SDK wrote it
    def program() -> pulumi.Output[Any]:
        backend = backends.choose(chain)
        router = Router(chain, backend)
        zones = {zone.name: Zone(zone, backend, router) for zone in chain.zones}
        hosts = {host.name: Host(host, backend, zones[host.zone]) for host in chain.hosts}
        everything = pulumi.Output.from_input({name: host.access.export() for name, host in hosts.items()})
        return everything.apply(access.update)

    program()
    return mocks, access


def existing() -> ChainSpec:
    """Return the lab's description as a team with hosts of its own would write it."""
    text = spec_file("lab").read_text(encoding="utf-8").replace("backend: lab", "backend: existing")
    lines = []
    for line in text.splitlines():
        if line.lstrip().startswith("- {name:") and "failure_domain:" in line:
            address = line.split("address: ")[1].split(",")[0]
            ssh = f"{{address: {address}, port: 2222, user: admin, host_key: {host_key(address)}}}"
            line = line.rstrip().removesuffix("}") + f", ssh: {ssh}}}"
        lines.append(line)
    return spec.loads("\n".join(lines))


@pytest.fixture(scope="module")
def lab() -> tuple[Recording, dict[str, dict[str, Any]]]:
    """Build the lab once."""
    return build(CHAIN)


def test_one_component_and_one_resource_for_each_thing(lab: tuple[Recording, Any]) -> None:
    mocks, _ = lab
    assert set(mocks.made("Zone")) == {f"lab-{zone.name}" for zone in CHAIN.zones}
    assert set(mocks.made("Host")) == {f"lab-{host.name}" for host in CHAIN.hosts}
    assert list(mocks.made("Router")) == ["lab-router"]
    components = [args for args in mocks.resources.values() if args.typ.startswith("provchain:topology:")]
    assert len(components) == len(CHAIN.zones) + len(CHAIN.hosts) + 1
    assert len(mocks.resources) == 2 * len(components)


def test_the_router_passes_exactly_the_flow_matrix(lab: tuple[Recording, Any]) -> None:
    passes = lab[0].made("Router")["lab-router"]["passes"]
    assert {(p["source"], p["address"], p["protocol"], int(p["port"])) for p in passes} == {
        (str(p.source), str(p.address), p.protocol, p.port) for p in permits(CHAIN)
    }


def test_only_the_management_zone_has_the_operators_station(lab: tuple[Recording, Any]) -> None:
    for zone in CHAIN.zones:
        inputs = lab[0].made("Zone")[f"lab-{zone.name}"]
        assert inputs["cidr"] == str(zone.cidr)
        assert inputs["router"] == str(zone.router)
        assert inputs.get("station") == (str(zone.operator) if zone.kind == "management" else None)


def test_a_host_is_in_its_zone_at_its_address(lab: tuple[Recording, Any]) -> None:
    for host in CHAIN.hosts:
        inputs = lab[0].made("Host")[f"lab-{host.name}"]
        zone = CHAIN.zone(host.zone)
        assert inputs["zone"] == host.zone
        assert inputs["interface"] == f"{host.address}/{zone.cidr.prefixlen}"
        assert inputs["gateway"] == str(zone.router)
        assert inputs["user"] == CHAIN.ssh.user
        assert inputs["neighbours"] == {other.name: str(other.address) for other in CHAIN.hosts}


def test_access_has_the_key_that_the_host_was_made_with(lab: tuple[Recording, dict[str, Any]]) -> None:
    for host in CHAIN.hosts:
        assert lab[1][host.name] == {
            "address": str(host.address),
            "port": CHAIN.services.endpoint("ssh").port,
            "user": CHAIN.ssh.user,
            "host_key": f"key of lab-{host.name}",
        }


def test_no_secret_is_an_input(lab: tuple[Recording, Any]) -> None:
    text = json.dumps({name: args.inputs for name, args in lab[0].resources.items()})
    for word in ("PRIVATE", "passphrase", "password"):
        assert word not in text


def test_existing_hosts_are_presented_and_nothing_is_made() -> None:
    mocks, access = build(existing())
    assert {args.typ.rpartition(":")[0] for args in mocks.resources.values()} == {"provchain:topology"}
    for host in CHAIN.hosts:
        assert access[host.name] == {
            "address": str(host.address),
            "port": 2222,
            "user": "admin",
            "host_key": host_key(str(host.address)),
        }


def test_the_description_chooses_the_backend() -> None:
    assert isinstance(backends.choose(CHAIN), LabBackend)
    assert isinstance(backends.choose(existing()), ExistingBackend)


def test_the_program_can_be_read_at_a_glance() -> None:
    assert len((REPOSITORY / "pulumi/__main__.py").read_text(encoding="utf-8").splitlines()) < 60
