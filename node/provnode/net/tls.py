"""Connections between nodes, and from clients: mutual TLS 1.3 with the national algorithms (RFC 8998).

TLS_SM4_GCM_SM3, curveSM2, sm2sig_sm3; nothing else is offered or accepted, on either side.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from OpenSSL import SSL

from provnode.net.errors import NetError, StreamError, TlsError
from provnode.net.events import log_event
from provnode.net.identity import Identity, PeerIdentity
from provnode.net.stream import Limits, Stream

__all__ = [
    "Identity",
    "Limits",
    "NetError",
    "Peer",
    "PeerIdentity",
    "Server",
    "Stream",
    "StreamError",
    "TlsError",
    "open_tls",
    "serve_tls",
]

log = logging.getLogger(__name__)
Handler = Callable[[Stream], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Peer:
    """Whom the caller means to reach."""

    name: str
    organisation: str


async def open_tls(
    host: str, port: int, identity: Identity, expected: Peer | None, limits: Limits | None = None
) -> Stream:
    """Connect and prove identities both ways.

    Raises TlsError when the other side is not `expected` (None: any node of the network), or refuses.
    A server that refuses this side's certificate says so after the handshake: the first read then raises.
    """
    limits = limits or Limits()
    try:
        async with asyncio.timeout(limits.handshake_seconds):
            reader, writer = await asyncio.open_connection(host, port)
    except TimeoutError as error:
        raise TlsError("connect", f"{host} port {port}: no answer in {limits.handshake_seconds} s") from error
    except OSError as error:
        raise TlsError("connect", f"{host} port {port}: {error.strerror or error}") from error
    stream = Stream(reader, writer, SSL.Connection(identity.context(server=False), None), limits)
    try:
        await stream.handshake(identity, server=False)
        found = stream.peer
        if expected is not None and (found.name, found.organisation) != (
            expected.name,
            expected.organisation,
        ):
            raise TlsError(
                "identity",
                f"{host} port {port}: found {found.name!r} of {found.organisation!r}, "
                f"allowed: {expected.name!r} of {expected.organisation!r}",
            )
    except BaseException:
        await stream.close()
        raise
    return stream


class Server:
    """A listening socket and the connections that came from it."""

    def __init__(self, identity: Identity, handler: Handler, limits: Limits) -> None:
        self._identity = identity
        self._handler = handler
        self._limits = limits
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._connections: Counter[str] = Counter()
        self._handshakes: Counter[str] = Counter()
        self._streams: set[Stream] = set()
        self.refused: Counter[str] = Counter()

    @property
    def port(self) -> int:
        """The port in use; tells which one it became when 0 was asked for."""
        if self._listener is None:
            raise StreamError("closed", "the server does not listen")
        return int(self._listener.sockets[0].getsockname()[1])

    @property
    def connections(self) -> int:
        """How many connections are open, handshakes included."""
        return self._connections.total()

    async def start(self, address: str, port: int) -> None:
        """Listen. Raises OSError."""
        self._identity.on_revoked(self._end_revoked)
        self._listener = await asyncio.start_server(self._accept, address, port)

    async def close(self) -> None:
        """Stop listening and end every connection."""
        if self._listener is not None:
            self._listener.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1.5)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served by a task")
        self._tasks.add(task)
        connection = SSL.Connection(self._identity.context(server=True), None)
        stream = Stream(reader, writer, connection, self._limits)
        address = stream.address
        try:
            full = self._full(address)
            if full:
                self._refuse(TlsError(full, f"{self.connections} connections are open"), address)
                stream.abort()
                return
            self._connections[address] += 1
            try:
                await self._serve(stream, address)
            finally:
                self._connections[address] -= 1
                self._connections += Counter()  # forgets addresses that have none
        except asyncio.CancelledError:
            # the server closes: ending quietly is what was asked for
            stream.abort()
        finally:
            self._tasks.discard(task)

    async def _serve(self, stream: Stream, address: str) -> None:
        try:
            self._handshakes[address] += 1
            try:
                await stream.handshake(self._identity, server=True)
            finally:
                self._handshakes[address] -= 1
                self._handshakes += Counter()
            self._streams.add(stream)
            await self._handler(stream)
        except TlsError as error:
            self._refuse(error, address)
        except StreamError as error:
            log_event(log, logging.INFO, "tls.ended", reason=error.reason, peer=address, error=error)
        except Exception:
            # a defect of the handler, not of the peer: its place in the code is needed
            log.exception("tls.handler_failed peer=%s", address)
        finally:
            self._streams.discard(stream)
            with contextlib.suppress(StreamError):
                await stream.close()

    def _end_revoked(self) -> None:
        for stream in list(self._streams):
            if self._identity.is_revoked(stream.peer):
                log_event(log, logging.WARNING, "tls.revoked", peer=stream.peer.name)
                stream.abort()

    def _full(self, address: str) -> str | None:
        limits = self._limits
        if self.connections >= limits.connections:
            return "full"
        if self._connections[address] >= limits.connections_per_address:
            return "full_address"
        if self._handshakes.total() >= limits.handshakes:
            return "full_handshakes"
        if self._handshakes[address] >= limits.handshakes_per_address:
            return "full_handshakes_address"
        return None

    def _refuse(self, error: TlsError, address: str) -> None:
        self.refused[error.reason] += 1
        log_event(log, logging.WARNING, "tls.refused", reason=error.reason, peer=address, error=error)


async def serve_tls(
    address: str, port: int, identity: Identity, handler: Handler, limits: Limits | None = None
) -> Server:
    """Listen on `address` and run `handler` with each connection whose peer has proven who it is.

    The handler decides what that peer may do; the connection is closed when it returns. Raises OSError.
    """
    server = Server(identity, handler, limits or Limits())
    await server.start(address, port)
    return server
