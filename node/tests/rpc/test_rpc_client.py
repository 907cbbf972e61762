"""What a client makes of the other side's answers."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from provnode.rpc.client import CallError, Client


def test_a_client_takes_a_refusal_with_figures_in_it_for_the_answer_that_it_is(tmp_path: Path) -> None:
    """Such as that of a block that isn't kept, which says from which height on there are some."""
    body = (
        b'{"jsonrpc":"2.0","id":1,"error":{"code":-32001,"message":"block 1 is not kept here",'
        b'"data":{"code":"pruned","oldest_height":7}}}'
    )

    async def scenario() -> None:
        async def pruned(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 ok\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body))
            writer.close()

        server = await asyncio.start_unix_server(pruned, tmp_path / "pruned.sock")
        client = await Client.local(tmp_path / "pruned.sock", 5.0)
        with pytest.raises(CallError, match="block 1 is not kept here") as error:
            await client.call("block", height=1)
        assert (error.value.answered, error.value.code) == (True, "pruned")
        await client.close()
        server.close()

    asyncio.run(scenario())
