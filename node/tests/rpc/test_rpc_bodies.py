"""What the requests of all clients hold together is bounded."""

from __future__ import annotations

import asyncio
from pathlib import Path

from provnode.net.tls import Peer, open_tls
from provnode.rpc.server import RpcLimits
from tests.rpc.rpckit import served
from tests.support.waiting import until

POST = b"POST / HTTP/1.1\r\nhost: x\r\n"


def test_large_requests_of_others_are_bounded_together_and_local_ones_go_on(tmp_path: Path) -> None:
    async def work() -> None:
        async with served(tmp_path, RpcLimits(bodies=5_000)) as it:
            expected = Peer("v1", it.network.members["v1"])
            first, second = [
                await open_tls("127.0.0.1", it.rpc.port, it.network.identity(name), expected)
                for name in ("a1", "v2")
            ]
            await first.write(POST + b"content-length: 4000\r\n\r\n" + b"x" * 3_000)
            await until(lambda: it.rpc._held == 3_000, "the first is being read")
            await second.write(POST + b"content-length: 3000\r\n\r\n" + b"x" * 3_000)
            assert (await second.read()).startswith(b"HTTP/1.1 503 ")
            await second.close()
            local = await it.post(b" " * 6_000)
            assert local[0] == 200 and it.rpc._held == 3_000
            await first.write(b"x" * 1_000)
            assert (await first.read()).startswith(b"HTTP/1.1 200 ")
            await first.write(POST + b"content-length: 4000\r\n\r\n" + b"x" * 3_000)
            await first.close()  # in the middle of it
            await until(lambda: it.rpc._held == 0, "what it held is free again")
            client = await it.remote()
            assert (await client.call("node_status"))["name"] == "v1"
            await client.close()

    asyncio.run(work())
