"""Which provider the conformance test asks."""

from __future__ import annotations

from pathlib import Path

import pytest
from provnode.crypto import PrivateKey, Provider, get_provider


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice of a provider and its key; taken where this folder or a file of it is named."""
    group = parser.getgroup("provnode")
    group.addoption("--provider", metavar="NAME", help="crypto provider under test (native and openssl)")
    group.addoption("--key", metavar="FILE", type=Path, help="its key, as a node's consensus_key names one")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Ask each provider, or the one that is named."""
    if "provider" in metafunc.fixturenames:
        named = metafunc.config.getoption("--provider", default=None)
        metafunc.parametrize("provider", [named] if named else ["native", "openssl"], indirect=True)


@pytest.fixture(scope="session")
def provider(request: pytest.FixtureRequest) -> Provider:
    """The provider under test."""
    return get_provider(request.param)


@pytest.fixture(scope="session")
def key(request: pytest.FixtureRequest, provider: Provider) -> PrivateKey:
    """A key that the provider holds."""
    file: Path | None = request.config.getoption("--key", default=None)
    return provider.load_private(file.read_bytes()) if file else provider.generate()
