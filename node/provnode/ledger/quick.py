"""Objects of known signers, read, hashed and verified by one call of the native library for a whole batch.

It takes what is spelled plainly, which is nearly all. What it does not take, or finds fault with, goes the
full way of `provnode.ledger.checks`, whose words hold; tests compare the verdicts of both.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence

import msgspec
from msgspec import Struct

from provnode.crypto.provider import TransactionReader, Verdict
from provnode.ledger.errors import TxError
from provnode.ledger.genesis import Genesis, Signer
from provnode.ledger.objects import DataObject, read_object
from provnode.ledger.transactions import KIND_OBJECT, Transaction, plain_form

# those who signed of late; the library keeps their keys parsed
_MOST_SIGNERS = 1024
_PLACES = 7
_HASHES = 4 * 32


class Read(Struct, frozen=True, gc=False):
    """A transaction with its signer and object, and whether the signer's signature holds."""

    tx: Transaction
    signer: Signer
    content: DataObject
    signed: bool


class QuickReader:
    """Reads the transactions of the signers that it has learned of. Threads may share it."""

    def __init__(self, reader: TransactionReader, genesis: Genesis) -> None:
        self._reader = reader
        self._conform = genesis.schemas.check
        self._max_bytes = genesis.params.max_tx_bytes
        self._form = plain_form(genesis.hash, KIND_OBJECT, "body")
        self._signers: tuple[Signer, ...] = ()
        self._lock = threading.Lock()

    def learn(self, signer: Signer) -> None:
        """Know this signer from now on; registrations are for ever."""
        with self._lock:
            if signer not in self._signers:
                self._signers = (*self._signers, signer)[-_MOST_SIGNERS:]

    def read(self, raws: Sequence[bytes]) -> list[Read | None]:
        """Each transaction, or None for one that has to go the full way."""
        signers = self._signers
        reading = self._reader.read_transactions(
            self._form,
            [signer.id.encode() for signer in signers],
            [signer.public_key for signer in signers],
            [raw if len(raw) <= self._max_bytes else b"" for raw in raws],
        )
        places, hashes, found = list(reading.places), reading.hashes, list[Read | None]()
        for index, (raw, verdict) in enumerate(zip(raws, reading.verdicts, strict=True)):
            if verdict not in (Verdict.SIGNED, Verdict.FORGED):
                found.append(None)
                continue
            which, *spans = places[index * _PLACES : (index + 1) * _PLACES]
            mine = hashes[index * _HASHES : (index + 1) * _HASHES]
            found.append(self._object(raw, signers[which], spans, mine, verdict == Verdict.SIGNED))
        return found

    def _object(
        self, raw: bytes, signer: Signer, spans: Sequence[int], hashes: bytes, signed: bool
    ) -> Read | None:
        signature, signature_end, body, body_end, part, part_end = spans
        txid, leaf, raw_hash, part_hash = (hashes[at : at + 32] for at in range(0, _HASHES, 32))
        raw_body = raw[body:body_end]
        try:
            content = read_object(raw_body, raw[part:part_end], (raw_hash, part_hash), self._conform)
        except (TxError, msgspec.MsgspecError):
            return None
        signature_bytes = raw[signature:signature_end]
        tx = Transaction(raw, txid, KIND_OBJECT, raw_body, signer.id, signature_bytes, leaf)
        return Read(tx, signer, content, signed)
