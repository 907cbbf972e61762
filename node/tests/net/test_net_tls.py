"""Mutual SM TLS: who gets in, who does not and why, and what a rude peer can't do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from provnode.net.errors import IdentityError
from provnode.net.identity import GROUP, SUITE, Identity
from provnode.net.tls import Limits, Peer, Server, Stream, StreamError, TlsError, open_tls, serve_tls
from tests.support.pki import Ca, make_ca, make_trust
from tests.support.tls import raw_context, try_handshake
from tests.support.waiting import until

QUICK = Limits(handshake_seconds=0.6, write_seconds=0.6)


@dataclass(frozen=True)
class Pki:
    root: Path
    orga: Ca
    orgb: Ca
    trust: Path
    server: tuple[Path, Path]
    client: tuple[Path, Path]

    def identity(self, files: tuple[Path, Path], *organisations: str) -> Identity:
        return Identity(*files, self.trust, frozenset(organisations or ("orga", "orgb")))


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    root = tmp_path_factory.mktemp("pki")
    orga, orgb = make_ca(root / "orga", "orga"), make_ca(root / "orgb", "orgb")
    trust = make_trust(root / "trust", [orga, orgb])
    return Pki(root, orga, orgb, trust, orga.issue(root / "v1", "v1"), orgb.issue(root / "v2", "v2"))


async def greet(stream: Stream) -> None:
    """Say one byte, then echo."""
    await stream.write(b"!")
    while data := await stream.read():
        await stream.write(data)


async def served(
    pki: Pki,
    action: Callable[[Server], Awaitable[None]],
    limits: Limits = QUICK,
    identity: Identity | None = None,
) -> None:
    server = await serve_tls("127.0.0.1", 0, identity or pki.identity(pki.server), greet, limits)
    try:
        await action(server)
    finally:
        await server.close()


def test_both_sides_know_each_other_and_data_passes(pki: Pki) -> None:
    async def action(server: Server) -> None:
        stream = await open_tls("127.0.0.1", server.port, pki.identity(pki.client), Peer("v1", "orga"))
        assert (stream.peer.name, stream.peer.organisation) == ("v1", "orga")
        assert (stream._tls.get_cipher_name(), stream._tls.get_group_name()) == (SUITE, GROUP)
        assert await stream.read_exactly(1) == b"!"
        data = os.urandom(3_000_000)
        back, _ = await asyncio.gather(stream.read_exactly(len(data)), stream.write(data))
        assert back == data
        await stream.close()
        await until(lambda: not server.connections, "the server forgets the connection")

    asyncio.run(served(pki, action))


def test_what_was_written_before_closing_still_arrives(pki: Pki) -> None:
    data, got = os.urandom(6_000_000), bytearray()

    async def collect(stream: Stream) -> None:
        while part := await stream.read():
            got.extend(part)

    async def run() -> None:
        server = await serve_tls("127.0.0.1", 0, pki.identity(pki.server), collect)
        client = await open_tls("127.0.0.1", server.port, pki.identity(pki.client), None)
        await client.write(data)
        await client.close()
        client.abort()  # once more does no harm
        await until(lambda: not server.connections, "the server has read to the end")
        await server.close()

    asyncio.run(run())
    assert bytes(got) == data


def test_another_than_the_expected_peer_is_refused_by_the_client(pki: Pki) -> None:
    async def action(server: Server) -> None:
        for expected in (Peer("v3", "orga"), Peer("v1", "orgb")):
            with pytest.raises(TlsError, match="found 'v1' of 'orga'") as caught:
                await open_tls("127.0.0.1", server.port, pki.identity(pki.client), expected)
            assert caught.value.reason == "identity"

    asyncio.run(served(pki, action))


def refusals(pki: Pki) -> dict[str, tuple[dict[str, object], str]]:
    """What a client shows, and the reason that the server gives."""
    root = pki.root
    foreign = make_ca(root / "foreign", "orga")
    aes = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256"
    cases: dict[str, tuple[tuple[Path, Path] | None, dict[str, str], str]] = {
        "no certificate": (None, {}, "handshake"),
        "foreign CA of the same name": (foreign.issue(root / "f", "v2"), {}, "handshake"),
        "orga's CA issues a node of orgb": (
            pki.orga.issue(root / "x", "v2", organisation="orgb"),
            {},
            "issuer",
        ),
        "expired": (pki.orgb.issue(root / "e", "v2", days=-1), {}, "handshake"),
        "server only": (pki.orgb.issue(root / "u", "v2", usage="serverAuth"), {}, "handshake"),
        "no extended key usage": (pki.orgb.issue(root / "n", "v2", usage=None), {}, "key_usage"),
        "two names": (pki.orgb.issue(root / "t", "v2", subject="/CN=v2/CN=v1/O=orgb"), {}, "subject"),
        "no organisation": (pki.orgb.issue(root / "o", "v2", subject="/CN=v2"), {}, "subject"),
        "AES only": (pki.client, {"suite": aes}, "handshake"),
        "another curve": (pki.client, {"group": "P-256"}, "handshake"),
        "ECDSA key": (
            pki.orgb.issue(root / "c", "v2", curve="P-256"),
            {"signatures": "ecdsa_secp256r1_sha256:sm2sig_sm3"},
            "handshake",
        ),
    }
    return {
        name: ({"key": files and files[0], "cert": files and files[1], **options}, reason)
        for name, (files, options, reason) in cases.items()
    }


def test_clients_that_are_refused(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    cases = refusals(pki)

    async def action(server: Server) -> None:
        good = raw_context(key=pki.client[0], cert=pki.client[1])
        assert await try_handshake(server.port, good) == ""
        for name, (options, reason) in cases.items():
            before = server.refused[reason]
            context = raw_context(**options)  # type: ignore[arg-type]  # the options of one case
            assert await try_handshake(server.port, context), f"{name}: was let in"
            assert server.refused[reason] == before + 1, f"{name}: {server.refused}"
        assert await try_handshake(server.port, good) == ""

    with caplog.at_level(logging.INFO):
        asyncio.run(served(pki, action))
    events = [record for record in caplog.records if record.getMessage().startswith("tls.refused")]
    assert len(events) == len(cases)
    assert not any(record.exc_info for record in caplog.records)


def test_an_organisation_outside_the_genesis_is_refused(pki: Pki) -> None:
    async def action(server: Server) -> None:
        stream = await open_tls("127.0.0.1", server.port, pki.identity(pki.client), None)
        with pytest.raises(StreamError):
            await stream.read_exactly(1)
        assert server.refused == {"organisation": 1}

    asyncio.run(served(pki, action, identity=pki.identity(pki.server, "orga")))


def test_a_server_of_a_foreign_ca_is_refused_by_the_client(pki: Pki) -> None:
    foreign = make_ca(pki.root / "foreign-server", "orga")
    trust = make_trust(pki.root / "foreign-trust", [foreign, pki.orgb])
    server_identity = Identity(*foreign.issue(pki.root / "fs", "v1"), trust, frozenset({"orga", "orgb"}))

    async def action(server: Server) -> None:
        with pytest.raises(TlsError) as caught:
            await open_tls("127.0.0.1", server.port, pki.identity(pki.client), Peer("v1", "orga"))
        assert caught.value.reason == "handshake"

    asyncio.run(served(pki, action, identity=server_identity))


def test_garbage_and_silence_cost_a_connection_and_no_traceback(
    pki: Pki, caplog: pytest.LogCaptureFixture
) -> None:
    async def action(server: Server) -> None:
        for garbage in (b"GET / HTTP/1.1\r\n\r\n", os.urandom(4096), b"\x16\x03\x01\xff\xff" + bytes(70_000)):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(garbage)
            with contextlib.suppress(ConnectionError):  # a reset is as good as closed
                await asyncio.wait_for(reader.read(), 3)
            writer.close()
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        assert await asyncio.wait_for(reader.read(), 3) == b""  # says nothing: closed after the limit
        writer.close()
        assert server.refused["slow"] == 1
        assert server.refused["handshake"] + server.refused["cut_off"] >= 3
        assert await try_handshake(server.port, raw_context(key=pki.client[0], cert=pki.client[1])) == ""

    with caplog.at_level(logging.INFO):
        asyncio.run(served(pki, action))
    assert not any(record.exc_info for record in caplog.records)


def test_half_open_connections_are_bounded_and_do_not_keep_others_out_for_long(pki: Pki) -> None:
    limits = Limits(handshake_seconds=0.6, handshakes_per_address=4)

    async def action(server: Server) -> None:
        idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(12)]
        await until(lambda: server.refused["full_handshakes_address"] == 8, "the rest is turned away")
        assert server.connections == 4
        await until(lambda: server.refused["slow"] == 4, "silence ends")
        assert await try_handshake(server.port, raw_context(key=pki.client[0], cert=pki.client[1])) == ""
        for _, writer in idle:
            writer.close()

    asyncio.run(served(pki, action, limits))


def test_connections_of_one_address_are_bounded(pki: Pki) -> None:
    async def action(server: Server) -> None:
        identity = pki.identity(pki.client)
        held = []
        for _ in range(3):
            stream = await open_tls("127.0.0.1", server.port, identity, None)
            assert await stream.read_exactly(1) == b"!"
            held.append(stream)
        with pytest.raises(TlsError):
            await open_tls("127.0.0.1", server.port, identity, None)
        assert server.refused == {"full_address": 1}
        for stream in held:
            await stream.close()

    asyncio.run(served(pki, action, Limits(connections_per_address=3)))


def test_connections_are_bounded_over_all_addresses(pki: Pki) -> None:
    async def action(server: Server) -> None:
        held = [await open_tls("127.0.0.1", server.port, pki.identity(pki.client), None) for _ in range(2)]
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, local_addr=("127.0.0.2", 0))
        assert await reader.read() == b""
        writer.close()
        assert server.refused == {"full": 1} and server.connections == 2
        await held.pop().close()
        await until(lambda: server.connections == 1, "the server forgets the connection")
        assert await try_handshake(server.port, raw_context(key=pki.client[0], cert=pki.client[1])) == ""
        await held.pop().close()

    asyncio.run(served(pki, action, Limits(connections=2)))


def test_handshakes_are_bounded_over_all_addresses(pki: Pki) -> None:
    limits = Limits(handshake_seconds=0.6, handshakes=3, handshakes_per_address=2)

    async def action(server: Server) -> None:
        idle = [
            await asyncio.open_connection("127.0.0.1", server.port, local_addr=(f"127.0.0.{n}", 0))
            for n in range(2, 8)
        ]
        await until(lambda: server.refused["full_handshakes"] == 3, "the rest is turned away")
        assert server.connections == 3
        await until(lambda: server.refused["slow"] == 3, "silence ends")
        assert await try_handshake(server.port, raw_context(key=pki.client[0], cert=pki.client[1])) == ""
        for _, writer in idle:
            writer.close()

    asyncio.run(served(pki, action, limits))


def test_a_peer_that_reads_nothing_is_cut_off(pki: Pki) -> None:
    async def action(server: Server) -> None:
        stream = await open_tls("127.0.0.1", server.port, pki.identity(pki.client), None, QUICK)
        with pytest.raises(StreamError) as caught:
            while True:  # the server echoes into a connection that nobody reads, then stops reading itself
                await stream.write(bytes(1_000_000))
        assert caught.value.reason in {"slow", "cut_off", "tls"}
        await stream.close()

    asyncio.run(served(pki, action))


def test_a_new_certificate_is_used_without_a_restart(pki: Pki) -> None:
    where = pki.root / "rotating"
    files = pki.orga.issue(where, "v1", days=10)
    identity = pki.identity(files)

    async def action(server: Server) -> None:
        client = pki.identity(pki.client)
        first = await open_tls("127.0.0.1", server.port, client, Peer("v1", "orga"))
        fresh = pki.orga.issue(pki.root / "fresh", "v1", days=20)
        fresh[0].replace(files[0])  # the new key is there, its certificate is not: the old pair stays
        second = await open_tls("127.0.0.1", server.port, client, Peer("v1", "orga"))
        assert second.peer == first.peer
        fresh[1].replace(files[1])
        third = await open_tls("127.0.0.1", server.port, client, Peer("v1", "orga"))
        assert third.peer.expires > first.peer.expires
        assert await first.read_exactly(1) == b"!"  # what is established goes on
        for stream in (first, second, third):
            await stream.close()

    asyncio.run(served(pki, action, identity=identity))


@pytest.mark.parametrize("problem", ["mode", "missing", "foreign", "mismatch", "expired", "garbage"])
def test_own_files_that_can_not_be_used(pki: Pki, tmp_path: Path, problem: str) -> None:
    foreign = make_ca(tmp_path / "ca", "orga")
    ca = foreign if problem == "foreign" else pki.orga
    key, cert = ca.issue(tmp_path / "node", "v1", days=-1 if problem == "expired" else 30)
    if problem == "mode":
        key.chmod(0o640)
    elif problem == "missing":
        cert.unlink()
    elif problem == "mismatch":
        key.write_bytes(pki.client[0].read_bytes())
    elif problem == "garbage":
        cert.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    with pytest.raises(IdentityError) as caught:
        pki.identity((key, cert))
    allowed = {"mode": "key_mode", "foreign": "issuer", "expired": "expired"}
    assert caught.value.reason == allowed.get(problem, "files")
