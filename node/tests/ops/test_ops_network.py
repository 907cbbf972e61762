"""Four real nodes on loopback: they agree, survive what they must survive, and stop where they must stop."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.network import local_network


def test_four_nodes_commit_transactions_from_each_of_them(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path) as net:
            found = await asyncio.gather(*(net.commit_one(name) for name in net.nodes for _ in range(3)))
            await net.reach(max(height for _, height in found))
            for txid, height in found:
                for node in net.nodes.values():
                    assert node.ledger.transaction(txid)["height"] == height
            assert net.same_chain() >= 1

    asyncio.run(scenario())
