"""A point of the chain that an operator vouches for: what a node that joins must come past.

A chain is followed from the genesis, handover by handover. Long after, those who decided on its first heights
may have lost their keys, and whoever has enough of them can sign another history. It can't lead to the
validators of a later point, whose keys are in use, nor to the block there: a node that was given the point
believes no chain without it (weak subjectivity).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from provnode import wire
from provnode.core.types import Certificate
from provnode.ledger.errors import BlockError, GenesisError
from provnode.ledger.genesis import Genesis
from provnode.ledger.views import Views
from provnode.wire.snapshots import WireHandover


@dataclass(frozen=True, slots=True)
class TrustedPoint:
    """A block by height and id, and the hash of the validators that decide on the next height."""

    height: int
    block_id: bytes
    validators_hash: bytes

    def contradicts(self, certificate: Certificate) -> bool:
        """Whether a certificate is for another block of this height."""
        return certificate.height == self.height and certificate.block_id != self.block_id

    def check_store(self, chain: Views) -> None:
        """Refuse a store that has another chain at this height, if it is there. Raises GenesisError."""
        if chain.store.height() < self.height:
            return
        row = chain.store.block(self.height)
        if row is not None and row.block_id != self.block_id:
            raise GenesisError(self._differs(f"block {row.block_id.hex()}"))
        found = wire.validators_hash(chain.validators_at(self.height + 1))
        if found != self.validators_hash:
            raise GenesisError(self._differs(f"validators {found.hex()} after it"))

    def check_snapshot(
        self, handovers: Iterable[WireHandover], header: wire.Header, genesis: Genesis
    ) -> None:
        """Refuse a snapshot of `header`, to which these handovers lead. Raises BlockError."""
        if header.height < self.height:
            raise BlockError(f"height: found {header.height}, the trusted point is at {self.height}")
        found = wire.validators_hash(genesis.validators)
        for one in handovers:
            handover = wire.decode_header(one.header)
            if handover.height > self.height:
                break
            found = handover.next_validators_hash
            self._check_block(handover)
        self._check_block(header)
        if found != self.validators_hash:
            raise BlockError(self._differs(f"validators {found.hex()} after it"))

    def _check_block(self, header: wire.Header) -> None:
        if header.height == self.height and header.block_id != self.block_id:
            raise BlockError(self._differs(f"block {header.block_id.hex()}"))

    def _differs(self, found: str) -> str:
        return f"another chain than that of the trusted point at height {self.height}: found {found}"
