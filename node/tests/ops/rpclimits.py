"""The limits of the RPC that docs/node.md states, tried at their figures: see `test_ops_limits`."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from provnode.ledger import canonical
from provnode.rpc import access
from provnode.rpc.access import LOCAL, Callers
from provnode.rpc.server import RpcLimits, RpcServer
from tests.support import virtual

MIB = 1024 * 1024


def tls_connections(_: Path) -> None:
    # what so many means is tried with fewer: `test_connections_are_capped` of the RPC's server
    assert RpcLimits().connections == 128


def requests_a_second(_: Path) -> None:
    limits, waits = RpcLimits(), list[float]()

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def ask(count: int) -> None:
        caller = Callers({}, limits.requests_a_second, limits.burst).get("a1", "zjex")
        for _ in range(count):
            await caller.turn()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(access, "asyncio", SimpleNamespace(sleep=sleep))
        patch.setattr("provnode.rpc.access.time.monotonic", lambda: 1.0)
        virtual.run(ask(2_000))
        assert waits == []
        virtual.run(ask(2_001))
        assert waits == [pytest.approx(1 / 500)]


class Client:
    """Sends a request, waiting so long before its last part, and keeps what is answered."""

    def __init__(self, head: bytes, body: bytes = b"", seconds: float = 0.0) -> None:
        self._parts = [(0.0, head), (seconds, body), (0.0, b"")]
        self.answer = b""

    async def read(self, _: int = 0) -> bytes:
        seconds, part = self._parts.pop(0)
        await asyncio.sleep(seconds)
        return part

    async def write(self, data: bytes) -> None:
        self.answer += data


def asked(length: int, sent: int, seconds: float = 0.0, max_tx_bytes: int = 4 * MIB) -> bytes:
    """The status line of the answer to a request of so many bytes, none where it is cut off."""
    params = SimpleNamespace(max_tx_bytes=max_tx_bytes)
    genesis = SimpleNamespace(params=params, organisations={}, document={"schemas": {}})
    server = RpcServer(cast(Any, SimpleNamespace(ledger=SimpleNamespace(genesis=genesis))))
    client = Client(
        b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % length, b" " * sent, seconds
    )
    virtual.run(server._serve(client, LOCAL))
    return client.answer.partition(b"\r\n")[0]


def seconds_a_request(_: Path) -> None:
    assert asked(2, 2, 14.9) == b"HTTP/1.1 200 "
    assert asked(2, 2, 15.1) == b""


def levels(_: Path) -> None:
    assert canonical.decode(b"[" * 32 + b"]" * 32)
    with pytest.raises(canonical.CanonicalError):
        canonical.decode(b"[" * 33 + b"]" * 33)


def body_bytes(_: Path) -> None:
    most = 2 * 4 * MIB + 64 * 1024  # in hexadecimal, and what stands around it
    assert asked(most, most) == b"HTTP/1.1 200 "
    assert asked(most + 1, most + 1).startswith(b"HTTP/1.1 413")


def least_body_bytes(_: Path) -> None:
    most = MIB + 64 * 1024
    assert asked(most, most, max_tx_bytes=MIB // 4) == b"HTTP/1.1 200 "
    assert asked(most + 1, most + 1, max_tx_bytes=MIB // 4).startswith(b"HTTP/1.1 413")


def bodies_together(_: Path) -> None:
    # what so many mean is tried with fewer: `test_rpc_bodies`
    assert RpcLimits().bodies == 128 * MIB
