"""Names: one network can't own another's things, and interfaces fit the kernel's limit."""

from __future__ import annotations

from provchain.lab import names

LONGEST = "abcdefghijkl"  # the description allows 12 characters
IFNAMSIZ = 16  # with the closing zero


def test_a_network_owns_only_its_own_namespaces() -> None:
    for name in (
        names.lab_namespace("ci"),
        names.host_namespace("ci", "v1"),
        names.station_namespace("ci"),
        names.probe_namespace("ci", "access"),
    ):
        assert names.owned_namespace("ci", name)
        assert not names.owned_namespace("c", name)
        assert not names.owned_namespace("ci2", name)


def test_helpers_can_not_meet_a_host() -> None:
    assert names.probe_namespace("ci", "v1") != names.host_namespace("ci", "v1")
    ports = {names.port("x"), names.probe_port("x"), names.bridge("x")}
    assert len(ports) == 3


def test_interfaces_fit() -> None:
    for name in (names.bridge(LONGEST), names.port(LONGEST), names.probe_port(LONGEST)):
        assert len(name) < IFNAMSIZ
