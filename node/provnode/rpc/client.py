"""Calling a node: over mutual TLS by its name, or on this host over its unix socket."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any, Protocol

import h11
import msgspec

_LONGEST = 64 * 1024 * 1024


class CallError(Exception):
    """The call failed. ``code`` is the chain's own code of a refusal, or empty."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class _Wire(Protocol):
    async def read(self, most: int = ...) -> bytes: ...

    async def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


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

    def __init__(self, wire: _Wire, where: str, organisation: str = "") -> None:
        self._wire = wire
        self._where = where
        self._http = h11.Connection(h11.CLIENT)
        self._number = 0
        self.organisation = organisation

    @classmethod
    async def local(cls, socket: Path) -> Client:
        """Connect to the node on this host. Raises CallError."""
        try:
            return cls(_Unix(*await asyncio.open_unix_connection(socket)), str(socket))
        except OSError as error:
            raise CallError(f"{socket}: {error.strerror}; does the node run here?") from None

    @classmethod
    async def remote(cls, address: str, port: int, identity: Any, expected: Any) -> Client:  # noqa: ANN401 - loaded late: TLS costs start-up time
        """Connect by TLS to the node that ``expected`` names. Raises CallError."""
        from provnode.net.errors import NetError
        from provnode.net.tls import open_tls

        try:
            stream = await open_tls(address, port, identity, expected)
        except NetError as error:
            raise CallError(str(error)) from None
        return cls(stream, f"{expected.name} ({address} port {port})", expected.organisation)

    async def call(self, method: str, **params: object) -> Any:  # noqa: ANN401 - each method has its own result
        """Call a method and return its result. Raises CallError."""
        self._number += 1
        given = {key: value for key, value in params.items() if value is not None}
        request = {"jsonrpc": "2.0", "id": self._number, "method": method, "params": given}
        try:
            body = await self._exchange(msgspec.json.encode(request))
            found = msgspec.json.decode(body)
        except CallError:
            raise
        except Exception as error:
            # whatever breaks the exchange breaks this connection: the caller only needs to know where
            raise CallError(f"{self._where}: {error}") from error
        if "error" in found:
            refused = found["error"]
            raise CallError(refused["message"], refused.get("data", {}).get("code", ""))
        return found["result"]

    async def _exchange(self, body: bytes) -> bytes:
        http = self._http
        headers = [("host", "node"), ("content-type", "application/json"), ("content-length", str(len(body)))]
        out = http.send(h11.Request(method="POST", target="/", headers=headers)) or b""
        out += http.send(h11.Data(data=body)) or b""
        await self._wire.write(out + (http.send(h11.EndOfMessage()) or b""))
        parts: list[bytes] = []
        size = 0
        while True:
            event = http.next_event()
            if event is h11.NEED_DATA:
                http.receive_data(await self._wire.read(65_536))
            elif isinstance(event, h11.Response) and event.status_code != 200:
                raise CallError(f"{self._where}: HTTP status {event.status_code}")
            elif isinstance(event, h11.Data):
                parts.append(bytes(event.data))
                size += len(parts[-1])
                if size > _LONGEST:
                    raise CallError(f"{self._where}: an answer of more than {_LONGEST} bytes")
            elif isinstance(event, h11.EndOfMessage):
                http.start_next_cycle()
                return b"".join(parts)
            elif isinstance(event, h11.ConnectionClosed):
                raise CallError(f"{self._where}: the connection was closed")

    async def close(self) -> None:
        """End the connection."""
        await self._wire.close()
