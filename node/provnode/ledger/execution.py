"""Applying transactions on top of the store, without writing to it.

The outcome of a block is a function of the store, the block's height and time, and its transactions in order:
every node comes to the same state root before it votes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from provnode.crypto.crl import RevocationList, read_crl
from provnode.crypto.hashing import digest, pack, sm3, tagged
from provnode.ledger import revocation, tree
from provnode.ledger.changes import STATE_KIND, ApprovedChange, encode_state
from provnode.ledger.checks import CheckedTx
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.genesis import Genesis
from provnode.ledger.lifecycle import Change, decide
from provnode.ledger.membership import Limits, Membership
from provnode.ledger.misconduct import MAX_PER_BLOCK, Misconduct
from provnode.ledger.nodes import Nodes
from provnode.ledger.objects import DataObject
from provnode.ledger.transactions import Registration
from provnode.storage.errors import StoreError
from provnode.storage.store import HeadRow, StateRow, Store, UserRow, VersionRow

# how far an object's own clock may run ahead of the block that carries it
MAX_AHEAD_SECONDS = 600
_KEY_TAG, _VALUE_TAG = b"provnode.key", b"provnode.value"
HashBatch = Callable[[Sequence[bytes], bytes], list[bytes]]


def object_key(object_id: str, version: int) -> bytes:
    """The key of an object version in the state tree."""
    return digest(_KEY_TAG, pack([object_id, version]))


def object_value(row: VersionRow, organisation: str, deleted: bool) -> bytes:
    """The value of an object version in the state tree: all that later blocks are executed on.

    digest("provnode.value", pack([SM3 of the snapshot, SM3 of the body as submitted, owner's organisation,
    whether this version deletes the object, height, [ids of the transactions that wrote it, …]]))
    """
    return digest(_VALUE_TAG, _value_bytes(row, organisation, deleted, None))


def _value_bytes(
    row: VersionRow, organisation: str, deleted: bool, hashes: tuple[bytes, bytes] | None
) -> bytes:
    """What the value of an object version is the hash of; whoever knows the row's two hashes gives them."""
    snapshot, submitted = hashes or (sm3(row.snapshot), sm3(row.submitted))
    return pack([snapshot, submitted, organisation, deleted, row.height, row.writers])


def state_key(kind: str, id_: str) -> bytes:
    """The key, in the state tree, of a piece of state that is no object: `user`, `membership`, …"""
    return digest(b"provnode.state-key", pack([kind, id_]))


def state_value(value: bytes) -> bytes:
    """The value of such a piece of state in the state tree."""
    return digest(b"provnode.state-value", value)


def user_bytes(user: UserRow) -> bytes:
    """A registered user as the state root commits it."""
    return pack([user.id, user.organisation, user.public_key, user.height])


def stored_lists(store: Store) -> list[RevocationList]:
    """The newest revocation list of each organisation. Raises StoreError for one that can't be read."""
    try:
        return [read_crl(row.value, row.id) for row in store.state(revocation.STATE_KIND)]
    except ValueError as error:
        raise StoreError("corrupt", f"revocation list: {error}", "restore a backup or sync anew") from error


def check_time(content: DataObject, time_ms: int) -> None:
    """Raises TxError when the object's timestamp (seconds) lies beyond `time_ms` and its tolerance."""
    latest = time_ms // 1000 + MAX_AHEAD_SECONDS
    if content.timestamp > latest:
        raise TxError(
            TxCode.TIMESTAMP,
            f"header.content.timestamp: found {content.timestamp}, allowed: up to {latest} (Unix seconds)",
        )


@dataclass(slots=True)
class Outcome:
    """What the transactions of a block change, and the state root after them.

    `membership` decides the next height.
    """

    txids: list[bytes]
    heads: list[HeadRow]
    versions: list[VersionRow]
    users: list[UserRow]
    state: list[StateRow]
    membership: Membership
    tree: tree.Update


@dataclass(slots=True)
class Known:
    """What the store says, at one height, of the objects that transactions are about."""

    heads: dict[str, HeadRow | None]

    @classmethod
    def of(cls, store: Store, transactions: Sequence[CheckedTx]) -> Known:
        """Ask for all at once: a question for each would cost more than the rest of the execution."""
        ids = [one.content.object_id for one in transactions if isinstance(one.content, DataObject)]
        heads = store.heads(ids)
        return cls({id_: heads.get(id_) for id_ in ids})


@dataclass(slots=True)
class Overlay:
    """The state of the store with the transactions applied so far in one block.

    `membership` is the one that decides on this block, `known` speaks of every transaction to be applied.
    """

    store: Store
    genesis: Genesis
    membership: Membership
    height: int
    known: Known
    changed: Membership | None = None
    revoked: dict[str, RevocationList] = field(default_factory=dict)
    txids: dict[bytes, None] = field(default_factory=dict)
    heads: dict[str, HeadRow] = field(default_factory=dict)
    versions: dict[tuple[str, int], VersionRow] = field(default_factory=dict)
    hashes: dict[tuple[str, int], tuple[bytes, bytes] | None] = field(default_factory=dict)
    users: dict[str, UserRow] = field(default_factory=dict)
    misconduct: dict[str, StateRow] = field(default_factory=dict)

    def judge(self, checked: CheckedTx, time_ms: int | None) -> None:
        """Raise TxError unless `apply` would take the transaction as the first one; changes nothing."""
        content = checked.content
        if isinstance(content, DataObject):
            self._decide(checked, content, time_ms)
        else:
            fresh = Overlay(self.store, self.genesis, self.membership, self.height, self.known)
            fresh.apply(checked, time_ms)

    def apply(self, checked: CheckedTx, time_ms: int | None) -> None:
        """Apply one transaction, or raise TxError and change nothing.

        `time_ms` is the time of the block; None leaves the timestamp unjudged.
        """
        if checked.txid in self.txids:
            raise TxError(TxCode.DUPLICATE, f"transaction {checked.txid.hex()} occurs twice")
        content = checked.content
        if isinstance(content, Registration):
            self._register(checked, content)
        elif isinstance(content, ApprovedChange):
            self._change(content)
        elif isinstance(content, RevocationList):
            self._revoke(content)
        elif isinstance(content, Misconduct):
            self._record(content)
        else:
            change = self._decide(checked, content, time_ms)
            self.heads[change.head.object_id] = change.head
            hashes = change.hashes
            for row in change.versions:
                key = row.object_id, row.version
                self.versions[key], self.hashes[key] = row, hashes
                hashes = None
        self.txids[checked.txid] = None

    def finish(self, root: bytes, nodes: Nodes, hash_batch: HashBatch) -> Outcome:
        """The outcome over the state tree with `root`. Raises StoreError when the stored tree is damaged.

        `hash_batch` gives SM3 of a prefix and each message.
        """
        keys = hash_batch([pack(key) for key in self.versions], tagged(_KEY_TAG))
        values = hash_batch([self._value(row) for row in self.versions.values()], tagged(_VALUE_TAG))
        items = list(zip(keys, values, strict=True))
        items += [(state_key("user", row.id), state_value(user_bytes(row))) for row in self.users.values()]
        before = self.membership
        membership = (self.changed or before).at(self.height + 1)
        state = [StateRow(revocation.STATE_KIND, one.organisation, one.der) for one in self.revoked.values()]
        if membership is not before:
            state.append(StateRow(STATE_KIND, "", encode_state(membership)))
        state += self.misconduct.values()
        items += [(state_key(row.kind, row.id), state_value(row.value)) for row in state]
        return Outcome(
            list(self.txids),
            list(self.heads.values()),
            list(self.versions.values()),
            list(self.users.values()),
            state,
            membership,
            nodes.update(root, items),
        )

    def _value(self, row: VersionRow) -> bytes:
        head = self.heads[row.object_id]
        deletes = head.deleted and head.latest == row.version
        return _value_bytes(row, head.organisation, deletes, self.hashes[row.object_id, row.version])

    def _change(self, content: ApprovedChange) -> None:
        content.check_quorum(self.membership)
        genesis = self.genesis
        limits = Limits(genesis.organisations, genesis.most_validators)
        self.changed = (self.changed or self.membership).accept(content.change, self.height, limits)

    def _revoke(self, content: RevocationList) -> None:
        who = content.organisation
        before = self.revoked.get(who) or next(
            (one for one in stored_lists(self.store) if one.organisation == who), None
        )
        if before is not None and content.number <= before.number:
            raise TxError(
                TxCode.STALE_CRL, f"crl: found number {content.number}, allowed: above {before.number}"
            )
        self.revoked[who] = content

    def _record(self, content: Misconduct) -> None:
        content.check_age(self.height)
        row = content.row(self.height)
        if row.id in self.misconduct or self.store.state_of(row.kind, row.id) is not None:
            raise TxError(TxCode.DUPLICATE, f"evidence {row.id} was committed before")
        if len(self.misconduct) >= MAX_PER_BLOCK:
            raise TxError(TxCode.BAD_EVIDENCE, f"evidence: a block takes {MAX_PER_BLOCK} at most")
        self.misconduct[row.id] = row

    def _register(self, checked: CheckedTx, content: Registration) -> None:
        if content.id in self.users or self.store.user(content.id) is not None:
            raise TxError(TxCode.USER_EXISTS, f"user {content.id} is registered")
        self.users[content.id] = UserRow(
            content.id, checked.signer.organisation, content.public_key, self.height
        )

    def _decide(self, checked: CheckedTx, content: DataObject, time_ms: int | None) -> Change:
        if time_ms is not None:
            check_time(content, time_ms)
        head = self.heads.get(content.object_id) or self.known.heads[content.object_id]
        return decide(
            head,
            partial(self._version, content.object_id),
            content,
            checked.signer.organisation,
            self.genesis.schemas,
            txid=checked.txid,
            height=self.height,
        )

    def _version(self, object_id: str, version: int) -> VersionRow:
        row = self.versions.get((object_id, version)) or self.store.version(object_id, version)
        if row is None:
            raise StoreError("corrupt", f"object {object_id} lacks version {version}", "restore a backup")
        return row
