"""The ledger as the runtime sees it: screen transactions, build, validate and commit blocks, answer queries.

One thread writes (build, validate, commit); any thread may read. A block is executed before it is voted for,
so the certificate of a height proves the state after that very height.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from provnode import wire
from provnode.core.types import Certificate, ValidatorSet
from provnode.crypto.provider import Provider
from provnode.ledger import merkle, tree
from provnode.ledger.blockform import check_named, expect
from provnode.ledger.canonical import JsonObject
from provnode.ledger.certificates import check_certificate
from provnode.ledger.changes import STATE_KIND, decode_state, initial
from provnode.ledger.checks import CheckedTx, Checker
from provnode.ledger.errors import BlockError, GenesisError, TxCode, TxError
from provnode.ledger.execution import Known, Outcome, Overlay
from provnode.ledger.genesis import TX_FRAME, Genesis
from provnode.ledger.membership import Membership
from provnode.ledger.misconduct import STATE_KIND as EVIDENCE
from provnode.ledger.misconduct import record_json
from provnode.ledger.nodes import open_nodes
from provnode.ledger.views import Views, decode_stored
from provnode.storage.errors import StoreError
from provnode.storage.store import BlockRow, BlockWrite, HandoverRow, Store

# a proposer's clock may run this far ahead of ours; a block from further ahead may be fine later
MAX_AHEAD_MS = 5_000
# bytes of blocks that were executed, not decided (one is kept); in memory they take about seven times that
_MAX_PREPARED = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Committed:
    """What a commit did: `state` names the kinds of state, beside objects and users, that it changed.

    `evidence` are the records of misbehaviour that it added.
    """

    height: int
    block_id: bytes
    txids: tuple[bytes, ...]
    state: frozenset[str] = frozenset()
    evidence: tuple[JsonObject, ...] = ()


@dataclass(frozen=True, slots=True)
class _Tip:
    height: int
    block_id: bytes
    time_ms: int
    state_root: bytes
    certificate: Certificate | None
    # as it decides the next height, with the set that this gives
    membership: Membership
    validators: ValidatorSet


@dataclass(frozen=True, slots=True)
class _Prepared:
    block: wire.Block
    outcome: Outcome


class Ledger(Views):
    """The chain of one genesis in one store.

    An empty store is bound to the genesis; a store of another genesis is refused with GenesisError, a
    damaged one with StoreError.
    """

    def __init__(self, store: Store, genesis: Genesis, provider: Provider) -> None:
        super().__init__(store, genesis)
        self._provider = provider
        self.checker = Checker(genesis, provider, self.signer, self._known_validators)
        self._prepared: dict[bytes, _Prepared] = {}
        self._nodes = open_nodes(provider, store)
        bound = store.genesis_hash()
        if bound is None:
            store.bind(genesis.hash)
        elif bound != genesis.hash:
            raise GenesisError(f"{store.path} belongs to genesis {bound.hex()}, not to {genesis.hash.hex()}")
        self._tip = self._read_tip()

    @property
    def height(self) -> int:
        """The height of the newest block, 0 before the first."""
        return self._tip.height

    @property
    def last_block_id(self) -> bytes:
        """The id of the newest block; before the first, the genesis hash."""
        return self._tip.block_id

    @property
    def last_time_ms(self) -> int:
        """The time of the newest block; before the first, that of the genesis."""
        return self._tip.time_ms

    @property
    def state_root(self) -> bytes:
        """The state root after the newest block."""
        return self._tip.state_root

    @property
    def validators(self) -> ValidatorSet:
        """Who decides the next height."""
        return self._tip.validators

    @property
    def membership(self) -> Membership:
        """The validators, suspended ones and changes to come, as of the next height."""
        return self._tip.membership

    @property
    def last_certificate(self) -> Certificate | None:
        """The certificate of the newest block; None before the first."""
        return self._tip.certificate

    # --- transactions

    def screen(self, raws: Sequence[bytes]) -> list[CheckedTx | TxError]:
        """Form, signer, signatures and seals of each, verified as one batch; the state is not asked."""
        return self.checker.check(raws)

    def fit(self, transactions: Sequence[CheckedTx], now_ms: int | None) -> list[TxError | None]:
        """Whether the newest state would take each as the next transaction; None when it would.

        `now_ms` is what an object's own time is judged by; None leaves it unjudged.
        """
        verdicts: list[TxError | None] = []
        with self.store.lock:
            known = Known.of(self.store, transactions)
            # blocks are not judged by this index: a node that joined by a snapshot has only a part of it
            committed = self.store.committed([checked.txid for checked in transactions])
            overlay = self._overlay(known)
            for checked in transactions:
                try:
                    if checked.txid in committed:
                        raise TxError(TxCode.DUPLICATE, f"{checked.txid.hex()} was committed before")
                    overlay.judge(checked, now_ms)
                except TxError as error:
                    # without its traceback, whose frame has this list: a circle for the collector
                    verdicts.append(error.with_traceback(None))
                else:
                    verdicts.append(None)
        return verdicts

    def check_tx(self, raw: bytes, now_ms: int | None = None) -> CheckedTx:
        """Check a transaction on its own and against the newest state. Raises TxError."""
        verdict = self.checker.check([raw])[0]
        if isinstance(verdict, TxError):
            raise verdict
        refusal = self.fit([verdict], now_ms)[0]
        if refusal is not None:
            raise refusal
        return verdict

    # --- blocks

    def build_block(self, time_ms: int, proposer: str, txs: Sequence[bytes]) -> bytes:
        """The next block, as encoded. Transactions that do not apply or do not fit are left out.

        The block's time is `time_ms`, or one millisecond after its parent when that clock is behind.
        """
        time_ms = max(time_ms, self._tip.time_ms + 1)
        good = [one for one in self.checker.check(txs) if not isinstance(one, TxError)]
        overlay = self._overlay(Known.of(self.store, good))
        room = self.genesis.block_room(len(self._decided_tip))
        chosen: list[CheckedTx] = []
        for verdict in good:
            if len(verdict.tx.raw) + TX_FRAME > room:
                continue
            try:
                overlay.apply(verdict, time_ms)
            except TxError:
                continue  # the mempool finds out after the commit
            chosen.append(verdict)
            room -= len(verdict.tx.raw) + TX_FRAME
        outcome = overlay.finish(self._tip.state_root, self._nodes, self._provider.hash_batch)
        header = wire.Header(
            chain_id=self.genesis.chain_id,
            network=self.genesis.network,
            height=self._tip.height + 1,
            time_ms=time_ms,
            parent=self._tip.block_id,
            proposer=proposer,
            tx_root=self._root([item.tx.raw for item in chosen]),
            state_root=outcome.tree.root,
            validators_hash=wire.validators_hash(self._tip.validators),
            next_validators_hash=self._next_validators_hash,
            last_commit_hash=wire.certificate_hash(self._tip.certificate),
            tx_count=len(chosen),
        )
        block = wire.Block(header, tuple(item.tx.raw for item in chosen), self._tip.certificate)
        raw = wire.encode_block(block)
        self._remember(raw, _Prepared(block, outcome))
        return raw

    def validate_block(self, raw: bytes, now_ms: int, named: bytes | None = None) -> wire.Block:
        """Check a proposed block in full, execution included. Raises BlockError.

        `now_ms` is this node's clock: a block from the future is refused. Where the block of an id was
        `named`, whatever is another one raises OtherBlockError.
        """
        prepared = self._prepare(raw, named)
        ahead = prepared.block.header.time_ms - now_ms
        if ahead > MAX_AHEAD_MS:
            raise BlockError(f"time_ms: {ahead} ms ahead of this node's clock, allowed: {MAX_AHEAD_MS}")
        return prepared.block

    def commit(self, raw: bytes, certificate: Certificate) -> Committed:
        """Make a decided block durable. The same block again is a no-op.

        Raises BlockError when the block or its certificate is not right, StoreError when the disk refuses;
        then nothing has changed and the same call may be made again.
        """
        if certificate.height <= self._tip.height:
            return self._committed_before(raw, certificate.height)
        prepared = self._prepare(raw)
        block, outcome = prepared.block, prepared.outcome
        check_certificate(
            certificate,
            block.header.height,
            block.block_id,
            self._tip.validators,
            self.genesis.hash,
            self._provider,
        )
        row = BlockRow(block.header.height, block.block_id, raw, wire.encode_certificate(certificate))
        with self.store.lock:
            self.store.commit(
                BlockWrite(
                    row,
                    outcome.txids,
                    outcome.heads,
                    outcome.versions,
                    outcome.users,
                    outcome.state,
                    self._handover(block, row, outcome.membership),
                    outcome.tree.nodes,
                )
            )
            self._tip = self._next_tip(block, certificate, outcome.membership)
        self._prepared.clear()
        self._nodes.settle(outcome.tree)
        self.checker.forget(block.txs)
        changed = frozenset(one.kind for one in outcome.state)
        evidence = tuple(record_json(state) for state in outcome.state if state.kind == EVIDENCE)
        return Committed(row.height, row.block_id, tuple(outcome.txids), changed, evidence)

    def _prepare(self, raw: bytes, named: bytes | None = None) -> _Prepared:
        """Check all that does not depend on the clock, and execute; remembers the outcome."""
        known = self._prepared.get(raw)
        if named is not None:
            check_named(known.block if known else raw, named, self._root)
        if known is not None:
            return known
        limit = self.genesis.params.max_block_bytes
        if len(raw) > limit:
            raise BlockError(f"block: found {len(raw)} bytes, allowed: {limit}")
        try:
            block = wire.decode_block(raw)
        except wire.WireError as error:
            raise BlockError(f"block: {error}") from error
        self._check_header(block)
        self._check_last_commit(block)
        if named is None:
            expect(("tx_root", block.header.tx_root, self._root(block.txs)))
        outcome = self._execute(block)
        prepared = _Prepared(block, outcome)
        self._remember(raw, prepared)
        return prepared

    def _root(self, txs: Sequence[bytes]) -> bytes:
        return merkle.root(self.checker.leaves(txs), self._provider.hash_batch)

    def _check_header(self, block: wire.Block) -> None:
        header, tip = block.header, self._tip
        expect(
            ("height", header.height, tip.height + 1),
            ("chain_id", header.chain_id, self.genesis.chain_id),
            ("network", header.network, self.genesis.network),
            ("parent", header.parent, tip.block_id),
            ("validators_hash", header.validators_hash, wire.validators_hash(tip.validators)),
            ("next_validators_hash", header.next_validators_hash, self._next_validators_hash),
            ("last_commit_hash", header.last_commit_hash, wire.certificate_hash(block.last_commit)),
            ("tx_count", header.tx_count, len(block.txs)),
        )
        if header.time_ms <= tip.time_ms:
            raise BlockError(f"time_ms: found {header.time_ms}, allowed: above {tip.time_ms}")
        if tip.validators.get(header.proposer) is None:
            raise BlockError(f"proposer: {header.proposer[:64]!r} is no validator")

    def _check_last_commit(self, block: wire.Block) -> None:
        certificate, tip = block.last_commit, self._tip
        if tip.height == 0 or certificate is None:
            if tip.height == 0 and certificate is None:
                return
            raise BlockError("last_commit: block 1 has none, every other block has one")
        if certificate != tip.certificate:
            check_certificate(
                certificate,
                tip.height,
                tip.block_id,
                self._decided_tip,
                self.genesis.hash,
                self._provider,
            )

    def _execute(self, block: wire.Block) -> Outcome:
        transactions: list[CheckedTx] = []
        for position, verdict in enumerate(self.checker.check(block.txs)):
            if isinstance(verdict, TxError):
                raise BlockError(f"transaction {position}: {verdict}")
            transactions.append(verdict)
        overlay = self._overlay(Known.of(self.store, transactions))
        for position, verdict in enumerate(transactions):
            try:
                overlay.apply(verdict, block.header.time_ms)
            except TxError as error:
                raise BlockError(f"transaction {position}: {error}") from error
        outcome = overlay.finish(self._tip.state_root, self._nodes, self._provider.hash_batch)
        expect(("state_root", block.header.state_root, outcome.tree.root))
        return outcome

    def _known_validators(self, height: int) -> ValidatorSet | None:
        return self.validators_at(height) if height <= self._tip.height + 1 else None

    def _overlay(self, known: Known) -> Overlay:
        return Overlay(self.store, self.genesis, self._tip.membership, self._tip.height + 1, known)

    @property
    def _decided_tip(self) -> ValidatorSet:
        """Who decided on the newest block."""
        return self.validators_at(max(self._tip.height, 1))

    @property
    def _next_validators_hash(self) -> bytes:
        """Who decides on the height after the next: what the next block changes takes effect later still."""
        tip = self._tip
        later = tip.membership.at(tip.height + 2)
        return wire.validators_hash(tip.validators if later is tip.membership else later.validators)

    def _handover(self, block: wire.Block, row: BlockRow, membership: Membership) -> HandoverRow | None:
        header = block.header
        if header.next_validators_hash == header.validators_hash:
            return None
        validators = wire.encode_validators(membership.validators)
        return HandoverRow(row.height, wire.encode_header(header), row.certificate, validators)

    def _remember(self, raw: bytes, prepared: _Prepared) -> None:
        self._prepared[raw] = prepared
        while len(self._prepared) > 1 and sum(map(len, self._prepared)) > _MAX_PREPARED:
            self._prepared.pop(next(iter(self._prepared)))

    def _committed_before(self, raw: bytes, height: int) -> Committed:
        row = self.store.block(height)
        if row is None or row.raw != raw:
            raise BlockError(f"height {height} was decided before, with another block")
        txids = tuple(tx.txid for tx in self._transactions(decode_stored(row)))
        return Committed(height, row.block_id, txids)

    def _read_tip(self) -> _Tip:
        height = self.store.height()
        row = self.store.block(height)
        if row is None:
            genesis, first = self.genesis, initial(self.genesis)
            return _Tip(0, genesis.hash, genesis.time_ms, tree.EMPTY, None, first, genesis.validators)
        block = decode_stored(row)
        root = block.header.state_root
        if root != tree.EMPTY and not tree.is_node(root, self.store.node(tree.ROOT)):
            raise StoreError("corrupt", f"block {height}: its state tree is missing", "restore a backup")
        return self._next_tip(block, wire.decode_certificate(row.certificate), self._read_membership())

    def _read_membership(self) -> Membership:
        rows = self.store.state(STATE_KIND)
        try:
            return decode_state(rows[0].value) if rows else initial(self.genesis)
        except ValueError as error:
            raise StoreError("corrupt", f"membership: {error}", "restore a backup or sync anew") from error

    def _next_tip(self, block: wire.Block, certificate: Certificate, membership: Membership) -> _Tip:
        header = block.header
        return _Tip(
            header.height,
            block.block_id,
            header.time_ms,
            header.state_root,
            certificate,
            membership,
            membership.validators,
        )
