"""HTTP/1.1 (h11) on a TLS stream or a unix socket: POST / for JSON-RPC, GET /health, GET /metrics."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import h11

from provnode.net.errors import StreamError
from provnode.net.events import log_event
from provnode.net.tls import Limits, Server, Stream, serve_tls
from provnode.ops import metrics
from provnode.ops.node import Node
from provnode.rpc.access import LOCAL, Caller, Callers
from provnode.rpc.dispatch import Dispatcher
from provnode.rpc.methods import Methods

log = logging.getLogger(__name__)
_HEADER_BYTES = 16 * 1024
# of several transactions in one request, in hexadecimal
_BATCH_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class RpcLimits:
    """What others can make this node spend. Times in seconds; the rate is that of one certificate.

    `bodies` are the bytes of all requests over TLS that are being read or answered.
    """

    idle_seconds: float = 60.0
    request_seconds: float = 15.0
    write_seconds: float = 10.0
    requests_a_second: float = 500.0
    burst: float = 2_000.0
    connections: int = 128
    local_connections: int = 2_048
    bodies: int = 128 * 1024 * 1024


class Channel(Protocol):
    """What bytes come from and go to."""

    async def read(self, most: int = ...) -> bytes:
        """Return some bytes, none at the end."""

    async def write(self, data: bytes) -> None:
        """Send bytes."""


class _Pipe:
    """A unix socket's connection as a channel."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
        self._reader, self._writer, self._seconds = reader, writer, seconds

    async def read(self, most: int = 65_536) -> bytes:
        """Return some bytes, none at the end."""
        return await self._reader.read(most)

    async def write(self, data: bytes) -> None:
        """Send bytes."""
        self._writer.write(data)
        async with asyncio.timeout(self._seconds):
            await self._writer.drain()


class RpcServer:
    """The listening ends of a node's RPC."""

    def __init__(self, node: Node, limits: RpcLimits | None = None) -> None:
        self._node = node
        self._limits = limits = limits or RpcLimits()
        self._dispatcher = Dispatcher(Methods(node))
        genesis = node.ledger.genesis
        self._callers = Callers(genesis.organisations, limits.requests_a_second, limits.burst)
        # a transaction in hexadecimal, and room for what stands around it
        self._longest = max(2 * genesis.params.max_tx_bytes, _BATCH_BYTES) + 64 * 1024
        self._tls: Server | None = None
        self._unix: asyncio.Server | None = None
        self._socket: Path | None = None
        self._local: set[asyncio.Task[None]] = set()
        self._held = 0

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
        listener = await asyncio.to_thread(_bind, admin_socket)
        self._unix = await asyncio.start_unix_server(self._serve_unix, sock=listener, backlog=1024)
        self._socket = admin_socket
        log_event(log, logging.INFO, "rpc.listening", address=address, port=self.port, socket=admin_socket)

    async def close(self) -> None:
        """End all connections."""
        if self._tls is not None:
            await self._tls.close()
        if self._unix is not None:
            self._unix.close()
        for task in list(self._local):
            task.cancel()
        await asyncio.gather(*self._local, return_exceptions=True)
        if self._socket is not None:
            await asyncio.to_thread(self._socket.unlink, missing_ok=True)

    async def _serve_tls(self, stream: Stream) -> None:
        await self._serve(stream, self._callers.get(stream.peer.name, stream.peer.organisation))

    async def _serve_unix(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served by a task")
        if len(self._local) >= self._limits.local_connections:
            log_event(log, logging.WARNING, "rpc.full", connections=len(self._local))
            writer.close()
            return
        self._local.add(task)
        try:
            with contextlib.suppress(OSError, asyncio.CancelledError):
                await self._serve(_Pipe(reader, writer, self._limits.write_seconds), LOCAL)
        finally:
            self._local.discard(task)
            writer.close()

    async def _serve(self, channel: Channel, caller: Caller) -> None:
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEADER_BYTES)
        try:
            while await self._exchange(http, channel, caller):
                http.start_next_cycle()
        except TimeoutError:
            log_event(log, logging.INFO, "rpc.slow", caller=caller.name)
        except h11.RemoteProtocolError as error:
            log_event(log, logging.WARNING, "rpc.bad_http", caller=caller.name, error=error)
            if http.our_state in (h11.IDLE, h11.SEND_RESPONSE):
                reply = (error.error_status_hint or 400, b"bad request\n", "text/plain")
                with contextlib.suppress(StreamError, OSError, h11.LocalProtocolError):
                    await _send(http, channel, *reply, last=True)

    async def _exchange(self, http: h11.Connection, channel: Channel, caller: Caller) -> bool:
        """Take one request and answer it; say whether another may follow."""
        async with asyncio.timeout(self._limits.idle_seconds):
            request = await _next(http, channel)
        if not isinstance(request, h11.Request):
            return False
        body = bytearray()
        counts = caller is not LOCAL
        try:
            async with asyncio.timeout(self._limits.request_seconds):
                refusal = await self._read_body(http, channel, body, counts=counts)
            if refusal is not None:
                log_event(log, logging.WARNING, "rpc.too_large", caller=caller.name)
                # the rest of the body is left unread, so nothing can follow
                await _send(http, channel, *refusal, "text/plain", last=True)
                return False
            await _send(http, channel, *await self._reply(caller, request, bytes(body)))
        finally:
            self._held -= len(body) if counts else 0
        return http.our_state is h11.DONE and http.their_state is h11.DONE

    async def _read_body(
        self, http: h11.Connection, channel: Channel, body: bytearray, *, counts: bool
    ) -> tuple[int, bytes] | None:
        """Read into `body`; gives status and text of a refusal if it, or all that are held, are too large."""
        while isinstance(event := await _next(http, channel), h11.Data):
            size = len(event.data)
            if len(body) + size > self._longest:
                return 413, f"found more than {self._longest} bytes, which is the most allowed\n".encode()
            if counts and self._held + size > self._limits.bodies:
                return 503, b"too many large requests at once, try again later\n"
            self._held += size if counts else 0
            body += event.data
        return None

    async def _reply(self, caller: Caller, request: h11.Request, body: bytes) -> tuple[int, bytes, str]:
        method, target = request.method, request.target.partition(b"?")[0]
        pages: dict[tuple[bytes, bytes], Callable[[], tuple[int, bytes, str]]] = {
            (b"GET", b"/health"): self._health,
            (b"GET", b"/metrics"): self._metrics,
        }
        if (method, target) in pages:
            await caller.turn()
            return pages[method, target]()
        if (method, target) != (b"POST", b"/"):
            return 404, b"allowed: POST /, GET /health, GET /metrics\n", "text/plain"
        found = await self._dispatcher.answer(caller, body)
        return (204, b"", "") if found is None else (200, found, "application/json")

    def _health(self) -> tuple[int, bytes, str]:
        status = self._node.status()
        if status.problem is not None:
            return 503, f"{status.problem}\n".encode(), "text/plain"
        return (503, b"syncing\n", "text/plain") if status.syncing else (200, b"ok\n", "text/plain")

    def _metrics(self) -> tuple[int, bytes, str]:
        refused = self._tls.refused if self._tls is not None else {}
        steps = self._node.step_times.histograms
        text = metrics.render(self._node.status(), steps, self._dispatcher.outcomes, refused)
        return 200, text.encode(), "text/plain; version=0.0.4"


def _bind(path: Path) -> socket.socket:
    """Bind the unix socket for owner and group. Raises OSError."""
    if path.exists() and not path.is_socket():
        raise FileExistsError(errno.EEXIST, "exists and is no socket", str(path))
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        # connecting takes the right to write, which no usual umask leaves to others meanwhile
        listener.bind(str(path))
        path.chmod(0o660)
    except OSError as error:
        listener.close()
        raise OSError(error.errno, error.strerror, str(path)) from None
    return listener


async def _next(http: h11.Connection, channel: Channel) -> object:
    while True:
        event = http.next_event()
        if event is not h11.NEED_DATA:
            return event
        if http.they_are_waiting_for_100_continue:
            await channel.write(http.send(h11.InformationalResponse(status_code=100, headers=[])) or b"")
        http.receive_data(await channel.read(65_536))


async def _send(
    http: h11.Connection, channel: Channel, status: int, body: bytes, kind: str, *, last: bool = False
) -> None:
    headers = [("content-type", kind), ("content-length", str(len(body)))] if body else []
    if last:
        headers.append(("connection", "close"))
    out = http.send(h11.Response(status_code=status, headers=headers)) or b""
    if body:
        out += http.send(h11.Data(data=body)) or b""
    out += http.send(h11.EndOfMessage()) or b""
    await channel.write(out)
