"""Providers: what counts as a change, what forces a replacement, and when a thing is gone."""

from __future__ import annotations

from typing import Any

import pytest

from provchain.lab import host, root, router
from provchain.lab.providers import HostProvider, RouterProvider, ZoneProvider

HOST: dict[str, Any] = {
    "network": "t",
    "name": "v1",
    "zone": "consensus",
    "interface": "10.1.1.11/24",
    "gateway": "10.1.1.1",
    "user": "ops",
    "port": 22.0,
    "neighbours": {"v1": "10.1.1.11"},
    "__provider": "new code",
}
STATE = {**HOST, "problems": [], "host_key": "ssh-ed25519 A", "__provider": "old code"}


def test_nothing_new_is_no_change() -> None:
    assert HostProvider().diff("t/v1", STATE, HOST).changes is False


def test_a_problem_is_a_change_in_place() -> None:
    diff = HostProvider().diff("t/v1", {**STATE, "problems": ["not running"]}, HOST)
    assert diff.changes is True
    assert diff.replaces == []


@pytest.mark.parametrize("key", ["zone", "interface", "gateway", "neighbours"])
def test_moving_a_host_keeps_it(key: str) -> None:
    diff = HostProvider().diff("t/v1", STATE, {**HOST, key: "other"})
    assert diff.changes is True
    assert diff.replaces == []


@pytest.mark.parametrize("key", ["network", "name", "user", "port"])
def test_another_first_login_or_name_is_another_host(key: str) -> None:
    assert HostProvider().diff("t/v1", STATE, {**HOST, key: "other"}).replaces == [key]


def test_an_input_that_is_new_is_a_change() -> None:
    zone = {"network": "t", "name": "management", "cidr": "10.1.4.0/24", "router": "10.1.4.1"}
    diff = ZoneProvider().diff("t/management", {**zone, "problems": []}, {**zone, "station": "10.1.4.253"})
    assert diff.changes is True


def test_reading_a_host_that_is_gone_drops_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "exists", lambda network, name: False)
    assert not HostProvider().read("t/v1", dict(STATE)).id


def test_reading_a_host_tells_the_key_it_has_now(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "exists", lambda network, name: True)
    monkeypatch.setattr(host, "problems", lambda one: ["not running"])
    monkeypatch.setattr(root, "host_key", lambda network, name: "ssh-ed25519 B")
    found = HostProvider().read("t/v1", dict(STATE))
    assert found.outs == {**STATE, "problems": ["not running"], "host_key": "ssh-ed25519 B"}


def test_reading_tells_what_differs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(router, "exists", lambda network: True)
    monkeypatch.setattr(router, "problems", lambda network, passes: [f"{len(passes)} passes"])
    passes = [
        {"source": "10.1.1.0/24", "address": "10.1.1.11", "protocol": "tcp", "port": 22.0, "purpose": "x"}
    ]
    found = RouterProvider().read("t/router", {"network": "t", "passes": passes})
    assert found.id == "t/router"
    assert found.outs == {"network": "t", "passes": passes, "problems": ["1 passes"]}


def test_creating_twice_adopts(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[host.Host] = []

    def ensure(one: host.Host) -> str:
        made.append(one)
        return "ssh-ed25519 A"

    monkeypatch.setattr(host, "ensure", ensure)
    results = [HostProvider().create(dict(HOST)) for _ in range(2)]
    assert results[0].id == results[1].id == "t/v1"
    assert results[0].outs == {**HOST, "host_key": "ssh-ed25519 A", "problems": []}
    assert made[0] == made[1]
    assert made[0].port == 22
