"""A whole store verified offline, from the genesis on; every damage is named by table and row.

Blocks: their hashes, parent links, roots, who decides, and the certificate of each against them. Handovers:
followed from the genesis. State: the tree is built anew from the rows and must have the newest header's state
root; the stored tree's nodes must be those of it, and where the roots differ, its leaves tell which rows are
wrong. Indexes: against the blocks and rows that they are of. Proofs: made as for a reader, and given to the
light client, which shares no code with this, for objects and state spread over all there are.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

from provnode import wire
from provnode.core.types import ValidatorSet
from provnode.crypto.provider import Provider
from provnode.ledger import merkle, tree
from provnode.ledger.certificates import check_certificate
from provnode.ledger.errors import BlockError, TxError
from provnode.ledger.execution import object_key, object_value, state_key, state_value, user_bytes
from provnode.ledger.genesis import Genesis
from provnode.ledger.objecttype import type_of
from provnode.ledger.transactions import decode_transaction
from provnode.ledger.views import Views
from provnode.light import ProofError, Trust, follow, verify_absence, verify_proof, verify_state
from provnode.storage import scan
from provnode.storage.errors import StoreError
from provnode.storage.store import BlockRow, HeadRow, Store, VersionRow

_TELL_EVERY = 1000
# each costs a certificate's signatures; that all nodes of the tree are right was seen before
_MOST_PROOFS = 64
# longer than the id of an object may be
_NOWHERE = "0" * 129
Json = Any  # what json.loads gives
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class Damage:
    """What is wrong, and in which table and row."""

    table: str
    row: str
    problem: str


def fsck(
    store: Store, genesis: Genesis, provider: Provider, tell: Callable[[str], None] = lambda _: None
) -> list[Damage]:
    """All damage of a store that no node uses; `tell` is given how far the check is."""
    found = _Fsck(store, genesis, provider, tell)
    found.run()
    return found.damage


class _Fsck:
    def __init__(
        self, store: Store, genesis: Genesis, provider: Provider, tell: Callable[[str], None]
    ) -> None:
        self.damage: list[Damage] = []
        self._store = store
        self._genesis = genesis
        self._provider = provider
        self._tell = tell
        self._sets: list[tuple[int, ValidatorSet]] = [(1, genesis.validators)]
        self._index: dict[bytes, tuple[int, int]] = {}
        self._names: dict[bytes, tuple[str, str]] = {}

    def run(self) -> None:
        store = self._store
        self._tell("file")
        try:
            store.check()
        except StoreError as error:
            self._bad("file", str(store.path), error)
        if store.genesis_hash() != self._genesis.hash:
            self._bad("meta", "genesis", "the store is of another chain, or of none")
        try:
            self._handovers()
            self._index = {txid: (height, position) for txid, height, position in scan.transactions(store)}
            tip = self._blocks()
            for txid, place in self._index.items():
                if place[0] >= store.lowest():
                    self._bad("transactions", txid.hex(), f"block {place[0]} has no such one at {place[1]}")
            self._state(tip)
            if not self.damage and tip is not None:
                self._proofs()
        except StoreError as error:
            # such as text that is no UTF-8: a table can't be read to its end
            self._bad("file", str(store.path), error)
        except Exception as error:
            if not self.damage:
                raise
            # such as a column that is empty against its rule, which SQLite has told of
            self._bad("file", str(store.path), f"can't be read on: {error!r}")

    def _bad(self, table: str, row: object, problem: object) -> None:
        self.damage.append(Damage(table, str(row), str(problem)))

    # --- who decides

    def _handovers(self) -> None:
        validators = self._genesis.validators
        for row in self._store.handovers(0, 2**53, 2**31):
            try:
                header = wire.decode_header(row.header)
                if header.height != row.height:
                    raise BlockError(f"its header is of height {header.height}")
                if header.validators_hash != wire.validators_hash(validators):
                    raise BlockError("decided by others than the validators before it")
                self._certified(row.certificate, header, validators)
                later = wire.decode_validators(row.validators)
                if wire.validators_hash(later) != header.next_validators_hash:
                    raise BlockError("not the validators that its header names")
            except (wire.WireError, BlockError) as error:
                self._bad("handovers", row.height, error)
            else:
                validators = later
                self._sets.append((row.height + 1, validators))

    def _deciding(self, height: int) -> ValidatorSet:
        return next(found for first, found in reversed(self._sets) if first <= height)

    def _certified(self, raw: bytes, header: wire.Header, validators: ValidatorSet) -> None:
        found = wire.decode_certificate(raw)
        genesis_hash = self._genesis.hash
        check_certificate(found, header.height, header.block_id, validators, genesis_hash, self._provider)

    # --- blocks

    def _blocks(self) -> wire.Header | None:
        """Check every block; gives the newest header."""
        last: wire.Header | None = None
        expected = self._store.lowest()
        for height in list(scan.heights(self._store)):
            if height > expected:
                # together: a damaged number leaves a gap of any size
                last_one = f" to {height - 1}" if height - 1 > expected else ""
                self._bad("blocks", f"{expected}{last_one}", "missing")
            expected = height + 1
            if height % _TELL_EVERY == 0:
                self._tell(f"block {height}")
            try:
                row = self._store.block(height)
                last = None if row is None else self._block(row, last)
            except (StoreError, wire.WireError) as error:
                self._bad("blocks", height, error)
                last = None
        return last

    def _block(self, row: BlockRow, parent: wire.Header | None) -> wire.Header:
        block = wire.decode_block(row.raw)
        header, height = block.header, row.height
        validators = self._deciding(height)
        rules = {
            "block_id": header.block_id == row.block_id,
            "height": header.height == height,
            "chain": (header.chain_id, header.network) == (self._genesis.chain_id, self._genesis.network),
            "parent": self._follows(header, parent),
            "tx_root": header.tx_root == merkle.root([merkle.leaf_hash(raw) for raw in block.txs]),
            "tx_count": header.tx_count == len(block.txs),
            "last_commit_hash": header.last_commit_hash == wire.certificate_hash(block.last_commit),
            "validators_hash": header.validators_hash == wire.validators_hash(validators),
            "next_validators_hash": header.next_validators_hash
            == wire.validators_hash(self._deciding(height + 1)),
            "spelling": wire.encode_block(block) == row.raw,
        }
        for name, holds in rules.items():
            if not holds:
                self._bad("blocks", height, f"{name} does not hold")
        try:
            self._certified(row.certificate, header, validators)
        except (wire.WireError, BlockError) as error:
            self._bad("blocks", height, f"certificate: {error}")
        limit = self._genesis.params.max_tx_bytes
        for position, raw in enumerate(block.txs):
            try:
                txid = decode_transaction(raw, self._genesis.hash, limit).txid
            except TxError as error:
                self._bad("blocks", height, f"transaction {position}: {error}")
                continue
            if self._index.pop(txid, None) != (height, position):
                self._bad("transactions", txid.hex(), f"is not at {position} of block {height}")
        return header

    def _follows(self, header: wire.Header, parent: wire.Header | None) -> bool:
        if header.height == 1:
            return header.parent == self._genesis.hash
        # the parent of the oldest block that is kept is not here, that of a damaged one was named
        return parent is None or (header.parent == parent.block_id and header.time_ms > parent.time_ms)

    # --- state

    def _state(self, tip: wire.Header | None) -> None:
        leaves: dict[bytes, bytes] = {}
        for name, key, value in self._leaves():
            if key in leaves:
                self._bad(*name, "occurs twice")
            leaves[key] = value
            self._names[key] = name
        self._tell("state tree")
        built = tree.update(tree.EMPTY, leaves.items(), lambda _: None)
        stored = dict(scan.nodes(self._store))
        if tip is not None and built.root != tip.state_root:
            self._bad("state root", tip.height, f"the rows give {built.root.hex()}")
            self._compare(tip.state_root, leaves, stored)
        elif tip is None and self._store.height():
            self._bad("state root", self._store.height(), "the newest block tells none")
        else:
            for place in built.nodes.keys() - stored.keys():
                self._bad("nodes", place.hex(), "is missing")
            for place, node in stored.items():
                if built.nodes.get(place) != node:
                    self._bad("nodes", place.hex(), "is not a node of the state tree")

    def _compare(self, root: bytes, leaves: dict[bytes, bytes], stored: dict[bytes, bytes]) -> None:
        """Name the rows that differ from the leaves of the stored tree, as far as that is whole."""
        for key, value in leaves.items():
            try:
                path = tree.find(root, key, stored.get)
            except StoreError as error:
                self._bad("nodes", root.hex(), error)
                return
            if path.leaf is None or path.leaf[0] != key:
                self._bad(*self._names[key], "is not in the state tree")
            elif path.leaf[1] != value:
                self._bad(*self._names[key], "is not what the state tree has")
        there = {node[1:33] for node in stored.values() if node[:1] == b"L"}
        for key in there - leaves.keys():
            self._bad("state tree", key.hex(), "a leaf whose row is missing")

    def _leaves(self) -> Iterator[tuple[tuple[str, str], bytes, bytes]]:
        heads = {head.object_id: head for head in scan.heads(self._store)}
        latest: dict[str, int] = {}
        for count, (object_id, version) in enumerate(list(scan.version_keys(self._store))):
            if count % (100 * _TELL_EVERY) == 0:
                self._tell(f"object version {count}")
            name = f"{object_id} version {version}"
            try:
                row = self._store.version(object_id, version)
                head = heads.get(object_id)
                if row is None or head is None:
                    self._bad("heads", object_id, "is missing")
                    continue
                self._version(row, head)
                if version != latest.get(object_id, -1) + 1:
                    self._bad("objects", name, f"follows version {latest.get(object_id)}")
                latest[object_id] = version
                deletes = head.deleted and head.latest == version
                value = object_value(row, head.organisation, deletes)
                yield ("objects", name), object_key(object_id, version), value
            except StoreError as error:
                self._bad("objects", name, error)
        for head in heads.values():
            if latest.get(head.object_id) != head.latest:
                self._bad(
                    "heads",
                    head.object_id,
                    f"latest: found {head.latest}, versions go up to {latest.get(head.object_id)}",
                )
        for user in scan.users(self._store):
            yield ("users", user.id), state_key("user", user.id), state_value(user_bytes(user))
        for state in scan.states(self._store):
            yield (
                ("state", f"{state.kind} {state.id}"),
                state_key(state.kind, state.id),
                state_value(state.value),
            )

    # --- proofs

    def _proofs(self) -> None:
        self._tell("proofs")
        chain = Views(self._store, self._genesis)
        try:
            trust = self._trust(chain)
        except ProofError as error:
            self._bad("proofs", "handovers", error)
            return
        for object_id, version in _spread(list(scan.version_keys(self._store))):
            bundle = _as_sent(chain.prove(object_id, version, trust.height))
            self._proof(f"{object_id} version {version}", verify_proof, bundle, trust)
        absent = _as_sent(chain.prove_absence(_NOWHERE, 0, trust.height))
        self._proof(_NOWHERE, verify_absence, absent, trust)
        state = [("user", user.id) for user in scan.users(self._store)]
        state += [(row.kind, row.id) for row in scan.states(self._store)]
        for kind, id_ in _spread(state):
            bundle = _as_sent(chain.prove_state(kind, id_, trust.height))
            self._proof(f"{kind} {id_}", verify_state, bundle, trust)

    def _proof(
        self, what: str, verify: Callable[[Json, Trust, Provider], object], bundle: Json, trust: Trust
    ) -> None:
        try:
            verify(bundle, trust, self._provider)
        except ProofError as error:
            self._bad("proofs", what, error)

    def _trust(self, chain: Views) -> Trust:
        """The newest point that the handovers lead to before the newest block."""
        trust = Trust.of_genesis(self._genesis.document, self._provider)
        following: int | None = 1
        while following is not None:
            found = _as_sent(chain.handovers(following, self._store.height() - 1))
            trust = follow(trust, found["handovers"], self._provider)
            following = found["next_height"]
        return trust

    def _version(self, row: VersionRow, head: HeadRow) -> None:
        try:
            found = type_of(row.snapshot)
        except ValueError as error:
            self._bad("objects", f"{row.object_id} version {row.version}", error)
        else:
            if found != head.type:
                self._bad("heads", row.object_id, f"type: found {head.type!r}, its snapshots have {found!r}")


def _spread(found: list[tuple[T, U]]) -> list[tuple[T, U]]:
    """All, or so many with even gaps between them, the last one among them."""
    return found[:: -max(1, -(-len(found) // _MOST_PROOFS))]


def _as_sent(bundle: object) -> Any:  # noqa: ANN401 - any JSON
    """As its reader has it, who gets it as JSON."""
    return json.loads(json.dumps(bundle))
