"""The way in for operators: keys only, no root, modern algorithms only; as the server itself offers them."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from paramiko.message import Message

from tests.host.network import Network

KEX = {
    "sntrup761x25519-sha512@openssh.com", "sntrup761x25519-sha512", "curve25519-sha256",
    "curve25519-sha256@libssh.org", "mlkem768x25519-sha256", "diffie-hellman-group16-sha512",
    "diffie-hellman-group18-sha512",
}  # fmt: skip
CIPHERS = {
    "chacha20-poly1305@openssh.com", "aes256-gcm@openssh.com", "aes128-gcm@openssh.com",
    "aes256-ctr", "aes192-ctr", "aes128-ctr",
}  # fmt: skip
MACS = {"hmac-sha2-512-etm@openssh.com", "hmac-sha2-256-etm@openssh.com", "umac-128-etm@openssh.com"}
HOST_KEYS = {"ssh-ed25519", "rsa-sha2-512", "rsa-sha2-256"}
MARKERS = {"kex-strict-s-v00@openssh.com", "ext-info-s"}  # capabilities, not methods
USERS = ("root", "nobody")
_KEXINIT = 20  # RFC 4253, section 12


@dataclass(frozen=True)
class Offers:
    """What a server says in its first packet (RFC 4253, section 7.1)."""

    kex: set[str]
    host_keys: set[str]
    ciphers: set[str]
    macs: set[str]


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise EOFError(f"the server closed after {data!r}")
        data += more
    return data


def _read_offers(network: Network, name: str) -> Offers:
    with network.connection(name, "ssh") as connection:
        connection.sendall(b"SSH-2.0-proof\r\n")
        line = b""
        while not line.endswith(b"\n"):
            line += _exactly(connection, 1)
        assert line.startswith(b"SSH-2.0-"), line
        length = int.from_bytes(_exactly(connection, 4), "big")
        packet = Message(_exactly(connection, length)[1:])
    assert packet.get_byte() == bytes([_KEXINIT])
    packet.get_bytes(16)  # a random cookie
    kex, host_keys, ciphers, back, macs, macs_back = (set(packet.get_list()) for _ in range(6))
    return Offers(kex - MARKERS, host_keys, ciphers | back, macs | macs_back)


def _login(network: Network, name: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Try to run ``true`` on a host over a connection of its own, with other options than usual."""
    argv = ["ssh", "-F", str(network.ssh_config), "-o", "ControlPath=none", "-o", "BatchMode=yes"]
    return subprocess.run([*argv, *options, name, "true"], capture_output=True, text=True, check=False)


def _read_methods(network: Network, name: str, user: str) -> list[str]:
    """Return the ways to log in that a server offers to a user, by asking for none (RFC 4252, 5.2)."""
    done = _login(network, name, "-l", user, "-o", "PreferredAuthentications=none")
    assert done.returncode == 255, f"{name}: {user} got in without any proof"
    offered = re.search(r"Permission denied \((.*)\)", done.stderr)
    assert offered, f"{name}: {done.stderr}"
    return offered[1].split(",")


@pytest.fixture(scope="module")
def offers(network: Network) -> dict[str, Offers]:
    """Return the algorithms of every host."""
    return network.each(network.names, lambda name: _read_offers(network, name))


@pytest.mark.parametrize(
    ("of", "allowed"),
    [
        (lambda o: o.kex, KEX),
        (lambda o: o.host_keys, HOST_KEYS),
        (lambda o: o.ciphers, CIPHERS),
        (lambda o: o.macs, MACS),
    ],
    ids=["key exchange", "host keys", "ciphers", "MACs"],
)
def test_only_modern_algorithms_are_offered(
    name: str, of: Callable[[Offers], set[str]], allowed: set[str], offers: dict[str, Offers]
) -> None:
    assert of(offers[name]), "the server offers nothing"
    assert of(offers[name]) - allowed == set()


@pytest.fixture(scope="module")
def methods(network: Network) -> dict[tuple[str, str], list[str]]:
    """Return how each of these users may log in on each host, all asked side by side."""
    cases = {
        f"{name} {user}": (name, user) for name in network.names for user in (*USERS, _operator(network))
    }
    found = network.each(cases, lambda case: _read_methods(network, *cases[case]))
    return {cases[case]: answer for case, answer in found.items()}


def _operator(network: Network) -> str:
    return network.spec.ssh.user


@pytest.mark.parametrize("user", [*USERS, "operator"])
def test_a_password_is_never_asked_for(
    name: str, user: str, network: Network, methods: dict[tuple[str, str], list[str]]
) -> None:
    """``operator`` is the account that the description names for logging in."""
    who = _operator(network) if user == "operator" else user
    assert methods[name, who] == ["publickey"]


@pytest.fixture(scope="module")
def root_logins(network: Network) -> dict[str, subprocess.CompletedProcess[str]]:
    """Return what came of logging in as root with the operators' key, on each host."""
    return network.each(network.names, lambda name: _login(network, name, "-l", "root"))


def test_root_does_not_get_in_with_the_operators_key(
    name: str, root_logins: dict[str, subprocess.CompletedProcess[str]]
) -> None:
    done = root_logins[name]
    assert done.returncode == 255, f"root ran a command on {name}"
    assert "Permission denied" in done.stderr, done.stderr


def test_what_is_in_force_says_the_same(name: str, facts: dict[str, Any], network: Network) -> None:
    """``sshd -T`` prints what the server really works by, after all its includes."""
    wanted = {
        "permitrootlogin": "no",
        "passwordauthentication": "no",
        "kbdinteractiveauthentication": "no",
        "permitemptypasswords": "no",
        "hostbasedauthentication": "no",
        "x11forwarding": "no",
        "allowagentforwarding": "no",
        "permituserenvironment": "no",
        "gatewayports": "no",
        "strictmodes": "yes",
    }
    sshd = facts["sshd"]
    assert {key: sshd.get(key) for key in wanted} == wanted, name
    assert 1 <= int(sshd["maxauthtries"]) <= 4, name
    assert 1 <= int(sshd["logingracetime"]) <= 60, name
    bastion = "bastion" in network.described(name).roles
    assert (sshd["allowtcpforwarding"] == "no") == (not bastion), f"{name}: only the bastion passes others on"


def test_the_controller_accepts_known_servers_only(network: Network) -> None:
    text = network.ssh_config.read_text(encoding="utf-8").lower()
    assert "stricthostkeychecking yes" in text
    known = (network.state / "ssh" / "known_hosts").read_text(encoding="utf-8").split("\n")
    assert sorted(line.split()[0] for line in known if line) == sorted(network.names)
    keys = [line.split(maxsplit=1)[1] for line in known if line]
    assert len(set(keys)) == len(keys), "two hosts have one host key"


def test_an_unknown_server_is_refused(network: Network, tmp_path: Path) -> None:
    """With another host's key under its name, the first host isn't talked to."""
    first, second = network.names[:2]
    lines = (network.state / "ssh" / "known_hosts").read_text(encoding="utf-8").splitlines()
    keys = dict(line.split(maxsplit=1) for line in lines)
    wrong = tmp_path / "known_hosts"
    entries = {**keys, first: keys[second]}
    wrong.write_text("".join(f"{name} {key}\n" for name, key in entries.items()), encoding="utf-8")
    done = _login(network, first, "-o", f"UserKnownHostsFile={wrong}")
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr, done.stderr
