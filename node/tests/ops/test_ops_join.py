"""A node without a store joins by a snapshot of its peers, whatever some of them send."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from provnode.ops.join import Join
from provnode.storage.store import Store
from tests.support.network import LocalNetwork, local_network
from tests.support.waiting import until


def snapshots(net: LocalNetwork, height: int) -> bool:
    """Whether all running validators keep a snapshot of at least this height."""
    net.check()
    found = [node._snapshots.shelf.newest() for node in net.nodes.values() if node.setup.key]
    return all(one is not None and one[0] >= height for one in found)


async def with_snapshots(net: LocalNetwork) -> None:
    net.snapshot_interval = 4
    await net.start("v1", "v2", "v3", "v4")
    for name in ("v1", "v2", "v3", "v4", "v1", "v2"):
        await net.commit_one(name)
    await until(lambda: snapshots(net, 4), "a snapshot")


def test_a_fresh_node_joins_and_follows(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path, extra=("n1",), start=False) as net:
            await with_snapshots(net)
            height = await Join(net.setup("n1"), 20.0).run()
            assert height is not None and height >= 4
            assert not (tmp_path / "n1" / "data" / "joining").exists()
            await net.start("n1")
            joined = net.nodes["n1"]
            assert joined.store.lowest() == height <= joined.height
            _, later = await net.commit_one("v3")
            await net.reach(later)
            assert joined.ledger.state_root == net.nodes["v1"].ledger.state_root or joined.height > later

    asyncio.run(scenario())


def test_two_snapshots_are_kept(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path, start=False) as net:
            await with_snapshots(net)
            await until(lambda: snapshots(net, 12), "a third snapshot", 40.0)
            for node in net.nodes.values():
                kept = node._snapshots.shelf.heights()
                assert len(kept) == 2 and all(height % 4 == 0 for height in kept)

    asyncio.run(scenario())


@pytest.mark.parametrize("spoil", ["chunk", "manifest"])
def test_who_sends_something_false_is_left_out(tmp_path: Path, spoil: str) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path, extra=("n1",), start=False) as net:
            await with_snapshots(net)
            for liar in ("v1", "v2"):
                node = net.nodes[liar]

                async def false(*_: object) -> bytes:
                    return b"\x90" * 100

                setattr(node, "snapshot_chunk" if spoil == "chunk" else "snapshot", false)
            join = Join(net.setup("n1"), 20.0)
            assert await join.run() is not None
            # whoever was asked and lied is refused, and no honest one is
            assert join._refused <= {"v1", "v2"}
            assert spoil == "chunk" or join._refused == {"v1", "v2"}

    asyncio.run(scenario())


def test_without_a_snapshot_it_gives_up_and_nothing_is_left(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path, extra=("n1",), start=False) as net:
            await net.start("v1", "v2", "v3", "v4")
            assert await Join(net.setup("n1"), 1.0).run() is None
            assert not (tmp_path / "n1" / "data" / "chain.sqlite").exists()

    asyncio.run(scenario())


JOINER = """
import asyncio, sys
from pathlib import Path
from provnode.ops.join import Join
from tests.support.process import read
asyncio.run(Join(read(Path(sys.argv[1]))[0], 20.0).run())
"""


def test_killed_at_any_moment_it_begins_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path, extra=("n1",), start=False) as net:
            await with_snapshots(net)
            net.keys["n1"] = net.provider.generate()  # the process wants one; the chain does not list it
            where = net.export("n1")
            path = tmp_path / "n1" / "data" / "chain.sqlite"
            for step in range(12):
                process = await asyncio.create_subprocess_exec(sys.executable, "-c", JOINER, str(where))
                try:
                    await asyncio.wait_for(process.wait(), 0.3 + 0.1 * step)
                except TimeoutError:
                    os.kill(process.pid, signal.SIGKILL)
                    await process.wait()
                if path.exists():
                    break
            else:
                assert await Join(replace(net.setup("n1"), key=None), 20.0).run() is not None
            store = Store(path)
            store.check()
            assert store.height() == store.lowest() >= 4
            store.close()
            del net.keys["n1"]
            await net.start("n1")
            await net.reach(net.nodes["v1"].height)

    asyncio.run(scenario())
