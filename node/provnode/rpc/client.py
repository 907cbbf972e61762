"""Calling a node: over mutual TLS by its name, or on this host over its unix socket.

What answers may be another organisation's node: its answers are taken apart as carefully as requests are.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import h11
import msgspec

if TYPE_CHECKING:  # TLS costs start-up time that a local question need not pay
    from provnode.net.tls import Identity, Peer

_LONGEST = 64 * 1024 * 1024
# longer than a node takes for its longest answer
_SECONDS = 90.0
_AGAIN_SECONDS = 0.01


class CallError(Exception):
    """The call failed. ``answered`` says whether the node refused it, or else the connection is of no use.

    ``code`` is the chain's own code of a refusal, if it has one.
    """

    def __init__(self, message: str, *, answered: bool = False, code: str = "") -> None:
        super().__init__(message)
        self.answered = answered
        self.code = code


class _Refusal(msgspec.Struct, frozen=True):
    code: int
    message: str
    data: dict[str, Any] = {}


class _Answer(msgspec.Struct, frozen=True):
    jsonrpc: str
    id: int | None
    result: Any = msgspec.UNSET
    error: _Refusal | msgspec.UnsetType = msgspec.UNSET


_decode = msgspec.json.Decoder(_Answer).decode


class _Wire(Protocol):
    async def read(self, most: int = ...) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


async def _connect(path: Path, seconds: float) -> socket.socket:
    """Connect to a unix socket, waiting while as many wait to be accepted as may. Raises OSError.

    Such a connect fails at once (EAGAIN) and has to be made again, which asyncio takes for one in progress.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    made.setblocking(False)
    try:
        async with asyncio.timeout(seconds):
            while True:
                try:
                    made.connect(str(path))
                except BlockingIOError:
                    await asyncio.sleep(_AGAIN_SECONDS)
                else:
                    return made
    except BaseException:
        made.close()
        raise


class _Unix:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def read(self, most: int = 65_536) -> bytes:
        return await self._reader.read(most)

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class Client:
    """One connection, one request at a time."""

    def __init__(self, wire: _Wire, where: str, seconds: float = _SECONDS) -> None:
        self._wire = wire
        self._where = where
        self._seconds = seconds
        self._http = h11.Connection(h11.CLIENT)
        self._number = 0
        self._broken = ""

    @classmethod
    async def local(cls, path: Path, seconds: float = _SECONDS) -> Client:
        """Connect to the node on this host, with so many seconds for each answer. Raises CallError."""
        try:
            connected = await _connect(path, seconds)
            return cls(_Unix(*await asyncio.open_unix_connection(sock=connected)), str(path), seconds)
        except OSError as error:
            reason = error.strerror or f"not accepted within {seconds:g} s"
            raise CallError(f"{path}: {reason}; does the node run here?") from None

    @classmethod
    async def remote(cls, address: str, port: int, identity: Identity, expected: Peer) -> Client:
        """Connect by TLS to the node that ``expected`` names. Raises CallError."""
        from provnode.net.tls import NetError, open_tls

        where = f"{expected.name} ({address} port {port})"
        try:
            return cls(await open_tls(address, port, identity, expected), where)
        except NetError as error:
            raise CallError(f"{where}: {error}") from None

    async def call(self, method: str, **params: object) -> Any:  # noqa: ANN401  # each method has its own result
        """Call a method and return its result; parameters that are None are left out. Raises CallError."""
        if self._broken:
            raise CallError(self._broken)
        try:
            async with asyncio.timeout(self._seconds):
                return await self._call(method, params)
        except TimeoutError:
            self._broken = f"{self._where}: no answer within {self._seconds:g} s"
        except CallError as error:
            if error.answered:
                raise
            self._broken = str(error)
        except Exception as error:
            # whatever breaks the exchange breaks this connection: the caller only needs to know where
            self._broken = f"{self._where}: {error}"
        raise CallError(self._broken)

    async def _call(self, method: str, params: dict[str, object]) -> object:
        self._number += 1
        given = {key: value for key, value in params.items() if value is not None}
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": given}
        answer = _decode(await self._exchange(msgspec.json.encode(request)))
        if isinstance(answer.error, _Refusal):
            refusal = answer.error
            raise CallError(refusal.message, answered=True, code=str(refusal.data.get("code", "")))
        if answer.id != self._number or answer.result is msgspec.UNSET:
            raise CallError(f"{self._where}: not an answer to what was asked")
        return answer.result

    async def _exchange(self, body: bytes) -> bytes:
        http = self._http
        headers = [("host", "node"), ("content-type", "application/json"), ("content-length", str(len(body)))]
        out = http.send(h11.Request(method="POST", target="/", headers=headers)) or b""
        out += http.send(h11.Data(data=body)) or b""
        await self._wire.write(out + (http.send(h11.EndOfMessage()) or b""))
        answer = bytearray()
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await self._wire.read(65_536))
            elif isinstance(event, h11.Response) and event.status_code != 200:
                raise CallError(f"{self._where}: HTTP status {event.status_code}")
            elif isinstance(event, h11.Data):
                answer += event.data
                if len(answer) > _LONGEST:
                    raise CallError(f"{self._where}: an answer of more than {_LONGEST} bytes")
            elif isinstance(event, h11.EndOfMessage):
                http.start_next_cycle()
                return bytes(answer)
            elif isinstance(event, h11.ConnectionClosed):
                raise CallError(f"{self._where}: the connection was closed")

    async def close(self) -> None:
        """End the connection."""
        await self._wire.close()
