"""Lists in files: for an organisation whose CA the chain doesn't know, and for emergencies."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from provnode.net.errors import IdentityError, StreamError, TlsError
from provnode.net.identity import Identity
from provnode.net.tls import Peer, Stream, open_tls, serve_tls
from tests.support.pki import make_ca, make_trust

ORGANISATIONS = frozenset({"zjex", "zjfin"})


def test_a_list_beside_the_cas_ends_connections_and_refuses_new_ones(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    cas = {name: make_ca(tmp_path / name, name) for name in ORGANISATIONS}
    server_trust, client_trust = (
        make_trust(tmp_path / where, list(cas.values())) for where in ("one", "other")
    )
    _, bad = cas["zjex"].issue(tmp_path / "v1", "v1")
    cas["zjex"].issue(tmp_path / "v3", "v3")
    cas["zjfin"].issue(tmp_path / "v2", "v2")

    def identity(name: str, trust: Path) -> Identity:
        where = tmp_path / name
        return Identity(where / "key.pem", where / "cert.pem", trust, ORGANISATIONS)

    def put(organisation: str, crl: bytes) -> None:
        new = server_trust / "new"
        new.write_bytes(crl)
        new.replace(server_trust / f"{organisation}.crl")

    server_identity = identity("v2", server_trust)

    async def echo(stream: Stream) -> None:
        while data := await stream.read():
            await stream.write(data)

    async def works(stream: Stream) -> bool:
        await stream.write(b"x")
        return await stream.read() == b"x"

    async def scenario() -> None:
        server = await serve_tls("127.0.0.1", 0, server_identity, echo)

        async def connect(name: str) -> Stream:
            return await open_tls("127.0.0.1", server.port, identity(name, client_trust), Peer("v2", "zjfin"))

        revoked, good = await connect("v1"), await connect("v3")
        assert await works(revoked) and await works(good)
        # lists that are none change nothing
        forged = make_ca(tmp_path / "forged", "zjex").revoke(number=9)
        for crl, text in (
            (b"nonsense", "zjex.crl: "),
            (forged, "not signed by the CA of 'zjex'"),
            (cas["zjfin"].revoke(number=1), "issuer: found"),
        ):
            put("zjex", crl)
            caplog.clear()
            assert server_identity.own.name == "v2"
            assert "identity.reload_failed" in caplog.text and text in caplog.text
            assert await works(revoked)
            with pytest.raises(IdentityError):
                identity("v2", server_trust)
        put("zjex", cas["zjex"].revoke(bad, number=2))
        assert server_identity.own.name == "v2"  # whoever asks first finds the new list
        with pytest.raises(StreamError):
            assert not await works(revoked)
            raise StreamError("closed", "the other side has closed")
        assert await works(good)
        late = await connect("v1")
        with pytest.raises(StreamError):
            assert not await works(late)
            raise StreamError("closed", "the other side has closed")
        assert server.refused["revoked"] == 1 and "was revoked by its organisation" in caplog.text
        again = identity("v2", server_trust)  # a restart reads it too
        with pytest.raises(TlsError) as error:
            back = await serve_tls("127.0.0.1", 0, identity("v1", client_trust), echo)
            try:
                await open_tls("127.0.0.1", back.port, again, Peer("v1", "zjex"))
            finally:
                await back.close()
        assert error.value.reason == "revoked"
        for stream in (good, late, revoked):
            await stream.close()
        await server.close()

    asyncio.run(scenario())
