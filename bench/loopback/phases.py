"""What a transaction costs each node, by phase: one network's work for a block of signed objects, one thread.

Each phase is done as the node does it, and weighted by how often a node does it: of `nodes` one has taken the
transaction in from its client, one builds the block, and the others get both from it. What the sum lacks of
the processes' CPU time is the event loop, sockets, threads, the collector of garbage, the consensus' own
messages, and that caches and the processors' threads are shared with the other nodes.
"""

from __future__ import annotations

import contextlib
import json
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from OpenSSL import SSL
from provnode import wire
from provnode.core.types import Certificate, CommitSig, Proposal, Vote, VoteType
from provnode.crypto.provider import Provider, get_provider
from provnode.ledger.app import Ledger
from provnode.ledger.canonical import decode
from provnode.ledger.errors import TxError
from provnode.ledger.genesis import Genesis, load_genesis
from provnode.ledger.mempool import Mempool
from provnode.net.compact import CompactBlocks
from provnode.net.identity import Identity
from provnode.storage.store import Store

T = TypeVar("T")
_RECORD = 16 * 1024
_BLOCK_BYTES = 6 * 1024 * 1024


class _Clock:
    """CPU time by phase, each with its weight."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    def __call__(self, phase: str, weight: float, call: Callable[[], T]) -> T:
        began = time.process_time()
        found = call()
        self.spent[phase] = self.spent.get(phase, 0.0) + weight * (time.process_time() - began)
        return found


class _Pool:
    """What a node's gossip asks of it, with all transactions waiting."""

    height = 0

    def __init__(self, ledger: Ledger, mempool: Mempool) -> None:
        self._ledger = ledger
        self.find_txs = mempool.find
        self.leaves = ledger.checker.leaves
        self.offered: list[bytes] = []

    def offer_proposal(self, peer: str, proposal: Proposal, block: bytes) -> None:
        """Keep the block."""
        self.offered.append(block)


def phases(root: Path, provider_name: str, nodes: int, count: int = 2_000) -> dict[str, float]:
    """Microseconds a transaction and node, from the transactions signed in `root`, in a block of `count`."""
    provider, genesis = get_provider(provider_name), load_genesis(root / "genesis.json")
    signed = msgspec.msgpack.decode((root / "transactions").read_bytes())
    count = min(count, _BLOCK_BYTES // len(signed[0][1]))  # one message and one block take them
    before, raws = ([raw for _, raw in signed[at : at + count]] for at in (0, count))
    clock, now = _Clock(), time.time_ns() // 1_000_000
    with tempfile.TemporaryDirectory(dir=root) as folder:
        ledger = Ledger(Store(Path(folder) / "chain.sqlite"), genesis, provider)
        # the tree has something in it, and the signer is known
        first = ledger.build_block(now, "v1", before)
        ledger.commit(first, _certificate(root, genesis, provider, first))
        mempool = Mempool(ledger)
        _take_in(clock, nodes, ledger, mempool, raws)
        block = clock("build", 1 / nodes, lambda: ledger.build_block(now + 1, "v1", raws))
        ledger._prepared.clear()
        _Pool.height = ledger.height
        _relay(clock, nodes, _Pool(ledger, mempool), block)
        block_id = wire.decode_block(block).block_id
        clock("validate", (nodes - 1) / nodes, lambda: ledger.validate_block(block, now + 1, block_id))
        certificate = _certificate(root, genesis, provider, block)
        committed = clock("store", 1, lambda: ledger.commit(block, certificate))
        clock("mempool", 1, lambda: mempool.remove(committed.txids))
        ledger.store.close()
    _encrypt(clock, nodes, root, wire.encode_message(wire.TxMsg(tuple(raws))))
    found = {phase: round(seconds / len(raws) * 1e6, 1) for phase, seconds in clock.spent.items()}
    return found | {"sum": round(sum(found.values()) - found["verify_within_read"], 1)}


def _take_in(clock: _Clock, nodes: int, ledger: Ledger, mempool: Mempool, raws: list[bytes]) -> None:
    """From the client's request to the mempool, and to the other nodes."""
    params = {"transactions": [raw.hex() for raw in raws[:100]]}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "submit_transactions", "params": params}).encode()
    for _ in range(len(raws) // 100):
        clock("rpc", 1 / nodes, lambda: [bytes.fromhex(one) for one in params["transactions"]])
        clock("rpc", 1 / nodes, lambda: decode(body))
    message = clock("gossip", 1 / nodes, lambda: wire.encode_message(wire.TxMsg(tuple(raws))))
    clock("gossip", (nodes - 1) / nodes, lambda: wire.decode_message(message))
    checked = clock("read_and_verify", 1, lambda: ledger.screen(raws))
    provider = ledger._provider
    items = [
        (one.signer.public_key, one.tx.sign_bytes, one.tx.signature)
        for one in checked
        if not isinstance(one, TxError)
    ]
    clock("verify_within_read", 1, lambda: provider.verify_batch(items))
    # read and verified already: what is left is whether the state would take them
    clock("mempool", 1, lambda: mempool.add_many(raws))


def _relay(clock: _Clock, nodes: int, pool: _Pool, block: bytes) -> None:
    """The block on its way: as names, and put together again."""
    header = wire.decode_block(block).header
    proposal = Proposal(header.height, 0, -1, header.block_id, "v1", b"s")
    sender, receiver = CompactBlocks(pool), CompactBlocks(pool)
    message = clock("relay", 1 / nodes, lambda: wire.encode_message(sender.shorten(proposal, block)))

    def take() -> None:
        found = wire.decode_message(message)
        if not isinstance(found, wire.CompactMsg):
            raise TypeError("not a compact block")
        receiver.take("v1", found, 0.0)

    clock("relay", (nodes - 1) / nodes, take)
    if pool.offered != [block]:
        raise RuntimeError("the block did not come out as it went in")


def _encrypt(clock: _Clock, nodes: int, root: Path, data: bytes) -> None:
    """The bytes of the transactions under TLS: each node sends and gets (nodes - 1) / nodes of them."""
    ends = []
    for name, server in (("v1", True), ("v2", False)):
        organisations = frozenset(f"org{number}" for number in range(1, nodes + 1))
        folder = root / name
        identity = Identity(folder / "key.pem", folder / "cert.pem", root / "trust", organisations)
        end = SSL.Connection(identity.context(server=server), None)
        end.set_accept_state() if server else end.set_connect_state()
        ends.append(end)
    one, other = ends
    for _ in range(6):
        for end, peer in ((other, one), (one, other)):
            with contextlib.suppress(SSL.WantReadError):
                end.do_handshake()
            with contextlib.suppress(SSL.WantReadError):
                peer.bio_write(end.bio_read(1 << 16))

    def there() -> None:
        for at in range(0, len(data), _RECORD):
            one.send(data[at : at + _RECORD])
            other.bio_write(one.bio_read(2 * _RECORD))
            other.recv(2 * _RECORD)

    clock("tls", (nodes - 1) / nodes, there)


def _certificate(root: Path, genesis: Genesis, provider: Provider, block: bytes) -> Certificate:
    found = wire.decode_block(block)
    signatures = []
    for name in sorted(one.name for one in genesis.validators):
        key = provider.load_private((root / f"{name}.pem").read_bytes())
        vote = Vote(VoteType.PRECOMMIT, found.header.height, 0, found.block_id, name, b"")
        signatures.append(CommitSig(name, provider.sign(key, wire.vote_sign_bytes(genesis.hash, vote))))
    return Certificate(found.header.height, 0, found.block_id, tuple(signatures))
