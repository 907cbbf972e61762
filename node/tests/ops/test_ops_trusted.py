"""A node that was given a trusted point joins the chain that comes past it, and no other."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from provnode import wire
from provnode.ledger.trusted import TrustedPoint
from provnode.ops.join import Join
from provnode.ops.node import Node
from tests.support.network import LocalNetwork, local_network
from tests.support.waiting import until

HEIGHT = 5


def scenario(tmp_path: Path, action: Callable[[LocalNetwork, TrustedPoint], Awaitable[None]]) -> None:
    async def run() -> None:
        async with local_network(tmp_path, extra=("n1",), start=False) as net:
            net.snapshot_interval = 4
            await net.start("v1", "v2", "v3", "v4")
            for _ in range(HEIGHT + 4):
                await net.commit_one()
            ledger = net.nodes["v1"].ledger
            row = ledger.store.block(HEIGHT)
            assert row is not None
            await action(net, TrustedPoint(HEIGHT, row.block_id, wire.validators_hash(ledger.validators)))

    asyncio.run(run())


async def follow(net: LocalNetwork, trusted: TrustedPoint) -> Node:
    node = net.nodes["n1"] = Node(dataclasses.replace(net.setup("n1"), trusted=trusted))
    await node.start()
    return node


def test_all_blocks_are_fetched_past_the_point(tmp_path: Path) -> None:
    async def action(net: LocalNetwork, trusted: TrustedPoint) -> None:
        node = await follow(net, trusted)
        await net.reach(HEIGHT + 2, "n1")
        trusted.check_store(node.ledger)

    scenario(tmp_path, action)


def test_a_chain_with_another_block_there_is_not_followed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def action(net: LocalNetwork, trusted: TrustedPoint) -> None:
        node = await follow(net, dataclasses.replace(trusted, block_id=bytes(32)))
        text = "reason=trusted"
        await until(lambda: text in caplog.text, "a peer is shut out for it")
        assert node.height < HEIGHT
        await net.commit_one("v2")

    scenario(tmp_path, action)


def test_a_snapshot_is_taken_past_the_point_only(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def action(net: LocalNetwork, trusted: TrustedPoint) -> None:
        caplog.set_level(logging.INFO, "provnode.ops.join")
        setup = net.setup("n1")
        wrong = dataclasses.replace(trusted, validators_hash=bytes(32))
        assert await Join(dataclasses.replace(setup, trusted=wrong), 1.0).run() is None
        assert "join.refused" in caplog.text
        early = dataclasses.replace(trusted, height=10**6)
        caplog.clear()
        assert await Join(dataclasses.replace(setup, trusted=early), 1.0).run() is None
        assert "join.too_old" in caplog.text and "join.refused" not in caplog.text
        assert not (setup.data_dir / "chain.sqlite").exists()
        assert await Join(dataclasses.replace(setup, trusted=trusted), 20.0).run()
        await follow(net, trusted)
        await net.reach(net.nodes["v1"].height, "n1")

    scenario(tmp_path, action)
