"""A long chain for the nodes of a loopback network to start on, made by the ledger, without consensus."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from typing import Any

from provnode import wire
from provnode.core.types import Certificate, CommitSig
from provnode.crypto.provider import KeyPair, get_provider
from provnode.ledger.app import Ledger
from provnode.ledger.genesis import load_genesis
from provnode.ledger.objects import PROTOCOL
from provnode.ledger.transactions import sign_transaction
from provnode.storage.store import Store

from bench.loopback.provnode import SIGNER, Provnode


class History:
    """Blocks of one small object each, a millisecond apart, certified by three of four validators."""

    def __init__(self, network: Provnode) -> None:
        self._root = network.root
        self._path = network.root / "history.sqlite"
        self._provider = get_provider(network.provider)
        self._keys = {name: self._load(name) for name in network.names[: 2 * network.count // 3 + 1]}
        self._client = self._load("client")
        self._genesis = load_genesis(network.root / "genesis.json")

    def _load(self, name: str) -> KeyPair:
        return self._provider.load_private((self._root / f"{name}.pem").read_bytes())

    def grow(self, upto: int) -> float:
        """Make the chain up to a height; gives the seconds that it took. It is not synced meanwhile."""
        start = time.monotonic()
        store = Store(self._path)
        # nothing of it is to outlive a power cut
        store._db.execute("PRAGMA synchronous = OFF")
        ledger = Ledger(store, self._genesis, self._provider)
        for height in range(ledger.height + 1, upto + 1):
            tx = self._transaction(f"object-{height}")
            raw = ledger.build_block(ledger.last_time_ms + 1, "v1", [tx])
            ledger.commit(raw, self._certificate(raw))
        store.close()
        return time.monotonic() - start

    def give(self, folder: Path) -> None:
        """Put a copy of it into a node's data folder."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        shutil.copyfile(self._path, folder / "chain.sqlite")

    def _transaction(self, object_id: str) -> bytes:
        content = {"type": "note", "object_id": object_id, "version": 0, "operation": "create"}
        content |= {"timestamp": self._genesis.time_ms // 1000}
        header = {"model": {"protocol": PROTOCOL, "version": "1.0"}, "content": content}
        body: Any = {"header": header, "body": {"padding": "x" * 100}}
        key, genesis_hash = self._client, self._genesis.hash
        return sign_transaction(self._provider, key, SIGNER, genesis_hash, "object", body)[0]

    def _certificate(self, raw: bytes) -> Certificate:
        block = wire.decode_block(raw)
        unsigned = Certificate(block.header.height, 0, block.block_id, ())
        message = wire.precommit_sign_bytes(self._genesis.hash, unsigned)
        signatures = tuple(
            CommitSig(name, self._provider.sign(key, message)) for name, key in self._keys.items()
        )
        return Certificate(block.header.height, 0, block.block_id, signatures)
