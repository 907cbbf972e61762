"""A connection that ends while its node is told to stop: who cancelled it is not waited for in vain."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from provnode.net.connection import Connection, PeerLimits
from provnode.net.errors import StreamError
from provnode.net.stream import Stream


class Broken:
    """A stream that can't be written; a read of it takes its time to end."""

    peer = SimpleNamespace(name="v2", organisation="zjfin", expires=None)
    own_certificate = b""

    def __init__(self) -> None:
        self.ending = asyncio.Event()
        self.closed = False

    async def write(self, _: bytes) -> None:
        raise StreamError("cut_off", "the peer is gone")

    async def read_exactly(self, _: int) -> bytes:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.ending.set()
            await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        self.closed = True


async def nothing(_: Connection, __: bytes) -> None:
    pass


def test_a_cancellation_while_a_connection_ends_is_not_lost() -> None:
    async def scenario() -> None:
        stream = Broken()
        connection = Connection(cast(Stream, cast(Any, stream)), PeerLimits(), dialer="v1")
        connection.send(b"x", urgent=True)
        task = asyncio.create_task(connection.run(nothing))
        await stream.ending.wait()
        task.cancel()
        # else it would raise StreamError, and whoever dials that peer would dial it again, for ever
        with pytest.raises(asyncio.CancelledError):
            await task
        assert stream.closed

    asyncio.run(scenario())
