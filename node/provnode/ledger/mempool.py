"""Transactions on their way into a block, first in, first out, bounded in number and in bytes.

A transaction that may come true (an update that overtook its object's creation) waits here for a while; one
that can't be applied any more leaves, and the reason is kept for whoever asks.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from provnode.ledger.checks import CheckedTx
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.misconduct import Misconduct
from provnode.wire import NAME_BYTES

_REASONS = 4096
_REJUDGED = 256


class Admission(Protocol):
    """What the pool asks of the ledger."""

    def screen(self, raws: Sequence[bytes]) -> list[CheckedTx | TxError]:
        """Form, signer, signatures: one verdict for each."""

    def fit(self, transactions: Sequence[CheckedTx], now_ms: int) -> list[TxError | None]:
        """Whether the state would take each now; None when it would."""


@dataclass(frozen=True, slots=True)
class _Entry:
    checked: CheckedTx
    expires_ms: int


class Mempool:
    """Holds checked transactions until they are committed.

    `max_count` and `max_bytes` bound it, `patience_ms` is how long a transaction may wait to come true.
    """

    def __init__(
        self,
        ledger: Admission,
        *,
        max_count: int = 20_000,
        max_bytes: int = 64 * 1024 * 1024,
        patience_ms: int = 30_000,
        clock_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        self._ledger = ledger
        self._max_count = max_count
        self._max_bytes = max_bytes
        self._patience_ms = patience_ms
        self._clock_ms = clock_ms
        self._entries: OrderedDict[bytes, _Entry] = OrderedDict()
        self._named: dict[bytes, bytes] = {}
        self._bytes = 0
        # not the errors themselves: those hold the frames that they came through, and all that was there
        self._reasons: OrderedDict[bytes, tuple[TxCode, str]] = OrderedDict()
        self._lock = threading.RLock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """The bytes of all transactions held."""
        return self._bytes

    def __contains__(self, txid: object) -> bool:
        return txid in self._entries

    def add(self, raw: bytes) -> bytes:
        """Take a transaction in; gives its id. Raises TxError; `duplicate` when it is held or committed."""
        verdict = self.add_many([raw])[0]
        if isinstance(verdict, TxError):
            raise verdict
        return verdict

    def add_many(self, raws: Sequence[bytes]) -> list[bytes | TxError]:
        """Take several in, signatures verified as one batch: the id or the refusal of each, in order."""
        now = self._clock_ms()
        screened = self._ledger.screen(raws)
        good = [item for item in screened if not isinstance(item, TxError)]
        with self._lock:
            fit = iter(self._ledger.fit(good, now))
            return [
                item if isinstance(item, TxError) else self._take(item, next(fit), now) for item in screened
            ]

    def reap(self, max_bytes: int) -> list[bytes]:
        """The oldest transactions that fit in `max_bytes` together, at least one; they stay until removed."""
        chosen: list[bytes] = []
        with self._lock:
            for entry in self._entries.values():
                max_bytes -= len(entry.checked.tx.raw)
                if max_bytes < 0 and chosen:
                    break
                chosen.append(entry.checked.tx.raw)
        return chosen

    def find(self, names: Sequence[bytes]) -> list[bytes]:
        """The transactions that blocks name so (`NAME_BYTES` of the leaf hash); b"" for one not held."""
        named = self._named
        return [named.get(name, b"") for name in names]

    def remove(self, txids: Iterable[bytes]) -> None:
        """Forget committed transactions, and drop those that the state won't take any more.

        Call it after each commit. The oldest of those that are left are judged against the new state: they
        are the ones that the last block could have had and did not.
        """
        with self._lock:
            for txid in txids:
                self._pop(txid)
            now = self._clock_ms()
            oldest = list(islice(self._entries.items(), _REJUDGED))
            fit = self._ledger.fit([entry.checked for _, entry in oldest], now)
            for (txid, entry), refusal in zip(oldest, fit, strict=True):
                if refusal and (not refusal.may_come_true or now >= entry.expires_ms):
                    self._pop(txid)
                    self._reasons[txid] = refusal.code, refusal.message
                    if len(self._reasons) > _REASONS:
                        self._reasons.popitem(last=False)

    def refusal(self, txid: bytes) -> TxError | None:
        """Why a transaction that was once taken in has left without being committed."""
        found = self._reasons.get(txid)
        return None if found is None else TxError(*found)

    def _take(self, checked: CheckedTx, refusal: TxError | None, now: int) -> bytes | TxError:
        if isinstance(checked.content, Misconduct):
            return TxError(TxCode.NOT_PERMITTED, "evidence is not submitted: validators put it into blocks")
        txid, size = checked.txid, len(checked.tx.raw)
        if txid in self._entries:
            return TxError(TxCode.DUPLICATE, f"transaction {txid.hex()} is waiting already")
        if len(self._entries) >= self._max_count or self._bytes + size > self._max_bytes:
            return TxError(TxCode.POOL_FULL, f"{len(self._entries)} transactions wait, try again later")
        if refusal and not refusal.may_come_true:
            return refusal
        self._entries[txid] = _Entry(checked, now + self._patience_ms)
        self._named[checked.tx.leaf[:NAME_BYTES]] = checked.tx.raw
        self._bytes += size
        self._reasons.pop(txid, None)
        return txid

    def _pop(self, txid: bytes) -> None:
        entry = self._entries.pop(txid, None)
        if entry is not None:
            self._named.pop(entry.checked.tx.leaf[:NAME_BYTES], None)
            self._bytes -= len(entry.checked.tx.raw)
