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
from provnode.crypto.provider import Provider
from provnode.ledger.changes import ApprovedChange, parse_membership
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.genesis import Genesis, Signer
from provnode.ledger.misconduct import Misconduct, parse_misconduct
from provnode.ledger.objects import DataObject, parse_object, seal_bytes
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

# parsed JSON takes several times its bytes: about 150 MiB of memory at most
_CACHE_BYTES = 32 * 1024 * 1024

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

    def check(self, raws: Sequence[bytes]) -> list[CheckedTx | TxError]:
        """One verdict for each, in order; all signatures go through the provider as one batch."""
        verdicts: list[CheckedTx | TxError] = []
        pending: list[tuple[int, list[Signature]]] = []
        for raw in raws:
            checked = self._passed.get(raw)
            if checked is not None:
                verdicts.append(checked)
                continue
            try:
                tx = decode_transaction(raw, self._genesis.hash, self._genesis.params.max_tx_bytes)
                checked, signatures = self._parse(tx)
                pending.append((len(verdicts), signatures))
                verdicts.append(checked)
            except TxError as error:
                verdicts.append(error)
        held = self._provider.verify_batch([one for _, signatures in pending for one in signatures])
        at = 0
        for index, signatures in pending:
            good = held[at : at + len(signatures)]
            at += len(signatures)
            verdicts[index] = self._judge(verdicts[index], good)
        return verdicts

    def forget(self, raws: Sequence[bytes]) -> None:
        """These are in a committed block: their verdicts are not needed any more."""
        with self._lock:
            for raw in raws:
                if self._passed.pop(raw, None) is not None:
                    self._bytes -= len(raw)

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
            message = seal_bytes(tx.body) if found.seals else b""
            return found, [(seal.public_key, message, seal.signature) for seal in found.seals]
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

    def _judge(self, verdict: CheckedTx | TxError, held: list[bool]) -> CheckedTx | TxError:
        if isinstance(verdict, TxError):
            return verdict
        if isinstance(verdict.content, Misconduct) and not all(held):
            place, who = held.index(False), verdict.content.evidence.validator
            return TxError(TxCode.BAD_EVIDENCE, f"evidence: signature {place} is not that of {who}")
        if not held[0]:
            return TxError(TxCode.BAD_SIGNATURE, f"not signed by the key of {verdict.signer.id}")
        if not all(held):
            if isinstance(verdict.content, Registration):
                return TxError(TxCode.BAD_SIGNATURE, "body.proof: not made by the new user's key")
            place = held.index(False) - 1
            if isinstance(verdict.content, RevocationList):
                return TxError(TxCode.BAD_CRL, "crl: not signed by the organisation's CA")
            if isinstance(verdict.content, ApprovedChange):
                who = verdict.content.approvals[place].organisation
                return TxError(TxCode.BAD_APPROVAL, f"approvals: the signature of {who} does not hold")
            return TxError(TxCode.BAD_SEAL, f"header.seal/{place}: the signature does not hold")
        self._remember(verdict)
        return verdict

    def _remember(self, checked: CheckedTx) -> None:
        with self._lock:
            if checked.tx.raw in self._passed:
                return
            self._passed[checked.tx.raw] = checked
            self._bytes += len(checked.tx.raw)
            while self._bytes > _CACHE_BYTES:
                _, oldest = self._passed.popitem(last=False)
                self._bytes -= len(oldest.tx.raw)


def _founding(signer: Signer) -> None:
    if not signer.founding:
        raise TxError(TxCode.NOT_PERMITTED, f"{signer.id} is no founding signer, which this takes")
