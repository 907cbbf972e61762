"""What a real server offers, read before a login; and servers that are none."""

from __future__ import annotations

import asyncio
import socket
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from provchain.audit import looks, ssh
from provchain.audit.offers import MOST_LETTERS, MOST_WORDS, fault, offers
from provchain.audit.ssh import Reach
from provchain.baseline.facts import Facts, command
from tests.unit.audit.sshd import Server, server

CIPHERS = "aes256-gcm@openssh.com,aes128-ctr"
KEX = "curve25519-sha256,diffie-hellman-group14-sha256"
MACS = "hmac-sha2-512-etm@openssh.com,hmac-sha2-256"


@pytest.fixture(scope="module")
def choosy() -> Iterator[Server]:
    with server(extra=f"Ciphers {CIPHERS}\nKexAlgorithms {KEX}\nMACs {MACS}") as one:
        yield one


ASKED = looks.plan([command("/usr/bin/id", "-u")])


def ask(reach: Reach) -> Facts:
    return asyncio.run(ssh.ask_all([reach], ASKED))[reach.name]


def test_a_server_is_taken_at_its_word(choosy: Server) -> None:
    found = ask(choosy.reach()).external
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
        assert ask(one.reach()).external["ssh.auth"] == ("publickey", "password")


def test_a_server_that_asks_for_nothing_says_so() -> None:
    log = 'debug1: Entering\nAuthenticated to h1 ([192.0.2.1]:22) using "none".\n'
    assert offers(log) == {"ssh.auth": ("none",)}
    assert offers(log.replace("none", "publickey")) == {}


def test_through_a_bastion(choosy: Server) -> None:
    door, host = choosy.reach("door"), choosy.reach("inner")
    host.config.write_text(f"{door.config.read_text()}\n{host.config.read_text()}")
    facts = ask(replace(host, bastion="door"))
    assert facts.unreachable == ""
    assert ",".join(facts.external["ssh.cipher"]) == CIPHERS


def test_a_connection_that_is_there_is_not_asked(choosy: Server) -> None:
    """It was opened before, maybe to a server with other offers."""
    control = choosy.folder / "control"
    kept = choosy.reach("kept", "ControlMaster auto", f"ControlPath {control}")
    argv = ["ssh", "-F", str(kept.config), "-o", "BatchMode=yes", "-M", "-N", "-f", "kept"]
    subprocess.run(
        argv, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        assert control.exists()
        assert ",".join(ask(kept).external["ssh.cipher"]) == CIPHERS
    finally:
        subprocess.run([*argv[:5], "-O", "exit", "kept"], check=True, capture_output=True)


def test_a_server_with_another_key_has_told_nothing(choosy: Server) -> None:
    reach = choosy.reach("imposter")
    with server() as other:
        (choosy.folder / "known-imposter").write_text(f"imposter {other.host_key}\n")
    facts = ask(reach)
    assert (facts.external, facts.outputs) == ({}, {})
    assert "verification failed" in facts.unreachable


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
        facts = ask(reach)
        speaker.join()
    assert facts.external == {}
    assert facts.unreachable


def test_what_a_server_says_later_is_not_its_offer() -> None:
    """Its own words stand behind ssh's, on one line, whatever is in them."""
    log = (
        "debug1: Remote protocol version 2.0, remote software version x\n"
        "debug2: local client KEXINIT proposal\ndebug2: ciphers stoc: ours\n"
        "debug2: peer server KEXINIT proposal\ndebug2: KEX algorithms: a,b\ndebug2: ciphers stoc: c\n"
        "debug1: Authentications that can continue: publickey\n"
        "debug2: peer server KEXINIT proposal\ndebug2: KEX algorithms: z\ndebug2: ciphers stoc: z\n"
        "debug1: Authentications that can continue: z\n"
    )
    assert offers(log) == {
        "ssh.version": ("SSH-2.0-x",),
        "ssh.kex": ("a", "b"),
        "ssh.cipher": ("c",),
        "ssh.auth": ("publickey",),
    }
    assert offers("debug1: Remote: debug2: peer server KEXINIT proposal\ndebug2: KEX algorithms: z\n") == {}


@given(st.text(max_size=400))
def test_whatever_is_logged_is_read(log: str) -> None:
    for text in (log, f"debug2: peer server KEXINIT proposal\ndebug2: KEX algorithms: {log}"):
        assert all(word.isprintable() for words in offers(text).values() for word in words)
    assert fault(log) in log


def test_what_it_says_is_bounded_and_printable() -> None:
    words = ",".join(["\x1b[2J" + "a" * 10_000] * 1_000)
    found = offers(f"debug1: Authentications that can continue: {words}\n")["ssh.auth"]
    assert len(found) == MOST_WORDS
    assert all(word.isprintable() and len(word) == MOST_LETTERS for word in found)


def test_a_log_without_end_is_cut(tmp_path: Path) -> None:
    async def flooded() -> str:
        with ssh.Log(tmp_path / "log") as log:
            process = await asyncio.create_subprocess_shell(
                f"head -c 3000000 /dev/zero >{log.path}; echo end >{log.path}"
            )
            await process.wait()
            return log.text()

    text = asyncio.run(flooded())
    assert len(text) <= ssh.MOST_LOG + (1 << 17)
    assert text.endswith("end\n")


def test_a_dead_host_offers_nothing(choosy: Server) -> None:
    reach = choosy.reach("gone")
    reach.config.write_text(reach.config.read_text().replace(f"Port {choosy.port}", "Port 1"))
    facts = ask(reach)
    assert facts.external == {}
    assert "refused" in facts.unreachable
