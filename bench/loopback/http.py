"""JSON-RPC to a node's unix socket with next to no cost on this side: one connection, one call at a time."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path
from typing import Any


def _request(method: str, params: dict[str, object]) -> bytes:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    return b"POST / HTTP/1.1\r\nhost: node\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


def _length(head: bytes) -> int:
    lines = head.lower().split(b"\r\n")
    return next(int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))


def _result(body: bytes) -> Any:  # noqa: ANN401 - each method has its own result
    found = json.loads(body)
    if "error" in found:
        raise OSError(found["error"]["message"])
    return found["result"]


class UnixRpc:
    """A connection of an asyncio client. A refusal, like a broken connection, is an OSError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def connect(cls, path: Path) -> UnixRpc:
        """Connect."""
        return cls(*await asyncio.open_unix_connection(str(path), limit=1 << 24))

    async def call(self, method: str, **params: object) -> Any:  # noqa: ANN401 - each method has its own result
        """Call, and return the result."""
        return _result(await self._exchange(_request(method, params)))

    def close(self) -> None:
        """End the connection."""
        self._writer.close()

    async def metrics(self) -> str:
        """The page of metrics."""
        return (await self._exchange(b"GET /metrics HTTP/1.1\r\nhost: node\r\n\r\n")).decode()

    async def _exchange(self, request: bytes) -> bytes:
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        return await self._reader.readexactly(_length(head))

    @staticmethod
    def ask(path: Path, method: str, **params: object) -> Any:  # noqa: ANN401 - each method has its own result
        """One call on a connection of its own, without asyncio."""
        kept = KeptRpc(path)
        try:
            return kept.ask(method, **params)
        finally:
            kept.close()


class KeptRpc:
    """A connection without asyncio, for one thread. Making it and asking raise OSError."""

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(30)
        try:
            self._socket.connect(str(path))
        except OSError:
            self._socket.close()
            raise
        self._answers = self._socket.makefile("rb")

    def ask(self, method: str, **params: object) -> Any:  # noqa: ANN401 - each method has its own result
        """One call."""
        self._socket.sendall(_request(method, params))
        head = b"".join(iter(self._answers.readline, b"\r\n"))
        if not head:
            raise ConnectionResetError("the node has closed the connection")
        return _result(self._answers.read(_length(head)))

    def close(self) -> None:
        """End the connection."""
        self._answers.close()
        self._socket.close()
