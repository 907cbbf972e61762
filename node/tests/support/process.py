"""A node in a process of its own, for tests that kill it: python -m tests.support.process FILE PREFIX

It submits transactions of its own and writes `ack <txid> <height>` once each is committed: what a client that
reads this line may rely on.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
from pathlib import Path

from provnode.crypto.provider import KeyPair, get_provider
from provnode.ledger.genesis import parse_genesis
from provnode.net.identity import Identity
from provnode.net.peers import KnownPeer
from provnode.ops.node import Node, Setup
from tests.support.network import make_transaction

_CLIENTS = 4


def read(path: Path) -> tuple[Setup, KeyPair]:
    """What the node is made of, and its clients' key."""
    found = json.loads(path.read_text(encoding="utf-8"))
    provider, genesis = get_provider("openssl"), parse_genesis(found["genesis"])
    where = Path(found["identity"])
    identity = Identity(
        where / "key.pem", where / "cert.pem", Path(found["trust"]), frozenset(genesis.organisations)
    )
    key = provider.load_private(Path(found["key"]).read_bytes())
    client = provider.load_private(Path(found["client"]).read_bytes())
    peers = [KnownPeer(*peer) for peer in found["peers"]]
    data = Path(found["data"])
    return Setup(genesis, identity, key, provider, data, "127.0.0.1", found["port"], peers), client


async def serve(setup: Setup, client: KeyPair, prefix: str) -> None:
    """Run the node and its clients until the process is killed."""
    node = Node(setup)
    await node.start()

    async def submit(name: str) -> None:
        for serial in itertools.count():
            raw = make_transaction(
                setup.provider, client, setup.genesis.hash, f"{prefix}-{name}-{serial}", "一"
            )
            txid = await node.submit(raw)
            height = await node.wait_committed(txid, 60.0)
            print("ack", txid.hex(), height, flush=True)

    async with asyncio.TaskGroup() as group:
        group.create_task(node.failed())
        for number in range(_CLIENTS):
            group.create_task(submit(str(number)))


if __name__ == "__main__":
    asyncio.run(serve(*read(Path(sys.argv[1])), sys.argv[2]))
