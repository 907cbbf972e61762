"""Commits prepared blocks and prints each height once it is durable. test_ledger_kill.py runs and kills it.

    python committer.py STORE PLAN

PLAN is MessagePack: the genesis document as JSON, and [block, certificate] for each height.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgspec
from provnode import wire
from provnode.crypto.provider import get_provider
from provnode.ledger.app import Ledger
from provnode.ledger.canonical import decode
from provnode.ledger.genesis import parse_genesis
from provnode.storage.store import Store


def main(store: Path, plan: Path) -> None:
    """Go on where the store is, until killed or done."""
    genesis, blocks = msgspec.msgpack.decode(plan.read_bytes(), type=tuple[bytes, list[tuple[bytes, bytes]]])
    ledger = Ledger(Store(store), parse_genesis(decode(genesis)), get_provider("openssl"))
    print(f"open {ledger.height}", flush=True)
    for raw, certificate in blocks[ledger.height :]:
        done = ledger.commit(raw, wire.decode_certificate(certificate))
        print(f"done {done.height}", flush=True)


main(Path(sys.argv[1]), Path(sys.argv[2]))
