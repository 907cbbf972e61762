"""What a node tells of its chain: the interfaces of JR/T 0314-2024 clause 7, and proof bundles.

Everything here is JSON-ready: byte strings are lower-case hex, times are milliseconds since 1970 in UTC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from functools import lru_cache

from provnode import wire
from provnode.core.types import Certificate, Validator, ValidatorSet
from provnode.crypto.hashing import sm3
from provnode.ledger import tree
from provnode.ledger.canonical import Json, JsonObject, decode
from provnode.ledger.errors import NotFoundError, PrunedError
from provnode.ledger.execution import object_key, state_key, stored_lists, user_bytes
from provnode.ledger.genesis import Genesis, Signer
from provnode.ledger.misconduct import STATE_KIND as EVIDENCE
from provnode.ledger.misconduct import record_json
from provnode.ledger.transactions import (
    KIND_EVIDENCE,
    KIND_MEMBERSHIP,
    KIND_OBJECT,
    KIND_REGISTER_USER,
    KIND_REVOCATION,
    Transaction,
    decode_transaction,
)
from provnode.storage.errors import StoreError
from provnode.storage.store import BlockRow, HandoverRow, HeadRow, Store, VersionRow

_KEPT_SETS = 64
# in one answer: as many as a light client takes at once
MOST_HANDOVERS = 64
# records of misbehaviour in one answer
EVIDENCE_PAGE = 100


class Views:
    """Read access to the committed chain.

    Raises NotFoundError for what is not there, PrunedError for blocks that are not kept on this node.
    """

    def __init__(self, store: Store, genesis: Genesis) -> None:
        self.store = store
        self.genesis = genesis

    def signer(self, signer_id: str) -> Signer | None:
        """A registered signer: of the genesis, or registered by a committed transaction."""
        founding = self.genesis.signers.get(signer_id)
        if founding is not None:
            return founding
        user = self.store.user(signer_id)
        return None if user is None else Signer(user.id, user.organisation, user.public_key, founding=False)

    def stored_block(self, height: int) -> tuple[bytes, Certificate]:
        """Block and certificate as committed, for a node that catches up."""
        row = self._row(height)
        return row.raw, wire.decode_certificate(row.certificate)

    def stored_blocks(self, height: int, count: int, size: int) -> list[tuple[bytes, Certificate]]:
        """At most `count` blocks from `height` on that are kept here, of about `size` bytes together."""
        found: list[tuple[bytes, Certificate]] = []
        for number in range(height, height + count):
            try:
                block = self.stored_block(number)
            except NotFoundError:
                break
            size -= len(block[0])
            if found and size < 0:
                break
            found.append(block)
        return found

    def validators_at(self, height: int) -> ValidatorSet:
        """Who decides, or decided, on `height`, up to the one after the newest block."""
        row = self.store.handover_before(height)
        if row is None:
            return self.genesis.validators
        return _decoded(row.validators)

    def revoked(self) -> dict[str, frozenset[int]]:
        """The serials of each organisation's revoked certificates."""
        return {one.organisation: one.serials for one in stored_lists(self.store)}

    def has_evidence(self, evidence_id: str) -> bool:
        """Whether this misbehaviour is in the chain."""
        return self.store.state_of(EVIDENCE, evidence_id) is not None

    def evidence(self, after: str, most: int) -> list[JsonObject]:
        """The first `most` records of misbehaviour whose ids come after `after`, in the chain's order."""
        return [record_json(row) for row in self.store.state(EVIDENCE, after, most)]

    def count_evidence(self) -> Counter[str]:
        """How much misbehaviour is recorded of each organisation; reads all of it, a page at a time."""
        counts: Counter[str] = Counter()
        page = self.evidence("", EVIDENCE_PAGE)
        while page:
            counts.update(str(found["organisation"]) for found in page)
            page = self.evidence(str(page[-1]["id"]), EVIDENCE_PAGE)
        return counts

    def block(self, height: int) -> JsonObject:
        """Clause 7, block: height, hashes, time, transaction ids, header."""
        row, block = self._block(height)
        header = block.header
        return {
            "network": header.network,
            "chain_id": header.chain_id,
            "height": height,
            "hash": row.block_id.hex(),
            "previous": {"height": height - 1, "hash": header.parent.hex()},
            "time_ms": header.time_ms,
            "proposer": header.proposer,
            "transactions": [tx.txid.hex() for tx in self._transactions(block)],
            "header": header_json(header),
            "bytes": len(row.raw),
        }

    def transaction(self, txid: bytes) -> JsonObject:
        """Clause 7, transaction: its operations, their types and results.

        Only transactions that could be applied are in a block, so each result is `success`.
        """
        with self.store.lock:
            place = self.store.transaction(txid)
            if place is None:
                raise NotFoundError(f"no transaction {txid.hex()}")
            row, block = self._block(place[0])
        tx = self._decode(block.txs[place[1]])
        signer = self.signer(tx.signer_id)
        return {
            "txid": txid.hex(),
            "height": place[0],
            "block_hash": row.block_id.hex(),
            "position": place[1],
            "time_ms": block.header.time_ms,
            "kind": tx.kind,
            "signer": tx.signer_id,
            "organisation": None if signer is None else signer.organisation,
            "signature": tx.signature.hex(),
            "signed": tx.sign_bytes.hex(),
            "operations": [{**_operation(tx), "result": "success"}],
        }

    def consensus_state(self, height: int) -> JsonObject:
        """Clause 7, consensus state: roots, key set, who voted, their signatures and what they signed."""
        row, block = self._block(height)
        certificate = wire.decode_certificate(row.certificate)
        return {
            "height": height,
            "hash": row.block_id.hex(),
            "state_root": block.header.state_root.hex(),
            "transaction_root": block.header.tx_root.hex(),
            "validators": validators_json(self.validators_at(height)),
            "certificate": certificate_json(certificate),
            "signed": wire.precommit_sign_bytes(self.genesis.hash, certificate).hex(),
        }

    def objects(self, height: int) -> list[JsonObject]:
        """Clause 7, objects in a block: what each of its transactions did to which object."""
        _, block = self._block(height)
        return [
            {**_operation(tx), "txid": tx.txid.hex()}
            for tx in self._transactions(block)
            if tx.kind == KIND_OBJECT
        ]

    def object(self, object_id: str, version: int | None = None) -> JsonObject:
        """An object version as it stands (the newest without `version`), and where it came from."""
        with self.store.lock:
            head, row = self._version(object_id, version)
        return {
            "object_id": object_id,
            "version": row.version,
            "latest": head.latest,
            "deleted": head.deleted,
            "organisation": head.organisation,
            "txid": row.txid.hex(),
            "height": row.height,
            "object": decode(row.snapshot),
        }

    def prove(self, object_id: str, version: int | None = None, trusted_height: int = 0) -> JsonObject:
        """The proof bundle that `provnode.light.verify_proof` takes, made at the newest height.

        It leads there from the height that its reader trusts. Raises ValueError for too many handovers.
        """
        with self.store.lock:
            head, row = self._version(object_id, version)
            named: JsonObject = {"object_id": object_id, "version": row.version}
            named |= {"snapshot": decode(row.snapshot), "origin": _origin(head, row)}
            return named | self._proof(object_key(object_id, row.version), trusted_height)

    def prove_absence(self, object_id: str, version: int, trusted_height: int = 0) -> JsonObject:
        """The bundle for `provnode.light.verify_absence`. Raises ValueError when the version exists."""
        with self.store.lock:
            if self.store.version(object_id, version) is not None:
                raise ValueError(f"object {object_id} has a version {version}")
            named: JsonObject = {"object_id": object_id, "version": version, "snapshot": None, "origin": None}
            return named | self._proof(object_key(object_id, version), trusted_height, absent=True)

    def prove_state(self, kind: str, id_: str, trusted_height: int = 0) -> JsonObject:
        """The bundle for `provnode.light.verify_state`: a user, the membership, a revocation list."""
        with self.store.lock:
            if kind == "user":
                user = self.store.user(id_)
                value = None if user is None else user_bytes(user)
            else:
                row = self.store.state_of(kind, id_)
                value = None if row is None else row.value
            if value is None:
                raise NotFoundError(f"no state {kind[:32]!r} {id_[:129]!r}")
            named: JsonObject = {"kind": kind, "id": id_, "value": value.hex()}
            return named | self._proof(state_key(kind, id_), trusted_height)

    def handovers(self, from_height: int, to_height: int) -> JsonObject:
        """What `provnode.light.follow` takes, a page at a time: `next_height` is where to go on, or null."""
        rows = self.store.handovers(from_height - 1, to_height, MOST_HANDOVERS + 1)
        more = len(rows) > MOST_HANDOVERS
        rows = rows[:MOST_HANDOVERS]
        found: list[Json] = [handover_json(row) for row in rows]
        return {"handovers": found, "next_height": rows[-1].height + 1 if more else None}

    def _proof(self, key: bytes, trusted_height: int, *, absent: bool = False) -> JsonObject:
        row, block = self._block(self.store.height())
        path = tree.find(block.header.state_root, key, self.store.node)
        other: Json = None
        if absent and path.leaf is not None:
            other = {"key": path.leaf[0].hex(), "value": path.leaf[1].hex()}
        handovers = self.handovers(trusted_height + 1, row.height - 1)
        if handovers["next_height"] is not None:
            raise ValueError(
                f"trusted_height: found {trusted_height}, with more than {MOST_HANDOVERS} handovers since; "
                "follow those first"
            )
        return {
            "format": 1,
            "siblings": [sibling.hex() for sibling in path.siblings],
            "other_leaf": other,
            "handovers": handovers["handovers"],
            "header": header_json(block.header),
            "certificate": certificate_json(wire.decode_certificate(row.certificate)),
        }

    def _version(self, object_id: str, version: int | None) -> tuple[HeadRow, VersionRow]:
        head = self.store.head(object_id)
        if head is None:
            raise NotFoundError(f"no object {object_id}")
        wanted = head.latest if version is None else version
        row = self.store.version(object_id, wanted)
        if row is None:
            raise NotFoundError(f"object {object_id} has no version {wanted}, the newest is {head.latest}")
        return head, row

    def _row(self, height: int) -> BlockRow:
        row = self.store.block(height)
        if row is None:
            lowest = self.store.lowest()
            if 0 < height < lowest:
                raise PrunedError(f"block {height}", lowest)
            raise NotFoundError(f"no block {height}, the newest is {self.store.height()}")
        return row

    def _block(self, height: int) -> tuple[BlockRow, wire.Block]:
        row = self._row(height)
        return row, decode_stored(row)

    def _transactions(self, block: wire.Block) -> list[Transaction]:
        return [self._decode(raw) for raw in block.txs]

    def _decode(self, raw: bytes) -> Transaction:
        return decode_transaction(raw, self.genesis.hash, self.genesis.params.max_tx_bytes)


@lru_cache(_KEPT_SETS)
def _decoded(raw: bytes) -> ValidatorSet:
    try:
        return wire.decode_validators(raw)
    except wire.WireError as error:
        raise StoreError("corrupt", str(error), "restore a backup or sync anew") from error


def decode_stored(row: BlockRow) -> wire.Block:
    """Decode a stored block. Raises StoreError `corrupt` when it is not what was committed."""
    try:
        block = wire.decode_block(row.raw)
    except wire.WireError as error:
        raise StoreError(
            "corrupt", f"block {row.height}: {error}", "restore a backup or sync anew"
        ) from error
    if block.block_id != row.block_id or block.header.height != row.height:
        raise StoreError("corrupt", f"block {row.height} is not what its id says", "restore a backup")
    return block


def header_json(header: wire.Header) -> JsonObject:
    """A header as JSON, field by field."""
    return {
        "version": 1,
        "chain_id": header.chain_id,
        "network": header.network,
        "height": header.height,
        "time_ms": header.time_ms,
        "parent": header.parent.hex(),
        "proposer": header.proposer,
        "tx_root": header.tx_root.hex(),
        "state_root": header.state_root.hex(),
        "validators_hash": header.validators_hash.hex(),
        "next_validators_hash": header.next_validators_hash.hex(),
        "last_commit_hash": header.last_commit_hash.hex(),
        "tx_count": header.tx_count,
    }


def certificate_json(certificate: Certificate) -> JsonObject:
    """A certificate as JSON."""
    return {
        "height": certificate.height,
        "round": certificate.round,
        "block_id": certificate.block_id.hex(),
        "signatures": [
            {"validator": item.validator, "signature": item.signature.hex()}
            for item in sorted(certificate.signatures, key=lambda item: item.validator)
        ],
    }


def validators_json(validators: Iterable[Validator]) -> list[Json]:
    """Validators as JSON."""
    return [
        {
            "name": one.name,
            "organisation": one.organisation,
            "public_key": one.public_key.hex(),
            "power": one.power,
        }
        for one in validators
    ]


def handover_json(row: HandoverRow) -> JsonObject:
    """A handover as a light client takes it."""
    return {
        "header": header_json(wire.decode_header(row.header)),
        "certificate": certificate_json(wire.decode_certificate(row.certificate)),
        "validators": validators_json(_decoded(row.validators)),
    }


def _origin(head: HeadRow, row: VersionRow) -> JsonObject:
    return {
        "submitted": sm3(row.submitted).hex(),
        "organisation": head.organisation,
        "deleted": head.deleted and head.latest == row.version,
        "height": row.height,
        "writers": [txid.hex() for txid in row.writers],
    }


def _operation(tx: Transaction) -> JsonObject:
    if tx.kind == KIND_REGISTER_USER:
        return {"type": tx.kind, "user": tx.body["id"]}
    if tx.kind == KIND_REVOCATION:
        return {"type": tx.kind, "organisation": tx.body["organisation"]}
    if tx.kind == KIND_EVIDENCE:
        return {"type": tx.kind, "evidence": tx.body["evidence"]}
    if tx.kind == KIND_MEMBERSHIP:
        return {"type": tx.kind, "change": tx.body["change"]}
    header = tx.body["header"]
    content = header["content"] if isinstance(header, dict) else None
    if not isinstance(content, dict):
        raise StoreError("corrupt", f"transaction {tx.txid.hex()} has no header", "restore a backup")
    return {
        "type": content["operation"],
        "object_type": content["type"],
        "object_id": content["object_id"],
        "version": content["version"],
    }
