"""The state after a block as a snapshot, and a store rebuilt from one.

Nothing in a snapshot is believed for who offers or signs it. The header is, when more than two thirds of the
power that decides its height have signed for it, beginning with the genesis and along every handover; and the
records are, when the tree over all of them has the state root of that header. The tree's leaves commit
everything that later blocks are executed on, so a node that joined by a snapshot judges them like all others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from provnode import wire
from provnode.core.types import ValidatorSet
from provnode.crypto.hashing import sm3
from provnode.crypto.provider import Provider
from provnode.ledger import merkle, tree
from provnode.ledger.certificates import check_certificate
from provnode.ledger.errors import BlockError, TxError
from provnode.ledger.execution import object_key, object_value, state_key, state_value, user_bytes
from provnode.ledger.genesis import Genesis
from provnode.ledger.objecttype import type_of
from provnode.ledger.transactions import decode_transaction
from provnode.ledger.trusted import TrustedPoint
from provnode.storage import scan
from provnode.storage.errors import StoreError
from provnode.storage.files import settle
from provnode.storage.sealing import PLAIN, Sealing
from provnode.storage.store import BlockRow, HandoverRow, HeadRow, Part, StateRow, Store, UserRow, VersionRow
from provnode.wire.snapshots import (
    CHUNK_BYTES,
    BlockRecord,
    Manifest,
    Record,
    SnapshotContent,
    StateRecord,
    UserRecord,
    VersionRecord,
    WireHandover,
    decode_chunk,
    encode_chunk,
    snapshot_sign_bytes,
)

MOST_HANDOVERS = 1 << 16
Sign = Callable[[bytes], tuple[str, bytes]]
"""Signs as a validator: gives its name and the signature."""


class SnapshotError(Exception):
    """A snapshot that is not the state of this chain; the message says what differs."""


# --- making one


def export(store: Store, genesis: Genesis, sign: Sign, keep: Callable[[int, bytes], None]) -> Manifest:
    """Cut the state of a store that nobody writes to meanwhile into chunks, given to `keep` with their index.

    Raises StoreError, also when the store is empty.
    """
    height = store.height()
    row = store.block(height)
    if row is None:
        raise StoreError("conflict", f"{store.path} has no block yet", "wait for the first")
    header = wire.decode_block(row.raw).header
    counts = {VersionRecord: 0, UserRecord: 0, StateRecord: 0}
    hashes: list[bytes] = []
    for records in _cut(_records(store, row)):
        for record in records:
            if not isinstance(record, BlockRecord):
                counts[type(record)] += 1
        raw = encode_chunk(records)
        keep(len(hashes), raw)
        hashes.append(sm3(raw))
    content = SnapshotContent(
        1, genesis.hash, height, row.block_id, header.state_root, tuple(hashes), *counts.values()
    )
    handovers = tuple(
        WireHandover(one.header, one.certificate, one.validators)
        for one in store.handovers(0, height, MOST_HANDOVERS)
    )
    signer, signature = sign(snapshot_sign_bytes(content))
    return Manifest(content, wire.encode_header(header), row.certificate, handovers, signer, signature)


def _records(store: Store, row: BlockRow) -> Iterator[Record]:
    yield BlockRecord(row.raw)
    head: HeadRow | None = None
    for one in scan.versions(store):
        if head is None or head.object_id != one.object_id:
            head = store.head(one.object_id)
        if head is None:
            raise StoreError("corrupt", f"object {one.object_id} has no head", "restore a backup")
        deletes = head.deleted and head.latest == one.version
        yield VersionRecord(
            one.object_id,
            one.version,
            head.organisation,
            deletes,
            one.snapshot,
            one.submitted,
            one.writers,
            one.height,
        )
    for user in scan.users(store):
        yield UserRecord(user.id, user.organisation, user.public_key, user.height)
    for state in scan.states(store):
        yield StateRecord(state.kind, state.id, state.value)


def _cut(records: Iterable[Record]) -> Iterator[list[Record]]:
    chunk: list[Record] = []
    size = 0
    for record in records:
        chunk.append(record)
        size += _size(record)
        if size >= CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _size(record: Record) -> int:
    match record:
        case BlockRecord():
            return len(record.raw)
        case VersionRecord():
            return len(record.snapshot) + len(record.submitted) + 32 * len(record.writers) + 64
        case UserRecord():
            return 256
        case StateRecord():
            return len(record.value) + 64


# --- believing one


def check_manifest(
    manifest: Manifest, genesis: Genesis, provider: Provider, trusted: TrustedPoint | None = None
) -> wire.Header:
    """The header that the snapshot's state is of, certified from the genesis on, past the trusted point.

    Raises SnapshotError.
    """
    content = manifest.content
    if content.genesis_hash != genesis.hash:
        raise SnapshotError(f"genesis: found {content.genesis_hash.hex()}, allowed: {genesis.hash.hex()}")
    try:
        header = wire.decode_header(manifest.header)
        validators = _follow(manifest.handovers, header, genesis, provider)
        _certified(header, manifest.certificate, validators, genesis, provider)
        if trusted is not None:
            trusted.check_snapshot(manifest.handovers, header, genesis)
    except (wire.WireError, BlockError) as error:
        raise SnapshotError(str(error)) from error
    for name, found, allowed in (
        ("height", content.height, header.height),
        ("block_id", content.block_id, header.block_id),
        ("state_root", content.state_root, header.state_root),
    ):
        if found != allowed:
            raise SnapshotError(f"{name}: the manifest says {found!r}, the header {allowed!r}")
    signer = validators.get(manifest.signer)
    if signer is None:
        raise SnapshotError(f"signer: {manifest.signer!r} is no validator at height {header.height}")
    item = (signer.public_key, snapshot_sign_bytes(content), manifest.signature)
    if provider.verify_batch([item]) != [True]:
        raise SnapshotError(f"signature: that of {signer.name} of {signer.organisation} does not hold")
    return header


def _follow(
    handovers: Iterable[WireHandover], last: wire.Header, genesis: Genesis, provider: Provider
) -> ValidatorSet:
    """Who decides on `last`; it may be a handover itself, and then stands at the end of them."""
    validators = deciding = genesis.validators
    height = 0
    for one in handovers:
        header = wire.decode_header(one.header)
        if header.height <= height:
            raise SnapshotError(f"handovers: height {header.height} after {height}")
        _certified(header, one.certificate, validators, genesis, provider)
        deciding = validators if header.height >= last.height else wire.decode_validators(one.validators)
        validators, height = wire.decode_validators(one.validators), header.height
        if wire.validators_hash(validators) != header.next_validators_hash:
            raise SnapshotError(f"handover {height}: not the validators that its header names")
    hands_over = last.next_validators_hash != last.validators_hash
    if height > last.height or (height == last.height) != hands_over:
        raise SnapshotError(f"handovers: up to height {height} for the header of height {last.height}")
    return deciding


def _certified(
    header: wire.Header, certificate: bytes, validators: ValidatorSet, genesis: Genesis, provider: Provider
) -> None:
    if (header.chain_id, header.network) != (genesis.chain_id, genesis.network):
        raise SnapshotError(f"header {header.height}: of another chain or network")
    if header.validators_hash != wire.validators_hash(validators):
        raise SnapshotError(f"header {header.height}: other validators than the handovers lead to")
    found = wire.decode_certificate(certificate)
    check_certificate(found, header.height, header.block_id, validators, genesis.hash, provider)


# --- a store from one


def rebuild(
    manifest: Manifest,
    chunks: Iterable[bytes],
    genesis: Genesis,
    provider: Provider,
    path: Path,
    sealing: Sealing = PLAIN,
) -> None:
    """Make the store at `path`, as `sealing` has it, from a snapshot: whole and durable, or not there.

    `chunks` gives every chunk once, in order. Raises SnapshotError, and StoreError when the disk refuses or
    a store is there already.
    """
    header = check_manifest(manifest, genesis, provider)
    if path.exists():
        raise StoreError("conflict", f"{path} is there already", "remove it, if it is not needed")
    new = path.with_name(path.name + ".new")
    for leftover in path.parent.glob(new.name + "*"):
        leftover.unlink()
    try:
        store = Store(new, sealing)
        try:
            _Rebuild(manifest, header, genesis).run(store, iter(chunks))
        finally:
            store.close()
        settle(new, path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


@dataclass(slots=True)
class _Rebuild:
    manifest: Manifest
    header: wire.Header
    genesis: Genesis
    leaves: list[tuple[bytes, bytes]] = field(default_factory=list)
    last: tuple[object, ...] = (0,)
    head: HeadRow | None = None
    counts: list[int] = field(default_factory=lambda: [0, 0, 0])

    def run(self, store: Store, chunks: Iterator[bytes]) -> None:
        first = self._chunk(0, next(chunks, b""))
        if not isinstance(first[0], BlockRecord):
            raise SnapshotError("chunk 0: does not begin with the block")
        block, txids = self._block(first[0].raw)
        store.seed(self.genesis.hash, block, txids, self._parts(first[1:], chunks))

    def _block(self, raw: bytes) -> tuple[BlockRow, list[bytes]]:
        try:
            block = wire.decode_block(raw)
            txs = [
                decode_transaction(tx, self.genesis.hash, self.genesis.params.max_tx_bytes)
                for tx in block.txs
            ]
        except (wire.WireError, TxError) as error:
            raise SnapshotError(f"block: {error}") from error
        header = self.header
        if (
            block.block_id != header.block_id
            or merkle.root([tx.leaf for tx in txs]) != header.tx_root
            or wire.certificate_hash(block.last_commit) != header.last_commit_hash
        ):
            raise SnapshotError(f"block: not the one that the header of height {header.height} is of")
        row = BlockRow(header.height, block.block_id, raw, self.manifest.certificate)
        return row, [tx.txid for tx in txs]

    def _chunk(self, index: int, raw: bytes) -> tuple[Record, ...]:
        if sm3(raw) != self.manifest.content.chunks[index]:
            raise SnapshotError(f"chunk {index}: not the one that the manifest names")
        try:
            return decode_chunk(raw)
        except wire.WireError as error:
            raise SnapshotError(f"chunk {index}: {error}") from error

    def _parts(self, first: tuple[Record, ...], chunks: Iterator[bytes]) -> Iterator[Part]:
        yield Part(handovers=[_handover(one) for one in self.manifest.handovers])
        yield self._part(first)
        index = 0
        for index, raw in enumerate(chunks, start=1):
            if index >= len(self.manifest.content.chunks):
                raise SnapshotError(f"chunk {index}: the manifest has no such chunk")
            yield self._part(self._chunk(index, raw))
        content = self.manifest.content
        if index + 1 != len(content.chunks) or self.counts != [
            content.versions,
            content.users,
            content.state,
        ]:
            raise SnapshotError("chunks or records are missing")
        if self.head is not None:
            yield Part(heads=[self.head])
        built = tree.update(tree.EMPTY, self.leaves, lambda _: None)
        if built.root != content.state_root:
            raise SnapshotError(f"state_root: found {built.root.hex()}, allowed: {content.state_root.hex()}")
        yield Part(nodes=built.nodes)

    def _part(self, records: tuple[Record, ...]) -> Part:
        heads: list[HeadRow] = []
        versions: list[VersionRow] = []
        users: list[UserRow] = []
        state: list[StateRow] = []
        for record in records:
            match record:
                case VersionRecord():
                    versions.append(self._version(record, heads))
                case UserRecord():
                    self._ascend(2, record.id.encode())
                    user = UserRow(record.id, record.organisation, record.public_key, record.height)
                    self.leaves.append((state_key("user", user.id), state_value(user_bytes(user))))
                    users.append(user)
                case StateRecord(kind="user"):
                    # it would have the place of a user in the tree, beside the user
                    raise SnapshotError("a user among the other state")
                case StateRecord():
                    self._ascend(3, record.kind.encode(), record.id.encode())
                    self.leaves.append((state_key(record.kind, record.id), state_value(record.value)))
                    state.append(StateRow(record.kind, record.id, record.value))
                case BlockRecord():
                    raise SnapshotError("a second block")
        more = (len(versions), len(users), len(state))
        self.counts = [sum(pair) for pair in zip(self.counts, more, strict=True)]
        return Part(heads, versions, users, state)

    def _ascend(self, *place: object) -> None:
        if not self.last < place:
            raise SnapshotError(f"records out of order: {place} after {self.last}")
        self.last = place

    def _version(self, record: VersionRecord, heads: list[HeadRow]) -> VersionRow:
        self._ascend(1, record.object_id.encode(), record.version)
        head = self.head
        if head is None or head.object_id != record.object_id:
            if head is not None:
                heads.append(head)
            head = HeadRow(record.object_id, _type(record), record.organisation, -1, False)
        fits = record.version == head.latest + 1 and record.organisation == head.organisation
        if head.deleted or not fits:
            raise SnapshotError(f"object {record.object_id}: version {record.version} does not follow")
        self.head = HeadRow(
            head.object_id, head.type, head.organisation, record.version, deleted=record.deletes
        )
        row = VersionRow(
            record.object_id,
            record.version,
            record.snapshot,
            record.submitted,
            record.writers,
            record.height,
        )
        value = object_value(row, record.organisation, record.deletes)
        self.leaves.append((object_key(row.object_id, row.version), value))
        return row


def _type(record: VersionRecord) -> str:
    try:
        return type_of(record.snapshot)
    except ValueError as error:
        raise SnapshotError(f"object {record.object_id}: {error}") from error


def _handover(one: WireHandover) -> HandoverRow:
    return HandoverRow(wire.decode_header(one.header).height, one.header, one.certificate, one.validators)
