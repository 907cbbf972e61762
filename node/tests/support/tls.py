"""Raw TLS endpoints for tests: what a peer looks like that doesn't play by the rules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from OpenSSL import SSL
from OpenSSL._util import lib
from provnode.net.identity import GROUP, SIGNATURE, SUITE, describe


def raw_context(
    *,
    key: Path | None,
    cert: Path | None,
    suite: str = SUITE,
    group: str = GROUP,
    signatures: str = SIGNATURE,
) -> SSL.Context:
    """A client context that trusts anyone; without key and cert it shows no certificate."""
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(suite.encode())
    assert lib.SSL_CTX_set1_curves_list(context._context, group.encode())
    assert lib.SSL_CTX_set1_sigalgs_list(context._context, signatures.encode())
    if key and cert:
        context.use_certificate_file(str(cert))
        context.use_privatekey_file(str(key))
    return context


async def try_handshake(port: int, context: SSL.Context) -> str:
    """Connect as a client and wait for the first byte: "" when it came, else why it did not."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    tls = SSL.Connection(context, None)
    tls.set_connect_state()
    try:
        await _step(tls, reader, writer, tls.do_handshake)
        await _step(tls, reader, writer, lambda: tls.recv(1))
    except (SSL.Error, EOFError, OSError) as error:
        return describe(error)
    finally:
        writer.transport.abort()
    return ""


async def _step(
    tls: SSL.Connection,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    action: Callable[[], object],
) -> None:
    while True:
        try:
            action()
        except SSL.WantReadError:
            _flush(tls, writer)
            data = await reader.read(65536)
            if not data:
                raise EOFError("closed") from None
            tls.bio_write(data)
        else:
            _flush(tls, writer)
            return


def _flush(tls: SSL.Connection, writer: asyncio.StreamWriter) -> None:
    while True:
        try:
            writer.write(tls.bio_read(65536))
        except SSL.WantReadError:
            return
