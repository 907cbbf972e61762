"""Nodes that keep the newest blocks only: they vote, serve and prove like others, and say what they lack."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from provnode.ledger.fsck import fsck
from provnode.light import Trust, verify_proof
from provnode.net import sync
from provnode.ops import pruning
from provnode.ops.join import Join
from provnode.rpc.access import LOCAL
from provnode.rpc.errors import RpcError
from provnode.rpc.methods import Methods
from provnode.storage import prune
from provnode.storage.store import Store
from tests.support.network import LocalNetwork, local_network
from tests.support.waiting import until

KEEP = 5


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "STEP_BLOCKS", 3)
    monkeypatch.setattr(pruning, "STEP_BLOCKS", 3)
    monkeypatch.setattr(sync, "_AVOIDED_SECONDS", 1.0)


def scenario(
    tmp_path: Path, action: Callable[[LocalNetwork], Awaitable[None]], pruned: tuple[str, ...]
) -> None:
    async def run() -> None:
        async with local_network(tmp_path, extra=("n1",), start=False) as net:
            net.keep_blocks = dict.fromkeys(pruned, KEEP)
            net.snapshot_interval = 4
            await net.start("v1", "v2", "v3", "v4")
            for name in ("v1", "v2", "v3", "v4") * 4:
                await net.commit_one(name)
            await until(lambda: all(net.nodes[name].oldest > 4 for name in pruned), "old blocks are gone")
            await action(net)

    asyncio.run(run())


def test_a_pruned_node_answers_precisely_and_proves_from_the_genesis(tmp_path: Path) -> None:
    async def action(net: LocalNetwork) -> None:
        node = net.nodes["v2"]
        assert net.nodes["v1"].oldest == 1
        status = node.status()
        # so many, and up to a step more while the next is not due or under way
        assert KEEP <= status.height - status.oldest_height + 1 <= KEEP + 2 * prune.STEP_BLOCKS
        txid = bytes.fromhex(str(net.nodes["v1"].ledger.object("o-1")["txid"]))
        for name, params in (
            ("block", {"height": 1}),
            ("consensus_state", {"height": 1}),
            ("objects", {"height": 1}),
            ("transaction", {"txid": txid.hex()}),
        ):
            with pytest.raises(RpcError, match="is not kept here, the oldest is") as error:
                await Methods(node).call(LOCAL, name, params)
            data = error.value.as_json()["data"]
            assert isinstance(data, dict) and data["code"] == "pruned"
            assert data["oldest_height"] >= status.oldest_height
        # the transaction is known all the same: it is no duplicate anybody could hand in again
        assert await node.wait_committed(txid, 1.0) < status.oldest_height
        trust = Trust.of_genesis(net.document, net.provider)
        assert verify_proof(node.ledger.prove("o-1"), trust, net.provider).object_id == "o-1"
        await net.stop()
        store = Store(tmp_path / "v2" / "data" / "chain.sqlite")
        assert store.lowest() == node.oldest > 1
        assert fsck(store, net.genesis, net.provider) == []
        store.close()
        await net.start("v1", "v2", "v3", "v4")
        assert net.nodes["v2"].oldest == node.oldest
        await net.commit_one("v2")

    scenario(tmp_path, action, ("v2", "v3"))


def test_who_needs_old_blocks_gets_them_from_an_archive(tmp_path: Path) -> None:
    async def action(net: LocalNetwork) -> None:
        asked: set[str] = set()
        for name, node in net.nodes.items():
            serve = node.stored_blocks

            async def note(height: int, *more: int, name: str = name, serve: object = serve) -> object:
                if height < net.nodes[name].oldest:
                    asked.add(name)
                return await serve(height, *more)  # type: ignore[operator]

            node.stored_blocks = note  # type: ignore[method-assign, assignment]
        await net.start("n1")
        await net.reach(net.nodes["v1"].height, "n1")
        assert net.nodes["n1"].oldest == 1
        assert asked == set(), "a node was asked for blocks that it had told it has not"

    scenario(tmp_path, action, ("v2", "v3", "v4"))


def test_without_an_archive_a_node_is_told_to_take_a_snapshot(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def action(net: LocalNetwork) -> None:
        await net.start("n1")
        node = net.nodes["n1"]
        await until(lambda: node.status().problem, "the problem is told", 30.0)
        assert node.height == 0
        problem = str(node.status().problem)
        assert problem.startswith("no peer keeps block 1, the oldest that one has is ")
        await until(lambda: "sync.stranded height=0 oldest=" in caplog.text, "it is logged")
        await net.stop("n1")
        # what it says helps
        for path in (tmp_path / "n1" / "data").glob("chain.sqlite*"):
            path.unlink()
        assert await Join(net.setup("n1"), 20.0).run()
        await net.start("n1")
        await net.reach(net.nodes["v1"].height, "n1")
        assert net.nodes["n1"].status().problem is None

    scenario(tmp_path, action, ("v1", "v2", "v3", "v4"))
