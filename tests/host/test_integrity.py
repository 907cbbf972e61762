"""A changed program or setting is found by the daily check, and told to the collector."""

from __future__ import annotations

import secrets
from typing import Any

import pytest

from tests.host.conftest import INTEGRITY
from tests.host.network import Network
from tests.host.waiting import until

CHECK = "dailyaidecheck.service"
ARRIVES = 30.0


def test_there_is_a_database_and_a_daily_check(name: str, facts: dict[str, Any]) -> None:
    database = facts["paths"][INTEGRITY]
    assert (database["kind"], database["mode"], database["owner"]) == ("file", "0600", "_aide"), name
    assert facts["units"]["dailyaidecheck.timer"]["show"]["ActiveState"] == "active", name


@pytest.mark.disruptive
def test_a_change_is_found_and_told(network: Network) -> None:
    """In the report on the host, and in the log at the collectors; put back, the check is content again."""
    victim = next(host.name for host in network.spec.hosts if not host.is_node)
    mark = f"proof-{secrets.token_hex(8)}"
    file = f"/usr/local/sbin/{mark}"
    script = f"systemctl start {CHECK} 2>/dev/null; systemctl show -p ExecMainStatus --value {CHECK}"
    before = int(network.run(victim, "sh", "-c", script))
    network.run(victim, "sh", "-c", f"echo '#!/bin/sh' >{file} && chmod 0755 {file}")
    try:
        assert int(network.run(victim, "sh", "-c", script)) & 1, "an added file, by aide(1)"
        assert file in network.run(victim, "cat", "/var/log/aide/aide.log")
        for collector in (host.name for host in network.spec.hosts if "logs" in host.roles):
            until(
                lambda at=collector: network.run(at, "cat", f"/var/log/collected/{victim}.log"),  # type: ignore[misc]
                lambda found: file in found,
                f"the report of {victim} at {collector}",
                ARRIVES,
            )
    finally:
        network.run(victim, "rm", "-f", file)
    assert int(network.run(victim, "sh", "-c", script)) == before
    network.run(victim, "systemctl", "reset-failed", CHECK)
