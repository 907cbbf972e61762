"""What nodes tell each other: the chain they follow, votes and proposals, transactions, blocks.

Votes and proposals go straight to every peer. Whatever gets lost comes again: in a height that takes longer
than usual, each node tells its round's state a few times a second, and peers send what it lacks. A
transaction goes from the node that took it in to all its peers; one that a validator sent is passed on only
if it still waits after a while, because validators are connected to one another.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from provnode import wire
from provnode.core.machine import Machine
from provnode.core.types import Certificate, Proposal, ValidatorSet, Vote
from provnode.net.compact import CompactBlocks
from provnode.net.connection import Connection
from provnode.net.errors import NetError
from provnode.net.events import log_event
from provnode.net.limits import Bucket
from provnode.net.peers import PeerSet, ProtocolError
from provnode.net.resend import missing, round_state
from provnode.net.sync import BATCH_BLOCKS, BATCH_BYTES, BlockSync
from provnode.wire import MAX_FRAME_BYTES

log = logging.getLogger(__name__)
_TICK = 0.02
# fewer and longer messages, each checked as one batch
_SPREAD_SECONDS = 0.1
_STATUS_SECONDS = 1.0
_EVIDENCE_SECONDS = 5.0
_RESEND_SECONDS = 0.25
# what waited that long ago and still does is passed on
STALE_SECONDS = 5.0
_TX_BATCH_BYTES = 512 * 1024
_TX_BATCH = 1024
# of a state snapshot, to one peer, a second
_SERVED_BYTES = 16.0 * 1024 * 1024


class Host(Protocol):
    """The node behind the gossip."""

    @property
    def height(self) -> int:
        """The newest committed height."""

    @property
    def oldest(self) -> int:
        """The height of the oldest block that is kept."""

    def voting(self) -> tuple[Machine, Mapping[bytes, bytes]] | None:
        """The machine and its blocks while a height is being decided."""

    def offer_vote(self, peer: str, vote: Vote) -> None:
        """A vote came; nothing about it is checked."""

    def offer_proposal(self, peer: str, proposal: Proposal, block: bytes) -> None:
        """A proposal came; nothing about it is checked."""

    def checking(self) -> bool:
        """Whether a proposal is being checked, or waits for that."""

    def find_txs(self, names: Sequence[bytes]) -> list[bytes]:
        """The waiting transactions that compact blocks name so; b"" for one that does not wait here."""

    def leaves(self, txs: Sequence[bytes]) -> list[bytes]:
        """The Merkle leaf hashes of transactions of a block that this node has checked."""

    def offer_blocks(self, peer: str, blocks: tuple[tuple[bytes, Certificate], ...]) -> None:
        """Blocks came that were asked for, and those before them have been offered."""

    async def offer_txs(self, peer: str, txs: Sequence[bytes]) -> None:
        """Transactions came. Raises ProtocolError for one that no correct node passes on."""

    async def offer_evidence(self, peer: str, evidence: Sequence[wire.Evidence]) -> None:
        """Evidence came. Raises ProtocolError for what does not hold: no correct node passes that on."""

    def pending_evidence(self) -> Sequence[wire.Evidence]:
        """The evidence that is not in the chain yet."""

    async def stored_blocks(self, height: int, count: int, size: int) -> list[tuple[bytes, Certificate]]:
        """Committed blocks from `height` on: at most `count`, and about `size` bytes."""

    async def snapshot(self) -> bytes:
        """The manifest of the newest state snapshot; empty when there is none."""

    async def snapshot_chunk(self, height: int, index: int) -> bytes:
        """A chunk of a state snapshot; empty when there is none."""

    async def waiting_txs(self, size: int) -> list[bytes]:
        """The transactions that have waited longest, of about `size` bytes together."""


class Gossip:
    """Speaks for one node; `attach` gives it the peers."""

    def __init__(
        self,
        host: Host,
        network: str,
        genesis_hash: bytes,
        version: str,
        validators: Callable[[], ValidatorSet],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.sync = BlockSync(validators)
        # see `BlockSync.stranded`
        self.stranded: int | None = None
        self._host = host
        self._network = network
        self._genesis_hash = genesis_hash
        self._version = version
        self._validators = validators
        self._clock = clock
        self._due: dict[str, float] = {}
        self._stale: set[bytes] = set()
        self._peers: PeerSet | None = None
        self._answered: dict[str, float] = {}
        self._served: dict[str, Bucket] = {}
        self._outbox: dict[str | None, list[bytes]] = {}
        self._compact = CompactBlocks(host)

    def attach(self, peers: PeerSet) -> None:
        """Speak to these peers from now on."""
        self._peers = peers

    # --- first words

    def hello(self) -> bytes:
        """Which chain this node follows, and how far."""
        return wire.encode_message(
            wire.Hello(self._genesis_hash, self._network, self._host.height, self._version)
        )

    def check_hello(self, peer: str, body: bytes) -> None:
        """Refuse a peer of another chain or of an incompatible version (see `_line`)."""
        hello = check_hello(peer, body, self._genesis_hash, self._network, self._version)
        # its status follows: until then it is asked for nothing older
        self.sync.note(peer, hello.height, oldest=hello.height)

    def on_connected(self, peer: Connection) -> None:
        """Tell the newcomer where this node is."""
        peer.send(wire.encode_message(self._status()), urgent=True)

    def on_lost(self, peer: Connection) -> None:
        """Nothing can be asked of this peer any more."""
        self.sync.forget(peer.name)
        self._compact.forget(peer.name)
        self._answered.pop(peer.name, None)
        # what it was served stays on its account, or it would only have to come again

    # --- what comes in

    async def on_message(self, peer: Connection, body: bytes) -> None:
        """Take one message. Raises ProtocolError."""
        host = self._host
        match decode_message(body):
            case wire.StatusMsg(height=height, oldest=oldest):
                self.sync.note(peer.name, height, oldest)
            case wire.VoteMsg(vote):
                host.offer_vote(peer.name, vote)
            case wire.ProposalMsg(proposal, block):
                host.offer_proposal(peer.name, proposal, block)
            case wire.CompactMsg() | wire.BlockTxs() as message:
                self._take_compact(peer.name, message)
            case wire.TxRequest() as request:
                voting = host.voting()
                found = voting and self._compact.answer(peer.name, request, voting[1], self._clock())
                if found:
                    peer.send(wire.encode_message(found), urgent=True)
            case wire.TxMsg(txs=txs):
                await host.offer_txs(peer.name, txs)
            case wire.EvidenceMsg(evidence):
                await host.offer_evidence(peer.name, evidence)
            case wire.RoundState() as state:
                self._send_missing(peer, state)
            case wire.BlockRequest(height=height, count=count):
                blocks = await host.stored_blocks(height, min(count, BATCH_BLOCKS), BATCH_BYTES)
                peer.send(wire.encode_message(wire.BlockResponse(tuple(blocks))), urgent=False)
            case wire.BlockResponse(blocks):
                self._take_blocks(peer, blocks)
            case wire.SnapshotRequest():
                await self._send_slowly(peer, wire.SnapshotOffer(await host.snapshot()))
            case wire.ChunkRequest(height=height, index=index):
                chunk = await host.snapshot_chunk(height, index)
                await self._send_slowly(peer, wire.ChunkResponse(height, index, chunk))
            case wire.SnapshotOffer() | wire.ChunkResponse():
                raise ProtocolError("unasked", "a part of a snapshot that nobody asked for")
            case wire.Hello():
                raise ProtocolError("hello", "a second hello")

    async def _send_slowly(self, peer: Connection, message: wire.Message) -> None:
        """Serve a newcomer at no more than so many bytes a second: it reads no other message meanwhile."""
        body = wire.encode_message(message)
        now = self._clock()
        bucket = self._served.setdefault(peer.name, Bucket(_SERVED_BYTES, MAX_FRAME_BYTES, now))
        wait = bucket.take(len(body), now)
        if wait:
            await asyncio.sleep(wait)
        peer.send(body, urgent=False)

    def _send_missing(self, peer: Connection, state: wire.RoundState) -> None:
        now = self._clock()
        voting = self._host.voting()
        if voting is None or now < self._answered.get(peer.name, 0.0) + _RESEND_SECONDS / 2:
            return
        self._answered[peer.name] = now
        for message in missing(*voting, state):
            if not isinstance(message, wire.ProposalMsg) or self._compact.may_send(
                peer.name, message.proposal, now
            ):
                peer.send(wire.encode_message(message), urgent=True)

    def _take_compact(self, peer: str, message: wire.CompactMsg | wire.BlockTxs) -> None:
        try:
            if isinstance(message, wire.BlockTxs):
                self._compact.fill(peer, message)
            else:
                self._compact.take(peer, message, self._clock())
        except wire.WireError as error:
            raise ProtocolError("malformed", str(error)) from error

    def _take_blocks(self, peer: Connection, blocks: tuple[tuple[bytes, Certificate], ...]) -> None:
        now = self._clock()
        if self.sync.answered(peer.name, blocks, now):
            self._sync_blocks(now)

    # --- what goes out

    def send_vote(self, vote: Vote) -> None:
        """Send this node's vote to every peer."""
        self._broadcast(wire.VoteMsg(vote))

    def send_proposal(self, proposal: Proposal, block: bytes) -> None:
        """Send this node's proposal to every peer, the transactions by name: what is new goes before it."""
        if self._peers is None:
            return
        self._flush()
        for name in self._peers.connected:
            self._compact.may_send(name, proposal, self._clock())
        self._broadcast(self._compact.shorten(proposal, block))

    def send_evidence(self, evidence: Sequence[wire.Evidence], but: str | None = None) -> None:
        """Send evidence to every peer, leaving out `but`."""
        if self._peers is not None and evidence:
            body = wire.encode_message(wire.EvidenceMsg(tuple(evidence)))
            self._peers.broadcast(body, urgent=False, but=but)

    def send_status(self) -> None:
        """Tell every peer which blocks this node has."""
        self._broadcast(self._status())

    def _status(self) -> wire.StatusMsg:
        return wire.StatusMsg(self._host.height, self._host.oldest)

    def spread(self, txs: Sequence[bytes], source: str | None) -> None:
        """Pass on transactions that were taken in, from a peer or (None) from this node's own clients."""
        if source is None or self._validators().get(source) is None:
            self._outbox.setdefault(source, []).extend(txs)

    async def run(self) -> None:
        """Send what is due, until cancelled."""
        await asyncio.gather(self._keep_talking(), self._keep_spreading())

    async def _keep_talking(self) -> None:
        while True:
            await asyncio.sleep(_TICK)
            self.tick()

    def tick(self) -> None:
        """Send what is due by now."""
        now = self._clock()
        if self._is_due("spread", _SPREAD_SECONDS, now):
            self._flush()
        self._sync_blocks(now)
        self._request_txs(now)
        if self._is_due("status", _STATUS_SECONDS, now):
            self.send_status()
            self._tell_stranded(now)
        if self._is_due("evidence", _EVIDENCE_SECONDS, now):
            self.send_evidence(self._host.pending_evidence())
        if self._is_due("resend", _RESEND_SECONDS, now):
            voting = self._host.voting()
            if voting is not None:
                machine = voting[0]
                coming = self._host.checking() or self._compact.awaits(machine)
                self._broadcast(round_state(machine, coming=coming))

    def _is_due(self, what: str, seconds: float, now: float) -> bool:
        if now < self._due.get(what, 0.0):
            return False
        self._due[what] = now + seconds
        return True

    def _sync_blocks(self, now: float) -> None:
        """Give the ledger what is next, and ask for more."""
        height = self._host.height
        while answer := self.sync.ready(height):
            self._host.offer_blocks(answer.peer, answer.blocks)
        for request in self.sync.requests(height, now):
            peer = self._peers and self._peers.connected.get(request.peer)
            if peer:
                peer.send(wire.encode_message(wire.BlockRequest(request.height, request.count)), urgent=True)

    def _request_txs(self, now: float) -> None:
        for name, request in self._compact.tick(now):
            peer = self._peers and self._peers.connected.get(name)
            if peer:
                peer.send(wire.encode_message(request), urgent=True)

    def _tell_stranded(self, now: float) -> None:
        before, self.stranded = self.stranded, self.sync.stranded(self._host.height, now)
        if before is None and self.stranded is not None:
            log_event(log, logging.ERROR, "sync.stranded", height=self._host.height, oldest=self.stranded)

    async def _keep_spreading(self) -> None:
        while True:
            await asyncio.sleep(STALE_SECONDS)
            await self.spread_stale()

    async def spread_stale(self) -> None:
        """Whoever passed a transaction on to us may have passed it on to nobody else: pass on what waits."""
        waiting = await self._host.waiting_txs(_TX_BATCH_BYTES)
        again = [tx for tx in waiting if tx in self._stale]
        self._stale = set(waiting)
        if again:
            self._outbox.setdefault(None, []).extend(again)

    def _flush(self) -> None:
        outbox, self._outbox = self._outbox, {}
        for source, txs in outbox.items():
            for batch in _batches(txs):
                body = wire.encode_message(wire.TxMsg(tuple(batch)))
                if self._peers is not None:
                    self._peers.broadcast(body, urgent=False, but=source)

    def _broadcast(self, message: wire.Message) -> None:
        if self._peers is not None:
            self._peers.broadcast(wire.encode_message(message), urgent=True)


def check_hello(peer: str, body: bytes, genesis_hash: bytes, network: str, version: str) -> wire.Hello:
    """The first message of a peer of the same chain and line of versions. Raises NetError for any other."""
    hello = decode_message(body)
    if not isinstance(hello, wire.Hello):
        raise ProtocolError("hello", "the first message is no hello")
    if (hello.genesis_hash, hello.network) != (genesis_hash, network):
        raise NetError(
            "genesis",
            f"{peer!r} follows {hello.network!r} {hello.genesis_hash.hex()}, "
            f"allowed: {network!r} {genesis_hash.hex()}",
        )
    if _line(hello.version) != _line(version):
        raise NetError("version", f"{peer!r} has version {hello.version!r}, this is {version!r}")
    return hello


def _line(version: str) -> list[str]:
    """What versions that understand one another have in common (semver.org, clause 4: 0.y may change all)."""
    major, _, rest = version.partition(".")
    return [major] if major != "0" else [major, rest.partition(".")[0]]


def _batches(txs: Sequence[bytes]) -> list[list[bytes]]:
    batches: list[list[bytes]] = []
    size = _TX_BATCH_BYTES
    for tx in txs:
        size += len(tx)
        if size > _TX_BATCH_BYTES or len(batches[-1]) >= _TX_BATCH:
            batches.append([])
            size = len(tx)
        batches[-1].append(tx)
    return batches


def decode_message(body: bytes) -> wire.Message:
    """What a peer sent. Raises ProtocolError."""
    try:
        return wire.decode_message(body)
    except wire.WireError as error:
        raise ProtocolError("malformed", str(error)) from error
