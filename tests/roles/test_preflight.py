"""What a host must have to carry a node: every point is refused on its own, at its boundary."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest

from provchain.paths import REPOSITORY

GOOD: dict[str, Any] = {
    "os": "debian 12",
    "os_family": ["debian"],
    "systemd": True,
    "architecture": "x86_64",
    "python": [3, 11],
    "openssl": [3, 0, 0],
    "sm3": True,
    "disk_free_mib": 1024,
    "mtu": {"127.0.0.1": 65536, "10.77.10.11": 1280},
    "time": 1000.0,
    "network": "",
}
EXPECT = {
    "address": "10.77.10.11",
    "network": "lab",
    "disk_free_mib": 1024,
    "clock_skew_seconds": 5,
    "mtu": 1280,
}
Judge = Callable[[dict[str, Any]], list[str]]


@pytest.fixture(scope="module")
def judge() -> Judge:
    path = REPOSITORY / "plugins" / "action" / "host_facts.py"
    found = importlib.util.spec_from_file_location("host_facts_action", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)

    def run(change: dict[str, Any]) -> list[str]:
        problems: list[str] = module.problems(GOOD | change, EXPECT, 990.0, 1010.0)
        return problems

    return run


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"os_family": ["uos", "debian"]},
        {"network": "lab"},
        {"python": [3, 12]},
        {"time": 985.0},
        {"time": 1015.0},
        {"openssl": [3, 5, 1]},
    ],
)
def test_a_good_host_passes(judge: Judge, change: dict[str, Any]) -> None:
    assert judge(change) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"systemd": False}, "systemd does not run"),
        ({"architecture": "aarch64"}, "architecture aarch64"),
        ({"python": [3, 10]}, "Python [3, 10]"),
        ({"openssl": [1, 1, 1]}, "OpenSSL [1, 1, 1]"),
        ({"sm3": False}, "newer with SM3"),
        ({"disk_free_mib": 1023}, "1023 MiB free"),
        ({"mtu": {"10.77.10.12": 1500}}, "needed: 10.77.10.11"),
        ({"mtu": {"10.77.10.11": 1279}}, "MTU 1279"),
        ({"os": "openEuler 24.03", "os_family": ["openEuler"]}, "system openEuler 24.03"),
        ({"time": 984.0}, "the clock is off by 6 s"),
        ({"time": 1016.0}, "the clock is off by 6 s"),
        ({"network": "other"}, "belongs to network other"),
    ],
)
def test_each_point_is_refused_on_its_own(judge: Judge, change: dict[str, Any], message: str) -> None:
    (found,) = judge(change)
    assert message in found
