"""Evidence that waits to be committed: found by this node's machine, or sent by peers, verified before kept.

It is on the disk before anything else is done with it, in one small file that is replaced as a whole. It
leaves when a block carries it, or when it has become too old for one.
"""

from __future__ import annotations

import threading
from collections import Counter
from pathlib import Path
from typing import Protocol

import msgspec

from provnode import wire
from provnode.core.types import ValidatorSet
from provnode.crypto.hashing import pack
from provnode.crypto.provider import Provider
from provnode.storage.errors import StoreError
from provnode.storage.files import replace_file

# one misbehaviour is enough to act on; more of the same validator may wait until these are committed
_PER_VALIDATOR = 8
_MOST = wire.MAX_GOSSIP_EVIDENCE
_list = msgspec.msgpack.Decoder(list[bytes])


class Chain(Protocol):
    """What the pool asks of the ledger."""

    @property
    def height(self) -> int:
        """The newest committed height."""

    def validators_at(self, height: int) -> ValidatorSet:
        """Who decides, or decided, on a height up to the one after the newest."""

    def has_evidence(self, evidence_id: str) -> bool:
        """Whether this misbehaviour is in the chain."""


class EvidencePool:
    """At most 64 pieces, at most 8 of one validator. Raises StoreError `corrupt` for a damaged file."""

    def __init__(self, path: Path, chain: Chain, genesis_hash: bytes, provider: Provider) -> None:
        self._path = path
        self._chain = chain
        self._genesis_hash = genesis_hash
        self._provider = provider
        self._lock = threading.Lock()
        self._held = {found.id: found for found in _load(path)}
        self.settle()

    def __len__(self) -> int:
        """Return how much waits."""
        return len(self._held)

    def pending(self) -> tuple[wire.Evidence, ...]:
        """What waits, the oldest first."""
        held = dict(self._held)
        return tuple(held[one] for one in sorted(held))

    def add(self, evidence: wire.Evidence) -> bool:
        """Keep evidence; True when it is new, and on the disk. Blocks: call it in the writing thread.

        Known evidence, what can't be judged yet, what is too old and what is more than the bounds allow is
        left alone. Raises EvidenceError when it does not hold, StoreError when the disk refuses; then it
        isn't kept.
        """
        with self._lock:
            height = self._chain.height
            if evidence.id in self._held or self._chain.has_evidence(evidence.id):
                return False
            if not height + 1 - wire.MAX_EVIDENCE_AGE <= evidence.height <= height + 1:
                return False
            counts = Counter(one.validator for one in self._held.values())
            if len(self._held) >= _MOST or counts[evidence.validator] >= _PER_VALIDATOR:
                return False
            validators = self._chain.validators_at(evidence.height)
            wire.check_evidence(evidence, validators, self._genesis_hash, self._provider)
            self._replace({**self._held, evidence.id: evidence})
            return True

    def settle(self) -> None:
        """Forget what is committed or too old; call it after each commit. Raises StoreError."""
        with self._lock:
            oldest = self._chain.height + 1 - wire.MAX_EVIDENCE_AGE
            left = {
                one: found
                for one, found in self._held.items()
                if found.height >= oldest and not self._chain.has_evidence(one)
            }
            if len(left) < len(self._held):
                self._replace(left)

    def _replace(self, held: dict[str, wire.Evidence]) -> None:
        replace_file(self._path, pack([wire.encode_evidence(one) for one in held.values()]))
        self._held = held


def _load(path: Path) -> list[wire.Evidence]:
    try:
        return [wire.decode_evidence(raw) for raw in _list.decode(path.read_bytes())]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError("io", f"{path}: {error.strerror}", "look at the disk") from error
    except (msgspec.DecodeError, wire.WireError) as error:
        remedy = "remove the file: peers hold the evidence as well"
        raise StoreError("corrupt", f"{path}: {error}", remedy) from error
