"""HTTP/1.1 (h11) on a TLS stream or a unix socket: POST / for JSON-RPC, GET /health, GET /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import h11

from provnode.net.errors import StreamError
from provnode.net.events import log_event
from provnode.net.limits import Bucket
from provnode.net.tls import Limits, Server, Stream, serve_tls
from provnode.ops import metrics
from provnode.ops.node import Node
from provnode.rpc.dispatch import answer
from provnode.rpc.methods import Methods, status_json

log = logging.getLogger(__name__)
_HEADER_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class RpcLimits:
    """What one connection may cost. Times in seconds."""

    idle_seconds: float = 60.0
    request_seconds: float = 15.0
    requests_a_second: float = 500.0
    burst: float = 2_000.0
    connections: int = 128


class Channel(Protocol):
    """What bytes come from and go to."""

    async def read(self, most: int = ...) -> bytes:
        """Return some bytes, none at the end."""

    async def write(self, data: bytes) -> None:
        """Send bytes."""


class _Pipe:
    """A unix socket's connection as a channel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, most: int = 65_536) -> bytes:
        """Return some bytes, none at the end."""
        return await self._reader.read(most)

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)
        await self._writer.drain()


class RpcServer:
    """The listening ends of a node's RPC."""

    def __init__(self, node: Node, limits: RpcLimits | None = None) -> None:
        self._node = node
        self._methods = Methods(node)
        self._limits = limits or RpcLimits()
        self._body = 2 * node.ledger.genesis.params.max_tx_bytes + 64 * 1024
        self._tls: Server | None = None
        self._unix: asyncio.Server | None = None
        self._socket: Path | None = None

    @property
    def port(self) -> int:
        """The TLS port in use."""
        if self._tls is None:
            raise StreamError("closed", "the RPC server does not listen")
        return self._tls.port

    async def start(self, address: str, port: int, admin_socket: Path) -> None:
        """Listen on both. Raises OSError."""
        limits = Limits(connections=self._limits.connections)
        self._tls = await serve_tls(address, port, self._node.identity, self._serve_tls, limits)
        await asyncio.to_thread(admin_socket.unlink, missing_ok=True)
        self._unix = await asyncio.start_unix_server(self._serve_unix, admin_socket)
        await asyncio.to_thread(admin_socket.chmod, 0o660)
        self._socket = admin_socket

    async def close(self) -> None:
        """End all connections."""
        if self._tls is not None:
            await self._tls.close()
        if self._unix is not None:
            self._unix.close()
        if self._socket is not None:
            await asyncio.to_thread(self._socket.unlink, missing_ok=True)

    async def _serve_tls(self, stream: Stream) -> None:
        await self._serve(stream, f"{stream.peer.name}@{stream.peer.organisation}")

    async def _serve_unix(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await self._serve(_Pipe(reader, writer), "local")
        writer.close()

    async def _serve(self, channel: Channel, caller: str) -> None:
        limits = self._limits
        bucket = Bucket(limits.requests_a_second, limits.burst, time.monotonic())
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEADER_BYTES)
        try:
            while True:
                async with asyncio.timeout(limits.idle_seconds):
                    request = await _next(http, channel)
                if not isinstance(request, h11.Request):
                    return
                async with asyncio.timeout(limits.request_seconds):
                    body = await self._read_body(http, channel)
                delay = bucket.take(1, time.monotonic())
                if delay:
                    await asyncio.sleep(delay)
                await self._respond(http, channel, request, body)
                if http.our_state is not h11.DONE or http.their_state is not h11.DONE:
                    return
                http.start_next_cycle()
        except TimeoutError:
            log_event(log, logging.INFO, "rpc.slow", caller=caller)
        except h11.RemoteProtocolError as error:
            log_event(log, logging.WARNING, "rpc.bad_http", caller=caller, error=error)
            if http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                with contextlib.suppress(StreamError, OSError, h11.LocalProtocolError):
                    await _send(http, channel, error.error_status_hint or 400, b"bad request\n", "text/plain")

    async def _read_body(self, http: h11.Connection, channel: Channel) -> bytes | None:
        """Return the body, or None if it is larger than allowed; then the rest is left unread."""
        parts: list[bytes] = []
        size = 0
        while True:
            event = await _next(http, channel)
            if isinstance(event, h11.Data):
                parts.append(bytes(event.data))
                size += len(parts[-1])
                if size > self._body:
                    return None
            else:
                return b"".join(parts)

    async def _respond(
        self, http: h11.Connection, channel: Channel, request: h11.Request, body: bytes | None
    ) -> None:
        method, target = request.method, request.target.partition(b"?")[0]
        pages: dict[tuple[bytes, bytes], Callable[[], tuple[int, bytes, str]]] = {
            (b"GET", b"/health"): self._health,
            (b"GET", b"/metrics"): self._metrics,
        }
        if body is None:
            reply = (413, f"at most {self._body} bytes\n".encode(), "text/plain")
        elif (method, target) in pages:
            reply = pages[method, target]()
        elif (method, target) == (b"POST", b"/"):
            found = await answer(self._methods, body)
            reply = (204, b"", "application/json") if found is None else (200, found, "application/json")
        else:
            reply = (404, b"POST /, GET /health, GET /metrics\n", "text/plain")
        await _send(http, channel, *reply)

    def _health(self) -> tuple[int, bytes, str]:
        status = status_json(self._node.status())
        well = not status["syncing"] and status["problem"] is None
        return (200 if well else 503), (b"ok\n" if well else b"not well\n"), "text/plain"

    def _metrics(self) -> tuple[int, bytes, str]:
        return 200, metrics.render(self._node.status()).encode(), "text/plain; version=0.0.4"


async def _next(http: h11.Connection, channel: Channel) -> object:
    while True:
        event = http.next_event()
        if event is not h11.NEED_DATA:
            return event
        if http.they_are_waiting_for_100_continue:
            await channel.write(http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        http.receive_data(await channel.read(65_536))


async def _send(http: h11.Connection, channel: Channel, status: int, body: bytes, kind: str) -> None:
    headers = [("content-type", kind), ("content-length", str(len(body)))]
    if status == 204:
        headers = []
    elif status == 413:
        headers.append(("connection", "close"))
    out = http.send(h11.Response(status_code=status, headers=headers)) or b""
    if body:
        out += http.send(h11.Data(data=body)) or b""
    out += http.send(h11.EndOfMessage()) or b""
    await channel.write(out)
