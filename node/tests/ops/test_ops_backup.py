"""Backups of nodes that commit meanwhile: each is the whole state of one height."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest
from provnode.ledger.app import Ledger
from provnode.ledger.fsck import fsck
from provnode.ops import pruning
from provnode.storage import prune
from provnode.storage.backup import unpack, write_backup
from provnode.storage.store import Store
from tests.support.network import LocalNetwork, local_network
from tests.support.waiting import until


def test_each_backup_under_load_is_of_one_height(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prune, "STEP_BLOCKS", 3)
    monkeypatch.setattr(pruning, "STEP_BLOCKS", 3)

    async def scenario() -> None:
        async with local_network(tmp_path, start=False) as net:
            net.keep_blocks = {"v2": 5}
            await net.start()
            loading = [asyncio.create_task(load(net, name)) for name in net.nodes]
            await until(lambda: net.nodes["v2"].oldest > 4, "old blocks are gone", 60.0)
            heights = []
            for number in range(6):
                node = net.nodes["v2" if number % 2 else "v1"]
                before, path = node.height, tmp_path / f"backup-{number}"
                manifest = await asyncio.to_thread(write_backup, node.setup.data_dir, path)
                assert before <= manifest.height <= node.store.height()
                heights.append(manifest.height)
                pruned = await asyncio.to_thread(check, net, path, tmp_path / f"restored-{number}")
                assert pruned == bool(number % 2)
            for task in loading:
                task.cancel()
            assert len(set(heights)) > 3, "few blocks were committed meanwhile"

    asyncio.run(scenario())


async def load(net: LocalNetwork, name: str) -> None:
    while True:
        await net.commit_one(name)


def check(net: LocalNetwork, path: Path, folder: Path) -> bool:
    """Verify a backup as it is restored; gives whether old blocks are missing in it."""
    folder.mkdir()
    manifest = unpack(path, folder)
    assert sorted(one.name for one in folder.iterdir()) == ["chain.sqlite"]
    store = Store(folder / "chain.sqlite")
    assert fsck(store, net.genesis, net.provider) == []
    ledger = Ledger(store, net.genesis, net.provider)
    assert (ledger.height, ledger.last_block_id.hex()) == (manifest.height, manifest.block_id)
    # the next block of the chain follows
    row = net.nodes["v1"].store.block(ledger.height + 1)
    if row is not None:
        ledger.commit(*net.nodes["v1"].ledger.stored_block(ledger.height + 1))
    lowest = store.lowest()
    store.close()
    return lowest > 1


def test_a_backup_is_a_store_without_a_log_beside_it(tmp_path: Path) -> None:
    store = Store(tmp_path / "chain.sqlite")
    store.bind(bytes(32))
    with sqlite3.connect(tmp_path / "chain.sqlite") as db:
        db.execute("INSERT INTO blocks VALUES (1, x'01', x'02', x'03')")
    db.close()
    write_backup(tmp_path, tmp_path / "backup")
    (tmp_path / "to").mkdir()
    unpack(tmp_path / "backup", tmp_path / "to")
    with sqlite3.connect(f"file:{tmp_path}/to/chain.sqlite?mode=ro", uri=True) as db:
        assert db.execute("PRAGMA journal_mode").fetchone() == ("delete",)
    db.close()
    store.close()
