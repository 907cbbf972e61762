"""Accounts, sudo and time on each host."""

from __future__ import annotations

import json
from time import time
from typing import Any

import pytest

from provchain.spec import ChainSpec
from tests.host.network import Network
from tests.host.waiting import until

SHELLS_THAT_REFUSE = {"/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/bin/sync"}

ASKS_AGAIN = 100.0
"""Seconds after which chronyd has asked again when its source was not there at its start (minpoll 6)."""


def test_no_account_has_a_password_or_lacks_one(name: str, facts: dict[str, Any]) -> None:
    """Locked (! or *) for all: people come with keys. An empty field would let anybody in."""
    assert facts["shadow"]
    assert [user for user, hashed in facts["shadow"] if not hashed.startswith(("!", "*"))] == [], name


def test_only_root_has_the_id_of_root(name: str, facts: dict[str, Any]) -> None:
    assert [row[0] for row in facts["passwd"] if row[2] == "0"] == ["root"], name


def test_only_people_have_a_shell(name: str, facts: dict[str, Any], spec: ChainSpec) -> None:
    shells = {row[0] for row in facts["passwd"] if row[6] not in SHELLS_THAT_REFUSE}
    assert shells <= {"root", spec.ssh.user, *(one.name for one in spec.administrators)}, name


def test_sudo_is_configured_soundly(name: str, facts: dict[str, Any], spec: ChainSpec) -> None:
    assert "parsed OK" in facts["visudo"], facts["visudo"]
    described = json.loads(facts["sudoers"])
    without_password = {
        user["username"]
        for entry in described.get("User_Specs", [])
        for command in entry["Cmnd_Specs"]
        if any(option.get("authenticate") is False for option in command.get("Options", []))
        for user in entry["User_List"]
        if "username" in user
    }
    assert without_password <= {spec.ssh.user}, name
    defaults = [option for entry in described.get("Defaults", []) for option in entry.get("Options", [])]
    assert {"use_pty": True} in defaults, f"{name}: commands run on the caller's own terminal"


@pytest.fixture(scope="module")
def read_slowly(network: Network) -> dict[str, str]:
    """Return how many of 300,000 bytes that a program writes under sudo come to who reads them late."""
    script = "sudo -n head -c 300000 /dev/zero | (sleep 0.5; wc -c)"
    return network.each(network.names, lambda name: network.host(name).run(script).stdout.strip())


def test_a_program_gets_all_that_it_asks_for_through_sudo(name: str, read_slowly: dict[str, str]) -> None:
    """Also when it is slow to read: sudo that records output would lose what does not fit into a pipe."""
    assert read_slowly[name] == "300000"


@pytest.fixture(scope="module")
def asked(network: Network) -> dict[str, dict[str, int]]:
    """Return whom each host asks for the time, with the record of the last eight answers (octal bits)."""
    followers = [host.name for host in network.spec.hosts if "time" not in host.roles]

    def sources(name: str) -> dict[str, int]:
        rows = network.run(name, "chronyc", "-c", "-n", "sources").split()
        return {row.split(",")[2]: int(row.split(",")[5], 8) for row in rows}

    def all_answered(seen: dict[str, dict[str, int]]) -> bool:
        return all(any(found.values()) for found in seen.values())

    what = "an answer from a time source to every host"
    return until(lambda: network.each(followers, sources), all_answered, what, ASKS_AGAIN)


def test_the_time_comes_from_the_networks_own_sources(
    follower: str, network: Network, asked: dict[str, dict[str, int]]
) -> None:
    """All but the sources themselves ask exactly the hosts with the role time, and get answers."""
    sources = {str(host.address) for host in network.spec.hosts if "time" in host.roles}
    assert set(asked[follower]) == sources
    assert any(asked[follower].values()), f"{follower} gets no answer"


def test_the_clocks_agree(network: Network) -> None:
    """Within two seconds of one another, however long the question took."""

    def clock(name: str) -> tuple[float, float, float]:
        before = time()
        told = float(network.run(name, "date", "+%s.%N"))
        return before, told, time()

    for name, (before, told, after) in network.each(network.names, clock).items():
        assert before - 2 <= told <= after + 2, name
