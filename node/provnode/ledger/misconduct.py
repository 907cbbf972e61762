"""Evidence of misbehaviour on the chain: the transaction that carries it, and the record that stays.

An `evidence` transaction carries {"evidence": hex of `provnode.wire.encode_evidence`}. It is its own proof,
so nobody signs it: signer id and signature are empty. Validators put it into their blocks; the mempool takes
none.

The record is a piece of state of the kind `evidence` under the evidence's id, committed by the state root:
canonical JSON of {"committed_height", "evidence", "height", "kind", "organisation", "round", "validator"}.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from provnode import wire
from provnode.core.types import ValidatorSet
from provnode.ledger.canonical import JsonObject, decode, encode
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.transactions import KIND_EVIDENCE, Transaction, unsigned_transaction
from provnode.storage.store import StateRow

STATE_KIND = "evidence"
# evidence takes two verifications and is kept for ever: a culprit's flood of it must not fill blocks
MAX_PER_BLOCK = 16
_HEX = Annotated[str, Meta(pattern="^([0-9a-f]{2})+$", max_length=2 * wire.MAX_EVIDENCE_BYTES)]


class _Body(Struct, frozen=True, forbid_unknown_fields=True):
    evidence: _HEX


@dataclass(frozen=True, slots=True)
class Misconduct:
    """Evidence, and the organisation that its validator belonged to at that height."""

    evidence: wire.Evidence
    organisation: str

    def check_age(self, height: int) -> None:
        """Raises TxError when it is too old to be in a block of that height."""
        oldest = height - wire.MAX_EVIDENCE_AGE
        if self.evidence.height < oldest:
            raise TxError(
                TxCode.BAD_EVIDENCE,
                f"evidence: found one of height {self.evidence.height}, allowed: {oldest} and later",
            )

    def row(self, height: int) -> StateRow:
        """The record of a block of that height."""
        found = self.evidence
        record: JsonObject = {
            "committed_height": height,
            "evidence": wire.encode_evidence(found).hex(),
            "height": found.height,
            "kind": found.kind,
            "organisation": self.organisation,
            "round": found.round,
            "validator": found.validator,
        }
        return StateRow(STATE_KIND, found.id, encode(record))


def record_json(row: StateRow) -> JsonObject:
    """A record as clients get it: with its id."""
    found = decode(row.value)
    return {"id": row.id, **found} if isinstance(found, dict) else {"id": row.id}


def evidence_transaction(genesis_hash: bytes, evidence: wire.Evidence) -> bytes:
    """The transaction that carries evidence."""
    return unsigned_transaction(
        genesis_hash, KIND_EVIDENCE, {"evidence": wire.encode_evidence(evidence).hex()}
    )


def parse_misconduct(
    tx: Transaction, genesis_hash: bytes, validators_at: Callable[[int], ValidatorSet | None]
) -> tuple[Misconduct, list[tuple[bytes, bytes, bytes]]]:
    """What the transaction carries, and the two signatures that must hold. Raises TxError.

    `validators_at` tells who decides on a height, None for one to come.
    """
    if tx.signer_id or tx.signature:
        raise TxError(TxCode.MALFORMED, "evidence: signed, allowed: no signer and no signature")
    try:
        body = msgspec.convert(tx.body, _Body)
        evidence = wire.decode_evidence(bytes.fromhex(body.evidence))
    except (msgspec.ValidationError, wire.WireError) as error:
        raise TxError(TxCode.MALFORMED, f"body.evidence: {error}") from error
    validators = validators_at(evidence.height)
    if validators is None:
        raise TxError(TxCode.BAD_EVIDENCE, f"evidence: height {evidence.height} is still to come")
    try:
        parts = wire.signed_parts(evidence, validators, genesis_hash)
    except wire.EvidenceError as error:
        raise TxError(TxCode.BAD_EVIDENCE, str(error)) from error
    author = validators.get(evidence.validator)
    return Misconduct(evidence, author.organisation if author else ""), parts
