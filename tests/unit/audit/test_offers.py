"""What a real server offers, read before a login; and servers that are none."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provchain.audit import looks, ssh
from provchain.audit.offers import MOST_LETTERS, MOST_WORDS, offers
from provchain.baseline.facts import command
from tests.unit.audit.sshd import Server, server

CIPHERS = "aes256-gcm@openssh.com,aes128-ctr"
KEX = "curve25519-sha256,diffie-hellman-group14-sha256"
MACS = "hmac-sha2-512-etm@openssh.com,hmac-sha2-256"


@pytest.fixture(scope="module")
def choosy() -> Iterator[Server]:
    with server(extra=f"Ciphers {CIPHERS}\nKexAlgorithms {KEX}\nMACs {MACS}") as one:
        yield one


def test_a_server_is_taken_at_its_word(choosy: Server) -> None:
    found = offers(choosy.reach())
    assert ",".join(found["ssh.cipher"]) == CIPHERS
    assert ",".join(found["ssh.mac"]) == MACS
    assert set(KEX.split(",")) <= set(found["ssh.kex"])
    assert found["ssh.host_key"] == ("ssh-ed25519",)
    assert found["ssh.auth"] == ("publickey",)
    assert found["ssh.version"][0].startswith("SSH-2.0-OpenSSH_")


def test_a_server_that_takes_passwords_says_so() -> None:
    with server(extra="Match all\nPasswordAuthentication yes") as one:
        config = one.folder / "sshd_config"
        assert "PasswordAuthentication no" in config.read_text()
        assert offers(one.reach())["ssh.auth"] == ("publickey", "password")


def test_through_a_bastion(choosy: Server) -> None:
    door, host = choosy.reach("door"), choosy.reach("inner")
    host.config.write_text(f"{door.config.read_text()}\n{host.config.read_text()}")
    asked = looks.plan([command("/usr/bin/id", "-u")])
    reach = replace(host, bastion="door")
    facts = asyncio.run(ssh.ask_all([reach], asked, outside=True))["inner"]
    assert facts.unreachable == ""
    assert ",".join(facts.external["ssh.cipher"]) == CIPHERS


def test_a_server_with_another_key_has_told_nothing(choosy: Server) -> None:
    reach = choosy.reach("imposter")
    with server() as other:
        (choosy.folder / "known-imposter").write_text(f"imposter {other.host_key}\n")
    assert offers(reach) == {}


def _say(listener: socket.socket, words: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.sendall(words)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.one_of(
        st.binary(max_size=300),
        st.binary(max_size=300).map(lambda raw: b"SSH-2.0-x\r\n" + raw),
        # a KEXINIT that is cut or that lies of its lengths
        st.binary(max_size=300).map(lambda raw: b"SSH-2.0-x\r\n\0\0\1\x2c\4\x14" + raw.ljust(296, b"\xff")),
    )
)
def test_whatever_answers_is_survived(choosy: Server, words: bytes) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        reach = choosy.reach("nonsense")
        text = reach.config.read_text().replace(f"Port {choosy.port}", f"Port {listener.getsockname()[1]}")
        reach.config.write_text(text)
        speaker = threading.Thread(target=_say, args=(listener, words))
        speaker.start()
        found = offers(reach)
        speaker.join()
    assert found == {}


def test_what_it_says_is_bounded_and_printable() -> None:
    from provchain.audit.offers import _plain

    words = _plain(["\x1b[2J" + "a" * 10_000] * 1_000)
    assert len(words) == MOST_WORDS
    assert all(word.isprintable() and len(word) == MOST_LETTERS for word in words)


def test_a_dead_host_offers_nothing(choosy: Server) -> None:
    reach = choosy.reach("gone")
    reach.config.write_text(reach.config.read_text().replace(f"Port {choosy.port}", "Port 1"))
    assert offers(reach) == {}
    assert subprocess.run(["ssh", "-G", "-F", str(reach.config), "gone"], capture_output=True).returncode == 0
