"""A node that serves RPC on loopback, and raw ends to talk to it."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provnode.net.tls import Peer
from provnode.ops.node import Node
from provnode.rpc.client import Client
from provnode.rpc.server import RpcLimits, RpcServer
from tests.support.network import LocalNetwork

Json = Any  # what json.loads gives


@dataclass
class Served:
    """A node with its RPC server which runs alone, so it commits nothing, unless others were asked for."""

    network: LocalNetwork
    node: Node
    rpc: RpcServer
    socket: Path

    async def raw(self, sent: bytes) -> tuple[int, bytes]:
        """Send bytes to the unix socket and return status and body of the answer (0 where none came)."""
        reader, writer = await asyncio.open_unix_connection(self.socket)
        try:
            writer.write(sent)
            return await read_response(reader)
        finally:
            writer.close()

    async def post(self, body: bytes) -> tuple[int, bytes]:
        """POST a body to the unix socket."""
        head = f"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        return await self.raw(head.encode() + body)

    async def ask(self, request: object) -> Json:
        """POST a request as JSON and return the answer."""
        status, body = await self.post(json.dumps(request).encode())
        assert status == 200, (status, body)
        return json.loads(body)

    async def remote(self, caller: str = "a1") -> Client:
        """Connect by TLS as another node."""
        name = self.node.identity.own.name
        expected = Peer(name, self.network.members[name])
        return await Client.remote("127.0.0.1", self.rpc.port, self.network.identity(caller), expected)


async def read_response(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """Read one HTTP response; (0, b"") where the connection ended without one."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return 0, b""
    status = int(head.split(b" ", 2)[1])
    length = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return status, await reader.readexactly(int(length[0].split(b":")[1]) if length else 0)


@contextlib.asynccontextmanager
async def served(
    root: Path, limits: RpcLimits | None = None, *, others: bool = False
) -> AsyncIterator[Served]:
    """Serve v1's RPC until the block ends; with `others` its three fellow validators run too."""
    network = LocalNetwork(root, ("a1",))
    await network.start(*(("v1", "v2", "v3", "v4") if others else ("v1",)))
    node = network.nodes["v1"]
    rpc = RpcServer(node, limits)
    socket = root / "admin.sock"
    try:
        await rpc.start("127.0.0.1", 0, socket)
        yield Served(network, node, rpc, socket)
    finally:
        await rpc.close()
        await network.stop()
