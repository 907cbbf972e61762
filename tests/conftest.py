"""Options of the suites that need a network."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the choice of a network, and the consent to disturb it."""
    group = parser.getgroup("provchain")
    group.addoption("--network", metavar="NAME", help="network under test: a folder in inventories/")
    group.addoption(
        "--disruptive",
        action="store_true",
        help="also run tests that stop, kill and cut off hosts; networks of the environment lab only",
    )
