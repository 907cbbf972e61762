"""Lists in files: for an organisation whose CA the chain doesn't know, and for emergencies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from provnode.net.errors import IdentityError, StreamError, TlsError
from provnode.net.identity import Identity
from provnode.net.tls import Peer, Server, Stream, open_tls, serve_tls
from tests.support.pki import make_ca, make_trust

ORGANISATIONS = frozenset({"zjex", "zjfin"})


async def echo(stream: Stream) -> None:
    while data := await stream.read():
        await stream.write(data)


async def works(stream: Stream) -> bool:
    """Whether an echo comes back."""
    try:
        await stream.write(b"x")
        return await stream.read() == b"x"
    except StreamError:
        return False


class World:
    """v2 of zjfin serves; v1 and v3 of zjex connect. Lists are put beside v2's CAs only."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.cas = {name: make_ca(root / name, name) for name in sorted(ORGANISATIONS)}
        self.trust = make_trust(root / "trust", list(self.cas.values()))
        self.others = make_trust(root / "others", list(self.cas.values()))
        self.certs = {
            name: self.cas[organisation].issue(root / name, name)[1]
            for name, organisation in (("v1", "zjex"), ("v2", "zjfin"), ("v3", "zjex"))
        }
        self.serving = self.identity("v2")

    def identity(self, name: str) -> Identity:
        where, trust = self.root / name, self.trust if name == "v2" else self.others
        return Identity(where / "key.pem", where / "cert.pem", trust, ORGANISATIONS)

    def put(self, crl: bytes) -> None:
        new = self.trust / "new"
        new.write_bytes(crl)
        new.replace(self.trust / "zjex.crl")
        assert self.serving.own.name == "v2"  # whoever asks first finds the new list

    async def connect(self, server: Server, name: str) -> Stream:
        return await open_tls("127.0.0.1", server.port, self.identity(name), Peer("v2", "zjfin"))

    def run(self, work: Callable[[Server], Awaitable[None]]) -> None:
        async def scenario() -> None:
            server = await serve_tls("127.0.0.1", 0, self.serving, echo)
            await work(server)
            await server.close()

        asyncio.run(scenario())


def test_a_list_beside_the_cas_ends_connections_and_refuses_new_ones(tmp_path: Path) -> None:
    world = World(tmp_path)

    async def scenario(server: Server) -> None:
        revoked, good = await world.connect(server, "v1"), await world.connect(server, "v3")
        assert await works(revoked) and await works(good)
        world.put(world.cas["zjex"].revoke(world.certs["v1"], number=2))
        assert not await works(revoked) and await works(good)
        late = await world.connect(server, "v1")
        assert not await works(late)
        assert server.refused["revoked"] == 1
        # a node that starts later reads it too, and does not connect to such a one either
        again = world.identity("v2")
        other = await serve_tls("127.0.0.1", 0, world.identity("v1"), echo)
        with pytest.raises(TlsError) as error:
            await open_tls("127.0.0.1", other.port, again, Peer("v1", "zjex"))
        assert error.value.reason == "revoked"
        await other.close()
        for stream in (good, late, revoked):
            await stream.close()

    world.run(scenario)


def test_what_is_no_list_of_that_ca_changes_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    world = World(tmp_path)
    forged = make_ca(tmp_path / "forged", "zjex").revoke(world.certs["v1"], number=9)

    async def scenario(server: Server) -> None:
        stream = await world.connect(server, "v1")
        for crl, text in (
            (b"nonsense", "zjex.crl: "),
            (forged, "not signed by the CA of 'zjex'"),
            (world.cas["zjfin"].revoke(number=1), "issuer: found"),
        ):
            caplog.clear()
            world.put(crl)
            assert "identity.reload_failed" in caplog.text and text in caplog.text
            assert await works(stream)
            with pytest.raises(IdentityError):
                world.identity("v2")
        await stream.close()

    world.run(scenario)
