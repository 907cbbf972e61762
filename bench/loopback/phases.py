"""What a transaction costs a node, by phase: a block of signed objects taken through a ledger, by one thread.

Decode and verify are what the node that takes a transaction in, and each that it is passed on to, does once;
apply, tree and store are what every node does once in the block. Gossip is the coding of the messages alone:
TLS and what the operating system does for it are in the total that the processes' CPU time gives.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from provnode import wire
from provnode.core.types import Certificate, CommitSig, Vote, VoteType
from provnode.crypto.provider import get_provider
from provnode.ledger.app import Ledger
from provnode.ledger.errors import TxError
from provnode.ledger.genesis import load_genesis
from provnode.storage.store import Store

T = TypeVar("T")


def phases(root: Path, provider_name: str, count: int = 2_000) -> dict[str, float]:
    """Microseconds a transaction, from the transactions signed in `root`, in a block of `count`."""
    provider = get_provider(provider_name)
    genesis = load_genesis(root / "genesis.json")
    raws = [raw for _, raw in msgspec.msgpack.decode((root / "transactions").read_bytes())[:count]]
    spent: dict[str, float] = {}

    def timed(phase: str, call: Callable[[], T]) -> T:
        began = time.process_time()
        found = call()
        spent[phase] = spent.get(phase, 0.0) + time.process_time() - began
        return found

    with tempfile.TemporaryDirectory(dir=root) as folder:
        store = Store(Path(folder) / "chain.sqlite")
        ledger = Ledger(store, genesis, provider)
        message = timed("gossip", lambda: wire.encode_message(wire.TxMsg(tuple(raws))))
        timed("gossip", lambda: wire.decode_message(message))
        checked = timed("decode_and_verify", lambda: ledger.screen(raws))
        items = [
            (one.signer.public_key, one.tx.sign_bytes, one.tx.signature)
            for one in checked
            if not isinstance(one, TxError)
        ]
        spent["verify"] = 0.0
        timed("verify", lambda: provider.verify_batch(items))
        block = timed("build", lambda: ledger.build_block(time.time_ns() // 1_000_000, "v1", raws))
        ledger._prepared.clear()
        timed("validate", lambda: ledger.validate_block(block, time.time_ns() // 1_000_000))
        block_id = wire.decode_block(block).block_id
        names = sorted(one.name for one in genesis.validators)
        signatures = []
        for name in names:
            key = provider.load_private((root / f"{name}.pem").read_bytes())
            vote = Vote(VoteType.PRECOMMIT, 1, 0, block_id, name, b"")
            signatures.append(CommitSig(name, provider.sign(key, wire.vote_sign_bytes(genesis.hash, vote))))
        certificate = Certificate(1, 0, block_id, tuple(signatures))
        timed("store", lambda: ledger.commit(block, certificate))
        store.close()
    return {phase: round(seconds / len(raws) * 1e6, 1) for phase, seconds in spent.items()}
