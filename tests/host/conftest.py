"""The network that the proofs are about, and what was collected from its hosts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from provchain.lab import faults
from provchain.paths import spec_file
from provchain.spec import ChainSpec, DocumentError, digest
from provchain.spec import load as load_spec
from tests.host import certificates, steady, vantage
from tests.host import engine as engines
from tests.host import network as networks
from tests.host.certificates import Issued
from tests.host.engine import Engine
from tests.host.outside import Outside
from tests.host.tls import Offer

KNOCKER = "knocker"
LOG_KEY, INTEGRITY = "/etc/provchain/logs/tls.key", "/var/lib/aide/aide.db"
OTHER_FILES = (LOG_KEY, INTEGRITY)
"""What hosts are asked about beside the engine's files."""
_SPEC = pytest.StashKey[ChainSpec]()


def pytest_configure(config: pytest.Config) -> None:
    """Refuse to run without a network: a proof that is skipped proves nothing."""
    name = config.getoption("network")
    if not name:
        raise pytest.UsageError("tests/host proves a running network: --network NAME is required")
    try:
        spec = load_spec(spec_file(name))
    except DocumentError as error:
        raise pytest.UsageError(str(error)) from error
    inventory = spec_file(name).with_name("hosts.yml")
    if not inventory.is_file():
        raise pytest.UsageError(f"{inventory} is missing; provchain up --network {name} makes it")
    described = YAML(typ="safe").load(inventory)["all"]["vars"]["provchain_digest"]
    if described != digest(spec):
        raise pytest.UsageError(
            f"{inventory} is not that of chain.yml; provchain up --network {name} renews it"
        )
    if config.getoption("disruptive") and spec.environment != "lab":
        raise pytest.UsageError(
            f"--disruptive stops and kills hosts; network {name} is {spec.environment}, not lab"
        )
    config.addinivalue_line("markers", "lab: looks from where only a lab lets one look")
    config.addinivalue_line("markers", "collected: about the collectors of logs, where the network has any")
    config.addinivalue_line("markers", "part(role): about people with this role, where the network has any")
    config.stash[_SPEC] = spec


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what would disturb unless it was asked for, outside a lab what only a lab allows, and what is
    about collectors or people that the description doesn't have.
    """
    spec = config.stash[_SPEC]
    unwanted = set() if config.getoption("disruptive") else {"disruptive"}
    if spec.backend != "lab":
        unwanted.add("lab")
    if not any("logs" in host.roles for host in spec.hosts):
        unwanted.add("collected")
    parts = {one.role for one in spec.administrators}
    left = [
        item
        for item in items
        if any(item.get_closest_marker(marker) for marker in unwanted)
        or any(marker.args[0] not in parts for marker in item.iter_markers("part"))
    ]
    if left:
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a proof once for each host, node or zone that it names as an argument."""
    spec = metafunc.config.stash[_SPEC]
    values = {
        "name": [host.name for host in spec.hosts],
        "follower": [host.name for host in spec.hosts if "time" not in host.roles],
        "node": [host.name for host in spec.nodes],
        "service": engines.load(spec.engine.name).services,
        "zone": vantage.zones(networks.load(spec)),
    }
    for argument, names in values.items():
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, names)


@pytest.fixture(scope="session")
def network(pytestconfig: pytest.Config) -> networks.Network:
    """Return the network under test."""
    return networks.load(pytestconfig.stash[_SPEC])


@pytest.fixture(scope="session")
def spec(network: networks.Network) -> ChainSpec:
    """Return the description of the network under test."""
    return network.spec


@pytest.fixture(scope="session")
def engine(spec: ChainSpec) -> engines.Engine:
    """Return the adapter of the network's engine."""
    return engines.load(spec.engine.name)


@pytest.fixture(scope="session")
def all_facts(network: networks.Network, engine: engines.Engine) -> dict[str, dict[str, Any]]:
    """Return what each host tells of itself: one round trip a host, all side by side."""

    def collect(name: str) -> dict[str, Any]:
        host = network.described(name)
        asked = {
            "unit": engine.unit if host.is_node else None,
            "paths": [*(kept.path for kept in engine.kept(host)), *OTHER_FILES],
            "heads": {path: len(start) for path, start in engine.sealed(host).items()},
            "credential": engine.credential,
        }
        return network.python(name, "facts.py", asked, sudo=True)

    return network.each(network.names, collect)


@pytest.fixture
def facts(all_facts: dict[str, dict[str, Any]], request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return what the host or node that the proof is about tells of itself."""
    of = "node" if "node" in request.fixturenames else "name"
    return all_facts[request.getfixturevalue(of)]


@pytest.fixture(scope="session")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a private folder for throwaway keys."""
    folder = tmp_path_factory.mktemp("keys")
    folder.chmod(0o700)
    yield folder
    for path in folder.iterdir():
        path.unlink()


def authority_of(network: networks.Network, organisation: str) -> Issued:
    """Return the certificate and key of an organisation's own CA."""
    folder = network.state / "pki" / organisation
    return Issued(folder / "ca.pem", folder / "ca.key")


@pytest.fixture(scope="session")
def own(network: networks.Network, scratch: Path) -> Offer:
    """Return what a client of an organisation of the network offers."""
    organisation = network.spec.organisations[0].name
    issued = certificates.issue(scratch, KNOCKER, organisation, authority_of(network, organisation))
    return Offer(certificate=issued.certificate, key=issued.key)


@pytest.fixture(scope="session")
def outside(network: networks.Network, engine: Engine, own: Offer) -> Outside:
    """Return an observer that believes no node; it keeps what was proven to it for the whole session."""
    return Outside(network, engine, own)


@pytest.fixture
def validators(network: networks.Network) -> list[str]:
    """Return the four validators' names; the last ones are those that suffer."""
    names = [host.name for host in network.spec.validators]
    assert len(names) == 4, "these proofs are written for four validators, one of which may fail"
    return names


@pytest.fixture(scope="module")
def before(network: networks.Network) -> None:
    """Start with all nodes in step: later proofs rely on what the one before has left."""
    steady.in_step(network)


@pytest.fixture
def whole(network: networks.Network, engine: Engine, outside: Outside, before: None) -> Iterator[None]:
    """See to it that all cables, hosts and services are restored in the end, and all nodes in step.

    What must hold is proven to an observer from outside, before and afterwards.
    """
    outside.look()
    yield
    faults.heal(network.spec)
    for name in network.nodes:
        faults.start_host(network.spec, name)
    steady.systemctl(network, network.nodes, "start", engine.unit)
    steady.in_step(network)
    outside.look()
