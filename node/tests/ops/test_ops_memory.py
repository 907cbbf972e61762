"""Nothing that a node keeps grows with what went through it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from provnode import wire
from provnode.core.types import Certificate, CommitSig
from provnode.ledger import checks, mempool, tree
from provnode.ledger.app import Committed
from provnode.ledger.errors import TxError
from provnode.ops.node import Node
from tests.support.holdings import Growth
from tests.support.network import LocalNetwork

_BLOCKS = 12
_TRANSACTIONS = 25


@contextlib.asynccontextmanager
async def driven(network: LocalNetwork) -> AsyncIterator[Node]:
    """A node whose blocks are certified by hand; all else of it runs."""
    node = Node(network.setup("v1"))
    tasks = [asyncio.create_task(one) for one in (node._submissions.run(), node.gossip.run())]
    try:
        yield node
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await node.stop()


def certify(network: LocalNetwork, block_id: bytes, height: int, round_: int) -> Certificate:
    unsigned = Certificate(height, round_, block_id, ())
    message = wire.precommit_sign_bytes(network.genesis.hash, unsigned)
    sign = network.provider.sign
    signed = tuple(CommitSig(name, sign(key, message)) for name, key in sorted(network.keys.items()))
    return Certificate(height, round_, block_id, signed)


async def one_block(network: LocalNetwork, node: Node) -> None:
    """Transactions that are committed, come again, or are refused; who waits for them, and who in vain."""
    raws = [network.transaction(size=200) for _ in range(_TRANSACTIONS)]
    # creates what another one creates: it is dropped after the block, and the reason kept for a while
    rival = network.rival()
    txids = [txid for txid in await node.submit_many([*raws, rival]) if isinstance(txid, bytes)]
    assert len(txids) == _TRANSACTIONS + 1
    again = await node.submit_many([*raws, raws[0][:-1], b"no transaction"])
    assert all(isinstance(one, TxError) for one in again)
    waiting = [asyncio.create_task(node.wait_committed(txid, 60)) for txid in txids]
    with pytest.raises(TimeoutError):
        await node.wait_committed(bytes(32), 0.01)
    consensus = node._consensus
    for round_ in range(3):
        await consensus._build(node.height + 1, round_)  # rounds that come to nothing
    ((block_id, block),) = consensus.blocks.items()
    await consensus._commit(block, certify(network, block_id, node.height + 1, 2))
    outcomes = await asyncio.gather(*waiting, return_exceptions=True)
    assert outcomes[:-1] == [node.height] * _TRANSACTIONS and isinstance(outcomes[-1], TxError)


async def grown(network: LocalNetwork, node: Node, stretches: int) -> Growth:
    """What the node held, in stretches of blocks that are like one another."""
    node.ledger._nodes = tree.Cache(node.store.node, 200 * tree.NODE_BYTES)
    growth = Growth()
    for _ in range(stretches):
        growth.begin()
        for _ in range(_BLOCKS):
            await one_block(network, node)
            gc.collect()
            growth.look(node, "node")
    return growth


@pytest.fixture
def little_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is bounded by number or bytes is full before the first stretch is over."""
    monkeypatch.setattr(mempool, "_REASONS", 4)
    monkeypatch.setattr(checks, "_CACHE_BYTES", 10_000)


@pytest.mark.usefixtures("little_room")
def test_nothing_that_a_node_keeps_grows_with_what_went_through_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        network = LocalNetwork(tmp_path)
        async with driven(network) as node:
            growth = await grown(network, node, 3)
        last = growth.most[-1]
        # the caches were looked into, and full
        assert last["node.ledger._nodes._old"] > 50 and last["node.mempool._reasons"] == 4
        assert growth.growing() == {}

    asyncio.run(scenario())


@pytest.mark.usefixtures("little_room")
def test_what_does_grow_is_seen_wherever_it_lies(tmp_path: Path) -> None:
    async def scenario() -> None:
        network = LocalNetwork(tmp_path)
        async with driven(network) as node:
            kept: list[bytes] = []
            on_committed = node.on_committed

            def keeping(committed: Committed) -> None:
                kept.extend(committed.txids)
                on_committed(committed)

            node.on_committed = keeping  # type: ignore[method-assign]  # what a defect would do
            growing = (await grown(network, node, 2)).growing()
        assert growing["node.on_committed()<cell>"] == [_BLOCKS * _TRANSACTIONS, 2 * _BLOCKS * _TRANSACTIONS]

    asyncio.run(scenario())
