"""Ledgers sealed on the disks of a running network, and their keys changed without a pause."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from provnode.crypto import get_provider
from provnode.crypto.sealed import Kek
from provnode.net.tls import Peer
from provnode.ops import rekey
from provnode.ops.rekey import RekeyError
from provnode.rpc.client import CallError, Client
from provnode.rpc.server import RpcServer
from provnode.storage.sealing import Keyring
from tests.support.network import LocalNetwork, local_network
from tests.support.waiting import until

PROVIDER = get_provider("openssl")
SECRET = "杭州某公司的股东名册"
SEALED = {f"v{n}": Kek(bytes([n]) * 16, PROVIDER) for n in (1, 2, 3)}


def scenario(tmp_path: Path, action: Callable[[LocalNetwork], Awaitable[None]]) -> None:
    async def run() -> None:
        async with local_network(tmp_path, start=False) as net:
            net.keks = SEALED
            await net.start()
            await action(net)
            net.same_chain()

    asyncio.run(run())


def readable(net: LocalNetwork, name: str) -> list[str]:
    """The files of a node in which the secret can be read."""
    folder = net.root / name / "data"
    assert (folder / "chain.sqlite").stat().st_size > 0
    return [
        path.name for path in folder.rglob("*") if path.is_file() and SECRET.encode() in path.read_bytes()
    ]


def keyring(net: LocalNetwork, name: str) -> Keyring:
    """A node's keyring as it is on the disk."""
    return Keyring(net.root / name / "data" / "keyring", SEALED[name])


async def commit_secret(net: LocalNetwork, via: str) -> None:
    txid = await net.nodes[via].submit(net.transaction(SECRET))
    height = await net.nodes[via].wait_committed(txid, 20.0)
    await net.reach(height)


def test_what_is_committed_can_not_be_read_on_the_disk(tmp_path: Path) -> None:
    async def action(net: LocalNetwork) -> None:
        for name in ("v1", "v4"):
            await commit_secret(net, name)
        found = net.nodes["v1"].ledger.object("o-1", None)
        assert SECRET in str(found)  # to those who ask the node it is all there
        running = {name: readable(net, name) for name in net.members}
        await net.stop()
        stopped = {name: readable(net, name) for name in net.members}
        for files in (running, stopped):
            assert [files[name] for name in SEALED] == [[], [], []]
            assert files["v4"], "the search finds nothing in a plain ledger either"
        await net.start()
        await commit_secret(net, "v2")

    scenario(tmp_path, action)


def test_a_data_key_is_changed_while_blocks_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rekey, "_PAUSE_SECONDS", 0.3)

    async def action(net: LocalNetwork) -> None:
        node = net.nodes["v1"]
        rpc = RpcServer(node)
        await rpc.start("127.0.0.1", 0, tmp_path / "admin.sock")
        await commit_secret(net, "v1")
        (old,) = keyring(net, "v1").numbers
        client = await Client.local(tmp_path / "admin.sock")
        assert (await client.call("node_status"))["rekey"] is None
        start = node.height
        new = (await client.call("rekey"))["data_key"]
        assert set(keyring(net, "v1").numbers) == {old, new}
        with pytest.raises(CallError, match=f"to data key {new} is still under way"):
            await client.call("rekey")
        await until(lambda: node.status().rekey is not None, "it is under way")
        told = (await client.call("node_status"))["rekey"]
        assert 0 <= told["done"] <= told["of"]
        await commit_secret(net, "v1")
        await until(lambda: node.status().rekey is None, "it is done")
        assert keyring(net, "v1").numbers == (new,)
        assert node.height > start
        stranger = await Client.remote("127.0.0.1", rpc.port, net.identity("v2"), Peer("v1", "zjex"))
        with pytest.raises(CallError, match="no right to operate"):
            await stranger.call("rekey")
        await stranger.close()
        await client.close()
        await rpc.close()
        await net.stop("v1")
        await net.start("v1")
        for height in range(1, start + 1):
            # each node has its own certificate of a block
            raws = {net.nodes[name].ledger.stored_block(height)[0] for name in ("v1", "v2")}
            assert len(raws) == 1
        assert SECRET in str(net.nodes["v1"].ledger.object("o-1", None))

    scenario(tmp_path, action)


def test_a_change_that_was_interrupted_goes_on_by_itself(tmp_path: Path) -> None:
    async def action(net: LocalNetwork) -> None:
        await commit_secret(net, "v1")
        new = await net.nodes["v1"].rekeying.begin()
        await net.stop("v1")
        assert len(keyring(net, "v1").numbers) == 2
        await net.start("v1")
        await until(lambda: keyring(net, "v1").numbers == (new,), "the old key is dropped")
        await net.commit_one("v1")

    scenario(tmp_path, action)


def test_a_plain_ledger_has_no_key_to_change(tmp_path: Path) -> None:
    async def action(net: LocalNetwork) -> None:
        with pytest.raises(RekeyError, match="kek_credential in its configuration"):
            await net.nodes["v4"].rekeying.begin()

    scenario(tmp_path, action)
