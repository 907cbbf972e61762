"""A network of real nodes on loopback, in one process: SM TLS between them, a disk under each."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import time
from collections.abc import AsyncIterator
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

from provnode.core.types import Validator
from provnode.crypto.provider import KeyPair, Provider, get_provider
from provnode.crypto.sealed import Kek
from provnode.ledger.canonical import Json
from provnode.ledger.genesis import Genesis, parse_genesis
from provnode.ledger.objects import PROTOCOL
from provnode.ledger.transactions import sign_transaction
from provnode.net.identity import Identity
from provnode.net.peers import KnownPeer
from provnode.ops.node import Node, Setup
from tests.support.pki import make_ca, make_trust
from tests.support.waiting import until

ORGANISATIONS = ("zjex", "zjfin", "zjdata", "zjcsd")
# quick rounds, and patient enough for four nodes on one busy core
PARAMS = {
    "max_block_bytes": 1_000_000,
    "max_tx_bytes": 65_536,
    "block_interval_ms": 100,
    "propose_timeout_ms": 1_000,
    "vote_timeout_ms": 500,
    "timeout_delta_ms": 250,
}
SIGNER = "client@zjex"


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for item in sockets:
            item.bind(("127.0.0.1", 0))
        return [item.getsockname()[1] for item in sockets]


def make_transaction(
    provider: Provider, key: KeyPair, genesis_hash: bytes, object_id: str, title: str, padding: str = ""
) -> bytes:
    """A transaction, signed by SIGNER, that creates an object."""
    body: Json = {
        "header": {
            "model": {"protocol": PROTOCOL, "version": "1.0"},
            "content": {
                "type": "note",
                "object_id": object_id,
                "version": 0,
                "operation": "create",
                "timestamp": int(time.time()),
            },
        },
        "body": {"title": title, "padding": padding},
    }
    return sign_transaction(provider, key, SIGNER, genesis_hash, "object", body)[0]


@dataclass
class LocalNetwork:
    """Keys, genesis and directories of a network under `root`; nodes are started and stopped by name.

    Validators are v1 to v4, one an organisation; `extra` are nodes without a vote, of the first organisation.
    `unlisted` of them are in nobody's configuration. `founders` are the keys of each organisation's signer.
    """

    root: Path
    extra: tuple[str, ...] = ()
    params: dict[str, int] = field(default_factory=dict)
    snapshot_interval: int = 0
    unlisted: tuple[str, ...] = ()
    keks: dict[str, Kek] = field(default_factory=dict)
    keep_blocks: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.provider = get_provider("openssl")
        self.cas = {name: make_ca(self.root / "pki" / name, name) for name in ORGANISATIONS}
        self.trust = make_trust(self.root / "trust", list(self.cas.values()))
        self.members = {f"v{n}": name for n, name in enumerate(ORGANISATIONS, start=1)}
        self.members |= dict.fromkeys(self.extra, ORGANISATIONS[0])
        self.ports = dict(zip(self.members, free_ports(len(self.members)), strict=True))
        for name, organisation in self.members.items():
            self.cas[organisation].issue(self.root / name / "identity", name)
        self.keys: dict[str, Any] = {f"v{n}": self.provider.generate() for n in range(1, 5)}
        self.founders = {name: self.provider.generate() for name in ORGANISATIONS}
        self.client = self.founders["zjex"]
        self.next_keys: dict[str, Any] = {}
        self.document = self._document()
        self.genesis: Genesis = parse_genesis(self.document)
        self.nodes: dict[str, Node] = {}
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._serial = 0

    def _document(self) -> dict[str, Any]:
        return {
            "format": 1,
            "network": "test",
            "chain_id": "zhejiang",
            "time_ms": time.time_ns() // 1_000_000 - 60_000,
            "organisations": [
                {
                    "name": name,
                    "title": name,
                    "uscc": "91330000000000000X",
                    "role": "operator",
                    "ca": self.cas[name].public_key.hex(),
                }
                for name in ORGANISATIONS
            ],
            "validators": [
                {
                    "name": name,
                    "organisation": self.members[name],
                    "public_key": self.provider.public_key(key).hex(),
                    "power": 1,
                }
                for name, key in self.keys.items()
            ],
            "signers": [
                {"id": f"client@{name}", "organisation": name, "public_key": key.public.hex()}
                for name, key in self.founders.items()
            ],
            "params": PARAMS | self.params,
            "schemas": {"note": {"type": "object"}},
        }

    def identity(self, name: str) -> Identity:
        """The TLS identity of a node."""
        where = self.root / name / "identity"
        return Identity(where / "key.pem", where / "cert.pem", self.trust, frozenset(ORGANISATIONS))

    def setup(self, name: str) -> Setup:
        """What `name` is started with."""
        return Setup(
            genesis=self.genesis,
            identity=self.identity(name),
            key=self.keys.get(name),
            provider=self.provider,
            data_dir=self.root / name / "data",
            address="127.0.0.1",
            p2p_port=self.ports[name],
            peers=[
                KnownPeer(other, organisation, "127.0.0.1", self.ports[other])
                for other, organisation in self.members.items()
                if other != name and other not in self.unlisted
            ],
            next_key=self.next_keys.get(name),
            snapshot_interval=self.snapshot_interval,
            keep_blocks=self.keep_blocks.get(name, 0),
            kek=self.keks.get(name),
        )

    def export(self, name: str) -> Path:
        """Write down what a process of its own needs to be `name`: see `tests.support.process`."""
        where = self.root / name / "process.json"
        key = self.root / name / "consensus.pem"
        key.write_bytes(self.provider.save_private(self.keys[name]))
        client = self.root / name / "client.pem"
        client.write_bytes(self.provider.save_private(self.client))
        for secret in (key, client):
            secret.chmod(0o600)
        setup = self.setup(name)
        where.write_text(
            json.dumps(
                {
                    "genesis": self.document,
                    "identity": str(self.root / name / "identity"),
                    "trust": str(self.trust),
                    "key": str(key),
                    "client": str(client),
                    "data": str(setup.data_dir),
                    "port": setup.p2p_port,
                    "peers": [astuple(peer) for peer in setup.peers],
                }
            )
        )
        return where

    async def start(self, *names: str) -> None:
        """Start these nodes, or all."""
        for name in names or self.members:
            self.nodes[name] = Node(self.setup(name))
            await self.nodes[name].start()
            self._watchers[name] = asyncio.create_task(self.nodes[name].failed())

    def check(self) -> None:
        """Raise what killed a node that should be running."""
        for watcher in self._watchers.values():
            if watcher.done():
                watcher.result()

    async def stop(self, *names: str) -> None:
        """Stop these nodes, or all that run."""
        self.check()
        names = names or tuple(self.nodes)
        for name in names:
            watcher = self._watchers.pop(name, None)
            if watcher is not None:
                watcher.cancel()
        chosen = [self.nodes.pop(name) for name in names]
        await asyncio.gather(*(node.stop() for node in chosen))

    def transaction(self, title: str = "一", size: int = 0) -> bytes:
        """A signed transaction that creates a new object."""
        self._serial += 1
        return make_transaction(
            self.provider, self.client, self.genesis.hash, f"o-{self._serial}", title, "x" * size
        )

    def rival(self) -> bytes:
        """A signed transaction that creates what the last one creates: a block takes one of the two."""
        return make_transaction(
            self.provider, self.client, self.genesis.hash, f"o-{self._serial}", "二", "rival"
        )

    async def commit_one(self, via: str = "v1", seconds: float = 20.0) -> tuple[bytes, int]:
        """Submit a transaction and wait for its block; gives id and height."""
        node = self.nodes[via]
        txid = await node.submit(self.transaction())
        return txid, await node.wait_committed(txid, seconds)

    async def reach(self, height: int, *names: str, seconds: float = 20.0) -> None:
        """Wait until these nodes, or all that run, have `height`."""
        nodes = [self.nodes[name] for name in names] or list(self.nodes.values())

        def reached() -> bool:
            self.check()
            return all(node.height >= height for node in nodes)

        await until(reached, f"height {height} on {', '.join(names) or 'all'}", seconds)

    def same_chain(self) -> int:
        """Assert that all running nodes have the same blocks up to the least height, and give that height."""
        least = min(node.height for node in self.nodes.values())
        for height in range(1, least + 1):
            rows = [node.store.block(height) for node in self.nodes.values()]
            ids = {row.block_id for row in rows if row is not None}
            assert None not in rows and len(ids) == 1, f"fork at height {height}: {ids}"
        return least

    def sign(self, organisation: str, kind: str, body: Json) -> bytes:
        """A transaction by the founding signer of an organisation."""
        key = self.founders[organisation]
        found = sign_transaction(self.provider, key, f"client@{organisation}", self.genesis.hash, kind, body)
        return found[0]

    def validator(self, name: str) -> Validator:
        """The validator as the genesis lists it."""
        found = self.genesis.validators.get(name)
        assert found is not None
        return found


@contextlib.asynccontextmanager
async def local_network(
    root: Path,
    *,
    extra: tuple[str, ...] = (),
    unlisted: tuple[str, ...] = (),
    start: bool = True,
    **params: int,
) -> AsyncIterator[LocalNetwork]:
    """Four validators (and `extra` nodes) that run until the block ends; `params` override PARAMS."""
    network = LocalNetwork(root, extra, params, unlisted=unlisted)
    try:
        if start:
            await network.start()
        yield network
    finally:
        await network.stop()
