"""A whole node: the parts put together, started and stopped, and what clients may ask of it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from provnode import __version__, wire
from provnode.core.machine import Machine
from provnode.core.types import Certificate, Proposal, ValidatorSet, Vote
from provnode.crypto.provider import PrivateKey, Provider
from provnode.crypto.sealed import Kek
from provnode.ledger import changes, revocation
from provnode.ledger.app import Committed, Ledger
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.genesis import Genesis
from provnode.ledger.mempool import Mempool
from provnode.ledger.trusted import TrustedPoint
from provnode.net.events import log_event
from provnode.net.gossip import Gossip
from provnode.net.identity import Identity
from provnode.net.peers import KnownPeer, PeerSet, ProtocolError
from provnode.ops.consensus import Consensus
from provnode.ops.evidence import EvidencePool
from provnode.ops.inbox import BlocksFrom, ProposalFrom, VoteFrom
from provnode.ops.journal import Journal
from provnode.ops.pruning import Pruning
from provnode.ops.rekey import Rekeying
from provnode.ops.signer import Signer
from provnode.ops.snapshots import Snapshots
from provnode.ops.status import PeerStatus, Status, stranded
from provnode.ops.submit import Submissions
from provnode.ops.threads import Threads
from provnode.ops.timing import StepTimes
from provnode.storage.floor import FLOOR, SigningFloor
from provnode.storage.sealing import open_sealing
from provnode.storage.shelf import Shelf
from provnode.storage.signed import SignedStore
from provnode.storage.store import Store

log = logging.getLogger(__name__)
# refusals that no node passes on: who does is not following the protocol
_NEVER_PASSED_ON = frozenset({TxCode.MALFORMED, TxCode.TOO_LARGE, TxCode.WRONG_CHAIN, TxCode.BAD_SIGNATURE})


class NodeError(Exception):
    """This node can't be started as it is configured."""


@dataclass(frozen=True, slots=True)
class Setup:
    """What a node is made of.

    `key` is the validator's consensus key, None for a node that is none; `next_key` is one that the chain is
    to list later, when the validator is re-keyed. With a `kek`, the ledger lies on the disk sealed. A state
    snapshot is made every `snapshot_interval` blocks (0: never), the newest `keep_blocks` are kept (0: all).
    A chain that doesn't come past `trusted` is refused.
    """

    genesis: Genesis
    identity: Identity
    key: PrivateKey | None
    provider: Provider
    data_dir: Path
    address: str
    p2p_port: int
    peers: Sequence[KnownPeer]
    next_key: PrivateKey | None = None
    kek: Kek | None = None
    snapshot_interval: int = 0
    keep_blocks: int = 0
    trusted: TrustedPoint | None = None


class Node:
    """One node of a network. Raises NodeError, StoreError, GenesisError on making."""

    def __init__(self, setup: Setup) -> None:
        self.setup = setup
        genesis, self.identity = setup.genesis, setup.identity
        own = self.identity.own
        setup.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        sealing = open_sealing(setup.data_dir, setup.kek)
        self.store = Store(setup.data_dir / "chain.sqlite", sealing)
        try:
            self.ledger = Ledger(self.store, genesis, setup.provider)
            self._check_key(own.name, own.organisation)
            if setup.trusted is not None:
                setup.trusted.check_store(self.ledger)
            pool = setup.data_dir / "evidence.msgpack"
            self._evidence = EvidencePool(pool, self.ledger, genesis.hash, setup.provider)
            self._evidence_counts = self.ledger.count_evidence()
        except BaseException:
            self.store.close()
            raise
        self._pruning = Pruning(self.store, setup.keep_blocks, self.ledger.height)
        self.rekeying = Rekeying(self.store, sealing, lambda: self.ledger.height)
        self.mempool = Mempool(self.ledger)
        self._threads = Threads()
        self.gossip = Gossip(self, genesis.network, genesis.hash, __version__, self._voting_set)
        self.peers = PeerSet(self.identity, setup.peers, self.gossip)
        self.gossip.attach(self.peers)
        self._submissions = Submissions(self.ledger, self.mempool, self._threads, self._on_accepted)
        signer = journal = None
        keys = [key for key in (setup.key, setup.next_key) if key is not None]
        if keys:
            signed = SignedStore(setup.data_dir / "last-signed.json")
            self._floor = SigningFloor(setup.data_dir / FLOOR)
            signer = Signer(own.name, keys, setup.provider, signed, genesis.hash, self._may_sign)
            journal = Journal(setup.data_dir / "consensus.wal", self.ledger.height + 1, sealing)
        self._journal = journal
        self._consensus = Consensus(
            self.ledger, self.mempool, signer, journal, self._threads, self, setup.provider, self._evidence
        )
        self._snapshots = Snapshots(
            Shelf(setup.data_dir / "snapshots", sealing), self.store, genesis, signer, setup.snapshot_interval
        )
        self._tasks: list[asyncio.Task[None]] = []

    def _check_key(self, name: str, organisation: str) -> None:
        """Refuse a key that contradicts the chain; a node that the chain doesn't list (yet) has no vote."""
        setup = self.setup
        membership = self.ledger.membership
        listed = {one.name: one for one in (*membership.active, *membership.suspended)}
        validator = listed.get(name)
        if setup.key is None or validator is None:
            return
        if validator.organisation != organisation:
            raise NodeError(f"validator {name!r} is of {validator.organisation!r}, not of {organisation!r}")
        to_come = {change.validator.public_key for change in membership.pending}
        if setup.provider.public_key(setup.key) not in {validator.public_key, *to_come}:
            raise NodeError(
                f"the consensus key is not the one that the chain lists for {name!r} at height "
                f"{self.ledger.height}; a key that it lists later is the next consensus key"
            )

    def _meet(self) -> None:
        """Know the validators that came by a change of the membership, wherever they told they are.

        The configuration goes before. One that was removed may still connect, but isn't looked for.
        """
        membership = self.ledger.membership
        own = {peer.name for peer in self.setup.peers}
        listed = {one.name for one in (*membership.active, *membership.suspended)}
        places = dict(membership.places)
        for change in membership.pending:
            if change.place is not None:
                listed.add(change.validator.name)
                places[change.validator.name] = (change.validator.organisation, change.place)
        for name, (organisation, place) in places.items():
            if name not in own:
                self.peers.add(KnownPeer(name, organisation, place.address, place.port, name in listed))

    def _may_sign(self, height: int) -> bool:
        told = self.gossip.sync.heights
        return self._floor.allows(height, self.identity.own.name, self.ledger.validators, told)

    # --- life

    async def start(self) -> None:
        """Listen, dial, take part. Raises OSError when the address can't be had."""
        self._meet()
        self.identity.revoke(await self._threads.check(self.ledger.revoked))
        await self.peers.start(self.setup.address, self.setup.p2p_port)
        for name, work in (
            ("consensus", self._consensus.run()),
            ("gossip", self.gossip.run()),
            ("submissions", self._submissions.run()),
            ("rekeying", self.rekeying.run()),
            ("pruning", self._pruning.run()),
        ):
            self._tasks.append(asyncio.create_task(work, name=name))
        log_event(log, logging.INFO, "node.started", node=self.identity.own.name, height=self.ledger.height)

    async def failed(self) -> None:
        """Wait until a part of the node has died, and raise what killed it."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def stop(self) -> None:
        """End all work and close the files. What was acknowledged is on the disk already."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.peers.close()
        await self._snapshots.close()
        await asyncio.get_running_loop().run_in_executor(None, self._threads.close)
        if self._journal is not None:
            self._journal.close()
        self.store.close()
        log_event(log, logging.INFO, "node.stopped", node=self.identity.own.name, height=self.ledger.height)

    # --- what clients ask

    async def submit(self, raw: bytes) -> bytes:
        """Take a transaction in, pass it on, give its id. It is durable once committed. Raises TxError."""
        return await self._submissions.submit(raw)

    async def submit_many(self, raws: Sequence[bytes]) -> list[bytes | TxError]:
        """`submit` of several at once: the id or the refusal of each, in order."""
        return await self._submissions.submit_many(raws)

    async def wait_committed(self, txid: bytes, seconds: float) -> int:
        """The height of the block that made the transaction durable on this node.

        Raises TxError when it was dropped as not applicable, TimeoutError after `seconds`.
        """
        return await self._submissions.wait(txid, seconds)

    def status(self) -> Status:
        """A snapshot for clients."""
        ledger, machine, own = self.ledger, self._consensus.machine, self.identity.shown
        heights = self.gossip.sync.heights
        return Status(
            name=own.name,
            organisation=own.organisation,
            network=ledger.genesis.network,
            chain_id=ledger.genesis.chain_id,
            version=__version__,
            genesis_hash=ledger.genesis.hash,
            validator=machine.me is not None,
            height=ledger.height,
            oldest_height=self.oldest,
            block_id=ledger.last_block_id,
            block_time_ms=ledger.last_time_ms,
            state_root=ledger.state_root,
            round=max(machine.round, 0),
            step=machine.step.name.lower(),
            syncing=self.gossip.sync.best >= ledger.height + 2,
            peers=tuple(
                PeerStatus(peer.name, peer.organisation, heights.get(peer.name, 0))
                for _, peer in sorted(self.peers.connected.items())
            ),
            deciding=tuple(
                sorted({one.organisation for one in ledger.membership.active if one.name != own.name})
            ),
            mempool_count=len(self.mempool),
            mempool_bytes=self.mempool.size,
            verify_queue=self._submissions.waiting,
            store_bytes=self.store.size(),
            evidence_pending=len(self._evidence),
            evidence_committed=dict(self._evidence_counts),
            rekey=self.rekeying.progress,
            certificate_expires=own.expires,
            problem=self._threads.problem or stranded(ledger.height, self.gossip.stranded),
        )

    @property
    def step_times(self) -> StepTimes:
        """How long the steps of the consensus take."""
        return self._consensus.step_times

    def _on_accepted(self, txs: Sequence[bytes], source: str | None) -> None:
        self.gossip.spread(txs, source)
        self._consensus.inbox.wake()

    def _voting_set(self) -> ValidatorSet:
        return self.ledger.validators

    # --- what the gossip asks (net.gossip.Host)

    @property
    def height(self) -> int:
        """The newest committed height."""
        return self.ledger.height

    @property
    def oldest(self) -> int:
        """The height of the oldest block that is kept, 0 before the first."""
        return self._pruning.oldest

    def voting(self) -> tuple[Machine, Mapping[bytes, bytes]] | None:
        """The machine and its blocks, once the height has begun."""
        consensus = self._consensus
        return (consensus.machine, consensus.blocks) if consensus.started else None

    def offer_vote(self, peer: str, vote: Vote) -> None:
        """A vote came."""
        self._consensus.inbox.put_vote(VoteFrom(peer, vote))

    def offer_proposal(self, peer: str, proposal: Proposal, block: bytes) -> None:
        """A proposal came."""
        self._consensus.inbox.put_proposal(ProposalFrom(peer, proposal, block))

    def checking(self) -> bool:
        """Whether a proposal is being checked, or waits for that."""
        return self._consensus.judging or bool(self._consensus.inbox.proposals)

    def find_txs(self, names: Sequence[bytes]) -> list[bytes]:
        """The waiting transactions of these names."""
        return self.mempool.find(names)

    def leaves(self, txs: Sequence[bytes]) -> list[bytes]:
        """The leaf hashes of transactions."""
        return self.ledger.checker.leaves(txs)

    def offer_blocks(self, peer: str, blocks: tuple[tuple[bytes, Certificate], ...]) -> None:
        """Blocks came that were asked for."""
        trusted = self.setup.trusted
        if trusted is not None and any(trusted.contradicts(certificate) for _, certificate in blocks):
            self.on_unusable(peer)
            self.on_violation(peer, "trusted", f"another block of height {trusted.height}")
        else:
            self._consensus.inbox.put_blocks(BlocksFrom(peer, blocks))

    async def offer_txs(self, peer: str, txs: Sequence[bytes]) -> None:
        """Transactions came."""
        for outcome in await self._submissions.offer(txs, peer):
            if isinstance(outcome, TxError) and outcome.code in _NEVER_PASSED_ON:
                raise ProtocolError("bad_transaction", str(outcome))

    async def offer_evidence(self, peer: str, evidence: Sequence[wire.Evidence]) -> None:
        """Evidence came: what is new and holds is kept and passed on."""
        for found in evidence:
            try:
                new = await self._threads.durably(partial(self._evidence.add, found))
            except wire.EvidenceError as error:
                raise ProtocolError("bad_evidence", str(error)) from error
            if new:
                self.gossip.send_evidence([found], but=peer)

    def pending_evidence(self) -> Sequence[wire.Evidence]:
        """The evidence that is not in the chain yet."""
        return self._evidence.pending()

    async def stored_blocks(self, height: int, count: int, size: int) -> list[tuple[bytes, Certificate]]:
        """Committed blocks from `height` on."""
        return await self._threads.check(self.ledger.stored_blocks, height, count, size)

    async def snapshot(self) -> bytes:
        """The manifest of the newest state snapshot; empty when there is none."""
        found = await self._threads.check(self._snapshots.shelf.newest)
        return b"" if found is None else found[1]

    async def snapshot_chunk(self, height: int, index: int) -> bytes:
        """A chunk of a state snapshot; empty when there is none."""
        return await self._threads.check(self._snapshots.shelf.chunk, height, index) or b""

    async def waiting_txs(self, size: int) -> list[bytes]:
        """The transactions that have waited longest."""
        return await self._threads.check(self.mempool.reap, size)

    # --- what the consensus says (ops.consensus.Outlet)

    def send_proposal(self, proposal: Proposal, block: bytes) -> None:
        """This node proposes."""
        self.gossip.send_proposal(proposal, block)

    def send_vote(self, vote: Vote) -> None:
        """This node votes."""
        self.gossip.send_vote(vote)

    def send_evidence(self, evidence: Sequence[wire.Evidence]) -> None:
        """This node found misbehaviour."""
        self.gossip.send_evidence(evidence)

    def behind(self, height: int) -> bool:
        """Whether blocks come by sync."""
        return self.gossip.sync.behind(height)

    def on_committed(self, committed: Committed) -> None:
        """A block is durable: whoever waits for it is told."""
        log_event(
            log,
            logging.INFO,
            "block.committed",
            node=self.identity.own.name,
            height=committed.height,
            block=committed.block_id,
            transactions=len(committed.txids),
        )
        for found in committed.evidence:
            self._evidence_counts[str(found["organisation"])] += 1
            told = {name: found[name] for name in ("validator", "organisation", "height", "round", "kind")}
            log_event(log, logging.ERROR, "evidence.committed", **told)
        self._snapshots.committed(committed.height)
        self._pruning.committed(committed.height)
        self._submissions.committed(committed)
        if changes.STATE_KIND in committed.state:
            self._meet()
        if revocation.STATE_KIND in committed.state:
            self.identity.revoke(self.ledger.revoked())
        if self.gossip.sync.best <= committed.height + 1:
            # who catches up tells its height once a second only
            self.gossip.send_status()

    def on_violation(self, peer: str, reason: str, message: str) -> None:
        """A peer sent what no correct node sends."""
        self.peers.ban(peer, ProtocolError(reason, message))

    def on_unusable(self, peer: str) -> None:
        """The blocks of a peer do not continue this node's chain."""
        self.gossip.sync.failed(peer, time.monotonic())
