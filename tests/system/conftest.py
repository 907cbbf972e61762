"""A network of these tests' own, brought up once; each test leaves it running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.system.lifecycle import Lifecycle

_DEFAULT = "ci"


def pytest_configure(config: pytest.Config) -> None:
    """Refuse the network that people use."""
    if config.getoption("network") == "lab":
        raise pytest.UsageError("tests/system kills and removes its network; lab is for people")


@pytest.fixture(scope="session")
def life(pytestconfig: pytest.Config) -> Lifecycle:
    """Return the life cycle of the network ``ci``, or of the one that --network names."""
    life = Lifecycle(pytestconfig.getoption("network") or _DEFAULT)
    life.describe()
    return life


@pytest.fixture
def running(life: Lifecycle) -> Iterator[Lifecycle]:
    """Return the life cycle with its network up, and up again afterwards if the test left it otherwise."""
    if not life.is_whole():
        life.up()
    yield life
