"""A node in the simulation: all of the real one but its curves, sockets, threads and disk.

Consensus, ledger, mempool, evidence, logs, guard, gossip and block sync are the shipped ones. What this file
adds is what `ops.node` and `net.peers` are otherwise: it puts the parts together, and passes on what they
say.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, cast

from provnode import wire
from provnode.core.machine import Machine
from provnode.core.types import Certificate, Proposal, Vote
from provnode.ledger.app import Committed, Ledger
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.genesis import Genesis
from provnode.ledger.mempool import Mempool
from provnode.net.gossip import STALE_SECONDS, Gossip
from provnode.net.peers import PeerSet, ProtocolError
from provnode.ops.consensus import Consensus
from provnode.ops.evidence import EvidencePool
from provnode.ops.inbox import BlocksFrom, ProposalFrom, VoteFrom
from provnode.ops.journal import Journal
from provnode.ops.signer import Signer
from provnode.storage.errors import StoreError
from provnode.storage.signed import SignedStore
from tests.simulation.chain import PROVIDER, key_of
from tests.simulation.disk import Disk
from tests.simulation.host import Alarm, HostClock, InlineThreads, Line, Lines, advance
from tests.simulation.invariants import InvariantError, Witness
from tests.simulation.network import Member, Network
from tests.simulation.store import MemoryStore
from tests.simulation.world import CrashedError, World

TICK_MS = 50
_RESTART_MS = 1_000
_BAN_MS = 30_000
LOG, SIGNED, STORE = "consensus.wal", "last-signed.json", "chain.sqlite"
FILES = (LOG, SIGNED, STORE)


class Replica:
    """What survives a crash: `store`, and what is on `disk`. The rest is memory."""

    def __init__(
        self, address: str, name: str, genesis: Genesis, world: World, network: Network, witness: Witness
    ) -> None:
        self.address, self.name, self.genesis = address, name, genesis
        self.up = False
        self.fuse: int | None = None
        self._fuse_once_signed: int | None = None
        self.slow_ms = 0
        # its log's disk keeps nothing over a crash
        self.forgetful = False
        self.crashes = 0
        self.random = world.chance(address)
        self.store = MemoryStore()
        self.disk = Disk(self.random, self.boundary, self._renamed)
        self.clock = HostClock(world, self._ring)
        self.world, self.network, self.witness = world, network, witness
        self._life = 0
        self._banned: dict[str, int] = {}
        self._down_ms: int | None = None
        self._lines = Lines(self)
        network.members[address] = self

    def calm(self) -> None:
        """All faults of this host are over."""
        self.fuse, self._fuse_once_signed, self.slow_ms = None, None, 0
        self.clock.set(0, 1.0)
        self.disk.refuses, self.store.refuses = frozenset(), False

    @property
    def height(self) -> int:
        """The newest height on the disk."""
        return self.ledger.height if self.up else self.store.height()

    @property
    def oldest(self) -> int:
        """The height of the oldest block that is kept: all are."""
        return min(self.height, 1)

    # --- life and death

    def boundary(self) -> None:
        """The process may end here."""
        if self.fuse is not None:
            self.fuse -= 1
            if self.fuse < 0:
                raise CrashedError

    def end_soon(self, boundaries: int, down_ms: int, *, once_signed: bool) -> None:
        """The process will end after so many boundaries, or those after it signed next, and start again."""
        if self.up:
            self._down_ms = down_ms
            if once_signed:
                self._fuse_once_signed = boundaries
            else:
                self.fuse = boundaries

    def _renamed(self, name: str) -> None:
        if name == SIGNED and self._fuse_once_signed is not None:
            self.fuse, self._fuse_once_signed = self._fuse_once_signed, None

    def down(self) -> None:
        """The process ended."""
        self.up, self.fuse, self._fuse_once_signed = False, None, None
        self.crashes += 1
        self._life += 1
        self.disk.crash(forgetful=LOG if self.forgetful else "")
        for other in self.network.members.values():
            if isinstance(other, Replica) and other.up:
                other.gossip.on_lost(cast(Any, Line(other, self.name, self.address)))
        self.world.after(self._down_ms or _RESTART_MS, self.boot, owner=self)

    def boot(self) -> None:
        """Start the process with what is on the disk."""
        if self.up:
            return
        self._life += 1
        self._busy = self._due = False
        self._wake_at = 0
        self._banned = {}
        genesis, provider = self.genesis, PROVIDER
        try:
            self.ledger = Ledger(self.store, genesis, provider)
            self.mempool = Mempool(self.ledger, clock_ms=self.clock.now_ms)
            self.evidence = EvidencePool(self.disk.path("evidence"), self.ledger, genesis.hash, provider)
            journal = Journal(self.disk.path(LOG), self.ledger.height + 1)
            keys = cast(Any, [key_of(self.name), key_of(f"{self.name}+")])
            signer = Signer(self.name, keys, provider, SignedStore(self.disk.path(SIGNED)), genesis.hash)
        except StoreError as error:
            if error.code not in {"disk_full", "io"}:
                raise InvariantError(f"{self.address} can't start: {error}") from error
            self.world.after(_RESTART_MS, self.boot, owner=self)
            return
        self.threads = InlineThreads(self.boundary)
        self.gossip = Gossip(
            self, genesis.network, genesis.hash, "1", lambda: self.ledger.validators, self.clock.monotonic
        )
        self.gossip.attach(cast(PeerSet, self._lines))
        self.consensus = Consensus(
            self.ledger,
            self.mempool,
            signer,
            journal,
            self.threads,
            self,
            provider,
            self.evidence,
            self.clock,
        )
        self.up = True
        self.witness.saw_start(self)
        self._connect()
        self._tick(self._life)
        self._spread(self._life)
        self._busy = True
        self._go_on(self._life, self.consensus.replay(), exclusive=True)

    def _connect(self) -> None:
        for other in self.network.members.values():
            if not isinstance(other, Replica) or other is self or not other.up or other.name == self.name:
                continue
            if not self.network.reaches(self.address, other.address):
                continue
            for here, there in ((self, other), (other, self)):
                self.world.after(1, here.meet, there, there.gossip.hello(), owner=here)

    def meet(self, other: Replica, hello: bytes) -> None:
        """A connection to another node was made."""
        if self.up:
            self.gossip.check_hello(other.name, hello)
            self.gossip.on_connected(cast(Any, Line(self, other.name, other.address)))

    # --- work

    def _ring(self, alarm: Alarm, call: Callable[..., None], args: tuple[object, ...]) -> None:
        # timers of an earlier life are those of another consensus: nobody looks into its inbox
        if not alarm.cancelled:
            call(*args)
            self.world.after(0, self.poke, self._life, owner=self)

    def poke(self, life: int) -> None:
        """There is something to do: at once, or when this host gets round to it."""
        if not self.up or life != self._life or self._busy or self._due:
            return
        if self.slow_ms:
            self._due = True
            self.world.after(self.slow_ms, self._turn, life, owner=self)
        else:
            self._turn(life)

    def _turn(self, life: int) -> None:
        if not self.up or life != self._life or self._busy:
            return
        self._due, self._busy = False, True
        self._go_on(life, self.consensus.turn(), exclusive=True)

    def _go_on(self, life: int, work: Coroutine[Any, Any, None], *, exclusive: bool) -> None:
        """Let a part of the node work until it is done or stands still; one of them is the consensus."""
        if life != self._life:
            work.close()
            return
        seconds = advance(work)
        if seconds is not None:
            again = partial(self._go_on, life, work, exclusive=exclusive)
            self.world.after(self.clock.ms(seconds), again, owner=self)
        elif exclusive:
            self._busy = False
            self._rest(life)

    def _rest(self, life: int) -> None:
        """Until something comes, or the consensus has a reason of its own to look again."""
        self.witness.look_at(self)
        inbox = self.consensus.inbox
        if inbox.votes or inbox.proposals or inbox.blocks or inbox.timeouts:
            self.world.after(0, self.poke, life, owner=self)
            return
        patience = self.consensus.patience()
        if patience is not None:
            at = self.world.now + self.clock.ms(patience)
            if not self.world.now < self._wake_at <= at:
                self._wake_at = at
                self.world.after(at - self.world.now, self.poke, life, owner=self)

    def _tick(self, life: int) -> None:
        if life == self._life and self.up:
            self.gossip.tick()
            self.world.after(TICK_MS + self.slow_ms, self._tick, life, owner=self)

    def _spread(self, life: int) -> None:
        if life == self._life and self.up:
            self._go_on(life, self.gossip.spread_stale(), exclusive=False)
            self.world.after(self.clock.ms(STALE_SECONDS), self._spread, life, owner=self)

    # --- messages

    def addresses(self) -> list[tuple[str, str]]:
        """Everybody else's name and address, who is not shut out."""
        now = self.world.now
        return [
            (member.name, address)
            for address, member in self.network.members.items()
            if member.name != self.name and self._banned.get(member.name, 0) <= now
        ]

    def transmit(self, target: str, body: bytes) -> None:
        """Send to an address."""
        self.boundary()
        self.network.send(self, target, body)

    def receive(self, source: Member, body: bytes) -> None:
        """Take a message from the network."""
        if not self.up or self._banned.get(source.name, 0) > self.world.now:
            return
        work = self._take(Line(self, source.name, source.address), body)
        self._go_on(self._life, work, exclusive=False)
        inbox = self.consensus.inbox
        if inbox.votes or inbox.proposals or inbox.blocks:
            self.poke(self._life)

    async def _take(self, peer: Line, body: bytes) -> None:
        try:
            await self.gossip.on_message(cast(Any, peer), body)
        except ProtocolError as error:
            self.on_violation(peer.name, error.reason, str(error))

    def submit(self, raw: bytes) -> bool:
        """A client's transaction; tells whether it was taken in."""
        if not self.up:
            return False
        return self._offer([raw], None) == []

    def _offer(self, raws: Sequence[bytes], source: str | None) -> list[TxError]:
        outcomes = self.mempool.add_many(raws)
        taken = [raw for raw, found in zip(raws, outcomes, strict=True) if isinstance(found, bytes)]
        if taken:
            self.gossip.spread(taken, source)
            self.world.after(0, self.poke, self._life, owner=self)
        return [found for found in outcomes if isinstance(found, TxError)]

    # --- what the gossip asks (net.gossip.Host)

    def voting(self) -> tuple[Machine, Mapping[bytes, bytes]] | None:
        """The machine and its blocks, once the height has begun."""
        consensus = self.consensus
        return (consensus.machine, consensus.blocks) if consensus.started else None

    def offer_vote(self, peer: str, vote: Vote) -> None:
        """A vote came."""
        self.consensus.inbox.put_vote(VoteFrom(peer, vote))

    def offer_proposal(self, peer: str, proposal: Proposal, block: bytes) -> None:
        """A proposal came."""
        self.consensus.inbox.put_proposal(ProposalFrom(peer, proposal, block))

    def checking(self) -> bool:
        """Whether a proposal is being checked, or waits for that."""
        return self.consensus.judging or bool(self.consensus.inbox.proposals)

    def find_txs(self, names: Sequence[bytes]) -> list[bytes]:
        """The waiting transactions of these names."""
        return self.mempool.find(names)

    def leaves(self, txs: Sequence[bytes]) -> list[bytes]:
        """The leaf hashes of transactions."""
        return self.ledger.checker.leaves(txs)

    def offer_blocks(self, peer: str, blocks: tuple[tuple[bytes, Certificate], ...]) -> None:
        """Blocks came."""
        self.consensus.inbox.put_blocks(BlocksFrom(peer, blocks))

    async def offer_txs(self, peer: str, txs: Sequence[bytes]) -> None:
        """Transactions came."""
        refused = {TxCode.MALFORMED, TxCode.TOO_LARGE, TxCode.WRONG_CHAIN, TxCode.BAD_SIGNATURE}
        for error in self._offer(txs, peer):
            if error.code in refused:
                raise ProtocolError("bad_transaction", str(error))

    async def offer_evidence(self, peer: str, evidence: Sequence[wire.Evidence]) -> None:
        """Evidence came."""
        for found in evidence:
            try:
                new = await self.threads.durably(partial(self.evidence.add, found))
            except wire.EvidenceError as error:
                raise ProtocolError("bad_evidence", str(error)) from error
            if new:
                self.witness.saw_evidence(self, [found])
                self.gossip.send_evidence([found], but=peer)

    def pending_evidence(self) -> Sequence[wire.Evidence]:
        """The evidence that is not in the chain yet."""
        return self.evidence.pending()

    async def stored_blocks(self, height: int, count: int, size: int) -> list[tuple[bytes, Certificate]]:
        """Committed blocks from `height` on."""
        return self.ledger.stored_blocks(height, count, size)

    async def snapshot(self) -> bytes:
        """No snapshots here."""
        return b""

    async def snapshot_chunk(self, height: int, index: int) -> bytes:
        """No snapshots here."""
        return b""

    async def waiting_txs(self, size: int) -> list[bytes]:
        """The transactions that have waited longest."""
        return self.mempool.reap(size)

    # --- what the consensus says (ops.consensus.Outlet)

    def send_proposal(self, proposal: Proposal, block: bytes) -> None:
        """This node proposes."""
        self.witness.saw_proposal(self, proposal, block)
        self.gossip.send_proposal(proposal, block)

    def send_vote(self, vote: Vote) -> None:
        """This node votes."""
        self.witness.saw_vote(self, vote)
        self.gossip.send_vote(vote)

    def send_evidence(self, evidence: Sequence[wire.Evidence]) -> None:
        """This node found misbehaviour."""
        self.witness.saw_evidence(self, evidence)
        self.gossip.send_evidence(evidence)

    def behind(self, height: int) -> bool:
        """Whether blocks come by sync."""
        return self.gossip.sync.behind(height)

    def on_committed(self, committed: Committed) -> None:
        """A block is durable: whoever waits for it is told."""
        self.witness.saw_commit(self, committed)
        self.gossip.send_status()

    def on_violation(self, peer: str, reason: str, message: str) -> None:
        """A peer sent what no correct node sends: it is shut out."""
        self.witness.saw_ban(self, peer, f"{reason}: {message}")
        self._banned[peer] = self.world.now + _BAN_MS
        self.gossip.on_lost(cast(Any, Line(self, peer, peer)))

    def on_unusable(self, peer: str) -> None:
        """The blocks of a peer do not continue this node's chain."""
        self.gossip.sync.failed(peer, self.clock.monotonic())
