"""Four real nodes on loopback: they agree, survive what they must survive, and stop where they must stop."""

from __future__ import annotations

import asyncio
import errno
import os
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
from provnode.ledger.errors import TxError
from provnode.net.connection import Connection
from provnode.ops.consensus import EMPTY_BLOCK_INTERVALS
from provnode.storage.errors import StoreError
from tests.support.network import PARAMS, local_network
from tests.support.waiting import until


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


def test_blocks_arrive_where_their_transactions_do_not_wait_and_where_they_get_lost(tmp_path: Path) -> None:
    """v2 finds no transaction by name and asks; what v3 is sent in compact form is lost: it comes whole."""

    async def scenario() -> None:
        async with local_network(tmp_path) as net:
            asked = Counter[str]()

            def nothing(names: Sequence[bytes]) -> list[bytes]:
                asked["v2"] += len(names)
                return [b""] * len(names)

            def lost(peer: str, message: object) -> None:
                asked["v3"] += 1

            net.nodes["v2"].mempool.find = nothing  # type: ignore[method-assign]
            net.nodes["v3"].gossip._take_compact = lost  # type: ignore[method-assign]
            heights = [(await net.commit_one(name))[1] for name in ("v1", "v2", "v3", "v4")]
            await net.reach(heights[-1])
            assert net.same_chain() >= heights[-1]
            assert asked["v2"]
            assert asked["v3"]

    asyncio.run(scenario())


def test_blocks_come_without_transactions_but_less_often(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path) as net:
            await net.reach(3)
            blocks = [net.nodes["v1"].ledger.block(height) for height in (1, 2, 3)]
            assert all(block["transactions"] == [] for block in blocks)
            span = int(str(blocks[2]["time_ms"])) - int(str(blocks[1]["time_ms"]))
            # block times are the proposers' clocks, here all the same one
            assert span >= PARAMS["block_interval_ms"] * (EMPTY_BLOCK_INTERVALS - 1)

    asyncio.run(scenario())


def test_one_down_goes_on_two_down_halts_one_back_goes_on(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path) as net:
            await net.commit_one()
            await net.stop("v4")
            for _ in range(3):  # also when it was the absent one's turn
                await net.commit_one()
            await net.stop("v3")
            # what was under way may still be committed, then nothing is
            halted = max(node.height for node in net.nodes.values()) + 1
            txid = await net.nodes["v1"].submit(net.transaction())
            with pytest.raises(TimeoutError):
                await net.nodes["v1"].wait_committed(txid, 3.0)
            assert max(node.height for node in net.nodes.values()) <= halted
            await net.start("v3")
            assert await net.nodes["v1"].wait_committed(txid, 30.0)
            await net.start("v4")
            await net.reach(net.nodes["v1"].height, seconds=30.0)
            await net.commit_one("v4")
            net.same_chain()

    asyncio.run(scenario())


def test_a_node_that_was_away_catches_up_and_votes_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path, extra=("a1",), block_interval_ms=20) as net:
            await net.commit_one("a1")  # a node without a vote serves clients too
            await net.stop("v4", "a1")
            for _ in range(10):
                await net.commit_one()
            away = net.nodes["v1"].height
            await net.start("v4", "a1")
            await net.reach(away, "v4", "a1", seconds=30.0)
            await net.stop("v3")  # now nothing is decided without v4
            await net.commit_one("a1", seconds=30.0)
            net.same_chain()

    asyncio.run(scenario())


def test_all_down_and_up_again_goes_on_with_the_same_chain(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path) as net:
            txid, height = await net.commit_one()
            async with asyncio.timeout(20):  # a hang, not a slow machine: stopping waits for nothing
                await net.stop()
            await net.start()
            assert await net.nodes["v3"].wait_committed(txid, 20.0) == height
            _, later = await net.commit_one("v2")
            assert later > height
            net.same_chain()

    asyncio.run(scenario())


def test_a_transaction_that_can_not_apply_is_refused_and_a_waiter_is_told(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path) as net:
            raw = net.transaction()
            txid = await net.nodes["v1"].submit(raw)
            await net.nodes["v1"].wait_committed(txid, 20.0)
            for wrong in (raw, raw[:-1] + bytes([raw[-1] ^ 1]), b"", os.urandom(300)):
                with pytest.raises(TxError):
                    await net.nodes["v1"].submit(wrong)
            # two transactions for the same new object, on two nodes: one is committed, the other is dropped
            first = net.transaction("一")
            net._serial -= 1
            second = net.transaction("二")
            ids = await asyncio.gather(net.nodes["v1"].submit(first), net.nodes["v2"].submit(second))
            outcomes = await asyncio.gather(
                net.nodes["v1"].wait_committed(ids[0], 20.0),
                net.nodes["v2"].wait_committed(ids[1], 20.0),
                return_exceptions=True,
            )
            assert sorted(type(outcome).__name__ for outcome in outcomes) == ["TxError", "int"]

    asyncio.run(scenario())


def test_status_tells_what_is_so(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path, extra=("a1",)) as net:
            await until(lambda: len(net.nodes["a1"].status().peers) == 4, "a1 has its peers")
            await net.commit_one()
            await net.reach(1)
            status = net.nodes["a1"].status()
            assert (status.name, status.organisation, status.validator) == ("a1", "zjex", False)
            assert status.genesis_hash == net.genesis.hash
            assert [peer.name for peer in status.peers] == ["v1", "v2", "v3", "v4"]
            assert status.height >= 1 and status.problem is None and not status.syncing
            assert net.nodes["v1"].status().validator
            # whose validators decide beside the node's own vote; a1 has none
            assert status.deciding == ("zjcsd", "zjdata", "zjex", "zjfin")
            assert net.nodes["v1"].status().deciding == ("zjcsd", "zjdata", "zjfin")

    asyncio.run(scenario())


def test_a_full_disk_halts_a_node_which_goes_on_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path) as net:
            await net.commit_one()
            node = net.nodes["v2"]
            commit = node.store.commit

            def full(*_: object) -> None:
                raise StoreError("disk_full", os.strerror(errno.ENOSPC), "make room")

            monkeypatch.setattr(node.store, "commit", full)
            await net.commit_one("v1")
            await until(lambda: node.status().problem, "the node says what is wrong")
            height = node.height
            await net.commit_one("v3")
            assert node.height == height
            monkeypatch.setattr(node.store, "commit", commit)
            await net.reach(net.nodes["v1"].height, "v2")
            await until(lambda: node.status().problem is None, "the problem is over")
            net.same_chain()

    asyncio.run(scenario())


def test_lost_messages_come_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chance, send = random.Random(7), Connection.send

    def lossy(self: Connection, body: bytes, *, urgent: bool) -> bool:
        return chance.random() < 0.25 or send(self, body, urgent=urgent)

    async def scenario() -> None:
        async with local_network(tmp_path) as net:
            monkeypatch.setattr(Connection, "send", lossy)  # one of four messages never leaves
            for name in net.nodes:
                await net.commit_one(name, seconds=40.0)
            monkeypatch.setattr(Connection, "send", send)
            await net.reach(net.nodes["v1"].height)
            net.same_chain()

    asyncio.run(scenario())
