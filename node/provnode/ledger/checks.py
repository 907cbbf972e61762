"""What can be said of a transaction without the objects' state: form, signer, signature, seals.

The verdict depends on the bytes and on who is registered, and signers are never removed, so a good verdict is
kept: a transaction that passed the mempool is not verified a second time in its block.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from msgspec import Struct

from provnode.core.types import ValidatorSet
from provnode.crypto.crl import RevocationList
from provnode.crypto.provider import Provider, TransactionReader
from provnode.ledger.changes import ApprovedChange, parse_membership
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.genesis import Genesis, Signer
from provnode.ledger.merkle import LEAF_PREFIX
from provnode.ledger.misconduct import Misconduct, parse_misconduct
from provnode.ledger.objects import DataObject, parse_object, seal_bytes
from provnode.ledger.quick import QuickReader
from provnode.ledger.revocation import parse_revocation
from provnode.ledger.transactions import (
    KIND_EVIDENCE,
    KIND_MEMBERSHIP,
    KIND_OBJECT,
    KIND_REVOCATION,
    Registration,
    Transaction,
    decode_transaction,
    parse_registration,
    registration_sign_bytes,
)

# what fills the mempool and a block beside it: each is verified once. In memory it is about three times that.
_CACHE_BYTES = 80 * 1024 * 1024
_CACHE_COUNT = 40_000

Content = DataObject | Registration | ApprovedChange | RevocationList | Misconduct
Signature = tuple[bytes, bytes, bytes]
"""Public key, message, signature."""
NOBODY = Signer("", "", b"", founding=False)
"""Who signs a transaction that is its own proof."""


class CheckedTx(Struct, frozen=True, gc=False):
    """A transaction of a registered signer (evidence: of NOBODY) whose signature and seals hold."""

    tx: Transaction
    signer: Signer
    content: Content

    @property
    def txid(self) -> bytes:
        """The id of the transaction."""
        return self.tx.txid


class _Pending(Struct, frozen=True, gc=False):
    """A transaction, at its place in the batch, whose signatures are still to be verified but for `held`."""

    index: int
    checked: CheckedTx
    held: list[bool]
    signatures: list[Signature]


class Checker:
    """Checks transactions in batches and remembers those that passed."""

    def __init__(
        self,
        genesis: Genesis,
        provider: Provider,
        signer: Callable[[str], Signer | None],
        validators_at: Callable[[int], ValidatorSet | None],
    ) -> None:
        self._genesis = genesis
        self._provider = provider
        self._signer = signer
        self._validators_at = validators_at
        self._passed: OrderedDict[bytes, CheckedTx] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        self._quick = QuickReader(provider, genesis) if isinstance(provider, TransactionReader) else None

    def check(self, raws: Sequence[bytes]) -> list[CheckedTx | TxError]:
        """One verdict for each, in order; all signatures go through the provider as one batch."""
        found: dict[int, CheckedTx | TxError] = {}
        new: list[int] = []
        for index, raw in enumerate(raws):
            checked = self._passed.get(raw)
            if checked is None:
                new.append(index)
            else:
                found[index] = checked
        pending: list[_Pending] = []
        if new and self._quick is not None:
            new = self._read_quickly(self._quick, raws, new, found, pending)
        for index in new:
            try:
                tx = decode_transaction(raws[index], self._genesis.hash, self._genesis.params.max_tx_bytes)
                checked, signatures = self._parse(tx)
                pending.append(_Pending(index, checked, [], signatures))
            except TxError as error:
                found[index] = error.with_traceback(None)
        self._finish(pending, found)
        return [found[index] for index in range(len(raws))]

    def _read_quickly(
        self,
        quick: QuickReader,
        raws: Sequence[bytes],
        new: Sequence[int],
        found: dict[int, CheckedTx | TxError],
        pending: list[_Pending],
    ) -> list[int]:
        """Let the library read what it can; gives what is left to be read."""
        left: list[int] = []
        passed: list[CheckedTx] = []
        for index, read in zip(new, quick.read([raws[index] for index in new]), strict=True):
            if read is None:
                left.append(index)
                continue
            checked = CheckedTx(read.tx, read.signer, read.content)
            if read.signed and not read.content.seals:
                found[index] = checked
                passed.append(checked)
            else:
                pending.append(_Pending(index, checked, [read.signed], _seals(read.tx, read.content)))
        self._remember(passed)
        return left

    def _finish(self, pending: Sequence[_Pending], found: dict[int, CheckedTx | TxError]) -> None:
        """Verify the signatures that are left, as one batch."""
        signatures = [one for waiting in pending for one in waiting.signatures]
        held = self._provider.verify_batch(signatures) if signatures else []
        at = 0
        for waiting in pending:
            good = waiting.held + held[at : at + len(waiting.signatures)]
            at += len(waiting.signatures)
            refusal = _refusal(waiting.checked, good)
            found[waiting.index] = refusal or waiting.checked
            if refusal is None:
                self._remember([waiting.checked])
                if self._quick is not None and waiting.checked.tx.kind == KIND_OBJECT:
                    self._quick.learn(waiting.checked.signer)

    def forget(self, raws: Sequence[bytes]) -> None:
        """These are in a committed block: their verdicts are not needed any more."""
        with self._lock:
            for raw in raws:
                if self._passed.pop(raw, None) is not None:
                    self._bytes -= len(raw)

    def leaves(self, raws: Sequence[bytes]) -> list[bytes]:
        """The Merkle leaf hash of each."""
        known = [self._passed.get(raw) for raw in raws]
        new = [raw for raw, checked in zip(raws, known, strict=True) if checked is None]
        hashed = iter(self._provider.hash_batch(new, LEAF_PREFIX) if new else ())
        return [next(hashed) if checked is None else checked.tx.leaf for checked in known]

    def _parse(self, tx: Transaction) -> tuple[CheckedTx, list[Signature]]:
        if tx.kind == KIND_EVIDENCE:
            misconduct, parts = parse_misconduct(tx, self._genesis.hash, self._validators_at)
            return CheckedTx(tx, NOBODY, misconduct), parts
        signer = self._signer(tx.signer_id)
        if signer is None:
            raise TxError(TxCode.UNKNOWN_SIGNER, f"signer {tx.signer_id[:80]!r} is not registered")
        content, signatures = self._content(tx, signer)
        return CheckedTx(tx, signer, content), [(signer.public_key, tx.sign_bytes, tx.signature), *signatures]

    def _content(self, tx: Transaction, signer: Signer) -> tuple[Content, list[Signature]]:
        """What a transaction carries, and the signatures inside it. Raises TxError."""
        if tx.kind == KIND_OBJECT:
            found = parse_object(tx.body, tx.raw_body, self._genesis.schemas.check)
            return found, _seals(tx, found)
        if tx.kind == KIND_MEMBERSHIP:
            _founding(signer)
            change = parse_membership(tx.body, self._genesis)
            return change, [(one.public_key, change.signed, one.signature) for one in change.approvals]
        if tx.kind == KIND_REVOCATION:
            _founding(signer)
            revoked = parse_revocation(tx.body)
            ca = self._ca(signer, revoked.organisation)
            return revoked, [(ca, revoked.signed, revoked.signature)]
        user = parse_registration(tx.body)
        if not signer.founding or not user.id.endswith("@" + signer.organisation):
            raise TxError(
                TxCode.NOT_PERMITTED,
                f"{signer.id} may not register {user.id}: only a founding signer of that organisation",
            )
        if user.id in self._genesis.signers:
            raise TxError(TxCode.USER_EXISTS, f"{user.id} is a founding signer")
        return user, [(user.public_key, registration_sign_bytes(self._genesis.hash, user.id), user.proof)]

    def _ca(self, signer: Signer, organisation: str) -> bytes:
        """The key that signs an organisation's lists, where this signer may hand them in. Raises TxError."""
        if organisation != signer.organisation:
            raise TxError(TxCode.NOT_PERMITTED, f"{signer.id} may not revoke for {organisation}")
        ca = self._genesis.organisations[organisation].ca
        if not ca:
            raise TxError(TxCode.NOT_PERMITTED, f"the genesis lists no CA of {organisation}")
        return bytes.fromhex(ca)

    def _remember(self, passed: Sequence[CheckedTx]) -> None:
        with self._lock:
            for checked in passed:
                raw = checked.tx.raw
                if raw not in self._passed:
                    self._passed[raw] = checked
                    self._bytes += len(raw)
            while self._bytes > _CACHE_BYTES or len(self._passed) > _CACHE_COUNT:
                oldest, _ = self._passed.popitem(last=False)
                self._bytes -= len(oldest)


def _refusal(checked: CheckedTx, held: list[bool]) -> TxError | None:
    """Why a transaction is refused whose signatures hold or not: its signer's, then those that it carries."""
    if all(held):
        return None
    content = checked.content
    if isinstance(content, Misconduct):
        place, who = held.index(False), content.evidence.validator
        return TxError(TxCode.BAD_EVIDENCE, f"evidence: signature {place} is not that of {who}")
    if not held[0]:
        return TxError(TxCode.BAD_SIGNATURE, f"not signed by the key of {checked.signer.id}")
    if isinstance(content, Registration):
        return TxError(TxCode.BAD_SIGNATURE, "body.proof: not made by the new user's key")
    place = held.index(False) - 1
    if isinstance(content, RevocationList):
        return TxError(TxCode.BAD_CRL, "crl: not signed by the organisation's CA")
    if isinstance(content, ApprovedChange):
        who = content.approvals[place].organisation
        return TxError(TxCode.BAD_APPROVAL, f"approvals: the signature of {who} does not hold")
    return TxError(TxCode.BAD_SEAL, f"header.seal/{place}: the signature does not hold")


def _seals(tx: Transaction, content: DataObject) -> list[Signature]:
    message = seal_bytes(tx.body) if content.seals else b""
    return [(seal.public_key, message, seal.signature) for seal in content.seals]


def _founding(signer: Signer) -> None:
    if not signer.founding:
        raise TxError(TxCode.NOT_PERMITTED, f"{signer.id} is no founding signer, which this takes")
