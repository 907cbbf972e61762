"""What a host logs reaches the collectors, over TLS, also what it logged while they were away."""

from __future__ import annotations

import re
import secrets
import shlex
from typing import Any

import pytest

from tests.host.conftest import LOG_KEY
from tests.host.network import Network
from tests.host.waiting import until

pytestmark = pytest.mark.collected

COLLECTED = "/var/log/collected"
ARRIVES = 30.0
"""Seconds; a sender tries a collector that was away every five."""


@pytest.fixture(scope="module")
def collectors(network: Network) -> list[str]:
    """Return the hosts that collect."""
    return [host.name for host in network.spec.hosts if "logs" in host.roles]


def _log(network: Network, name: str) -> str:
    """Have a host log a line that nobody can have foreseen, and return it."""
    token = f"proof-{secrets.token_hex(12)}"
    network.run(name, "logger", "-p", "auth.info", token)
    return token


def _lines(network: Network, collector: str, sender: str) -> str:
    return network.run(collector, "cat", f"{COLLECTED}/{sender}.log")


def _arrived(network: Network, collectors: list[str], tokens: dict[str, str]) -> None:
    """Wait until each collector has each host's token in that host's own file, once or more."""

    def missing() -> list[str]:
        return [
            f"{sender} at {collector}"
            for collector in collectors
            for sender, token in tokens.items()
            if token not in _lines(network, collector, sender)
        ]

    until(missing, lambda left: left == [], "the line of every host at every collector", ARRIVES)


def test_every_hosts_log_arrives(network: Network, collectors: list[str]) -> None:
    """In the file of the host that sent it, whatever name the line claims."""
    tokens = network.each(network.names, lambda name: _log(network, name))
    _arrived(network, collectors, tokens)
    for collector in collectors:
        for sender in tokens:
            others = {token for name, token in tokens.items() if name != sender}
            mixed = [token for token in others if token in _lines(network, collector, sender)]
            assert mixed == [], f"{sender}'s file at {collector} has lines of others"


def test_a_line_that_claims_another_host_stays_with_its_sender(
    network: Network, collectors: list[str]
) -> None:
    sender, victim = [name for name in network.names if name not in collectors[:1]][:2]
    token = f"proof-{secrets.token_hex(12)}"
    forged = f"<38>Jan  1 00:00:00 {victim} sshd[1]: {token}"
    network.run(sender, "logger", "-p", "auth.info", forged)
    _arrived(network, collectors[:1], {sender: token})
    assert token not in _lines(network, collectors[0], victim)


HELLO = "relp_version=0\nrelp_software=proof,1,1\ncommands=syslog"
OPEN = f"1 open {len(HELLO)} {HELLO}\n"
"""How a RELP session begins; the answer begins with the same number and "rsp"."""
OFFERS = {
    "its own certificate": "-cert /etc/provchain/logs/cert.pem -key /etc/provchain/logs/tls.key",
    "no certificate": "",
    "a certificate of nobody's": "-cert $d/c -key $d/k",
}


def test_the_collector_takes_logs_from_whom_it_knows_alone(network: Network, collectors: list[str]) -> None:
    """Asked from a host that the firewall lets send, rightly and then otherwise: the certificate counts."""
    collector = collectors[0]
    sender = next(name for name in network.names if name not in collectors)
    place = f"{network.described(collector).address}:{network.port('logs')}"
    ask = f"{{ printf %s {shlex.quote(OPEN)}; sleep 1; }} | timeout 2"
    named = f"-subj /CN={sender}.{network.spec.network}.provchain.internal"

    def answer(offer: str) -> str:
        script = (
            "d=$(mktemp -d); openssl req -x509 -newkey rsa:2048 -nodes -days 1 "
            f"-keyout $d/k -out $d/c {named} 2>$d/e; "
            f"{ask} openssl s_client -quiet -connect {place} {OFFERS.get(offer)} 2>$d/e; rm -r $d"
        )
        if offer == "no TLS":
            script = f"{ask} nc -w 1 {place.replace(':', ' ')}"
        return network.host(sender).run(f"sudo -n sh -c {shlex.quote(script)}").stdout

    # all at once: what answers its own certificate is there, and refuses the others
    told = until(
        lambda: network.each([*OFFERS, "no TLS"], answer),
        lambda told: "1 rsp" in told["its own certificate"],
        "an answer to its own certificate",
        ARRIVES,
    )
    assert [offer for offer, said in told.items() if "rsp" in said] == ["its own certificate"], told


def test_the_key_stays_with_its_host(name: str, facts: dict[str, Any]) -> None:
    found = facts["paths"][LOG_KEY]
    assert found == {"kind": "file", "mode": "0600", "owner": "root", "group": "root"}, name


def test_only_the_audit_group_reads_what_was_collected(network: Network, collectors: list[str]) -> None:
    for collector in collectors:
        told = network.run(collector, "find", COLLECTED, "-printf", "%y %m %u:%g\\n")
        assert set(told.splitlines()) <= {"d 750 root:auditadm", "f 640 root:auditadm", "f 600 root:root"}


@pytest.mark.disruptive
def test_what_is_logged_while_the_collector_is_away_arrives_later(
    network: Network, collectors: list[str]
) -> None:
    """From the queue on the sender's disk; a sender that is killed meanwhile has it still."""
    senders = [name for name in network.names if name not in collectors]
    for collector in collectors:
        network.run(collector, "systemctl", "stop", "rsyslog.service", "syslog.socket")
    try:
        first = network.each(senders, lambda name: _log(network, name))
        tokens = network.each(senders, lambda name: _log(network, name))
        waiting = network.each(senders, lambda name: network.run(name, "ls", "/var/spool/rsyslog"))
        assert [name for name, found in waiting.items() if not re.search(r"^collector-", found, re.M)] == []
        killed = senders[-1]
        network.run(killed, "systemctl", "kill", "--signal=KILL", "rsyslog.service")
        tokens[killed] = _log(network, killed)
    finally:
        for collector in collectors:
            network.run(collector, "systemctl", "start", "syslog.socket", "rsyslog.service")
    _arrived(network, collectors, {name: first[name] for name in senders if name != killed})
    _arrived(network, collectors, tokens)
