"""A chain whose validators change: who may sign, who approves, and blocks by whoever decides."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from provnode import wire
from provnode.core.types import Certificate, CommitSig, Validator, ValidatorSet
from provnode.crypto.provider import PrivateKey
from provnode.ledger.app import Committed, Ledger
from provnode.ledger.changes import approve, change_json
from provnode.ledger.membership import EARLIEST, Action, Change, Place
from tests.ledger.ledgerkit import Chain

FOUNDERS = {"zjex": "a1@zjex", "zjfin": "m1@zjfin", "zjdata": "m2@zjdata", "zjcsd": "m3@zjcsd"}
PLACE = Place("10.77.10.15", 26656)
Body = dict[str, Any]


class Council(Chain):
    """A chain that knows every validator's key, whichever name it has."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.held: dict[bytes, PrivateKey] = {key.public: key for key in self.keys.values()}

    def new_key(self) -> bytes:
        """The public part of a new key."""
        key = self.provider.generate()
        self.held[key.public] = key
        return key.public

    def new(self, name: str, organisation: str = "zjex", power: int = 1) -> Validator:
        """A validator with a new key."""
        return Validator(name, organisation, self.new_key(), power)

    def change(
        self, ledger: Ledger, action: Action, validator: Validator | str, *, at: int = 0, sequence: int = 0
    ) -> Change:
        """A change for the next block, in force as early as may be; by its name, a validator as it stands."""
        if isinstance(validator, str):
            membership = ledger.membership
            every = {one.name: one for one in (*membership.active, *membership.suspended)}
            validator = every[validator]
        sequence = sequence or ledger.membership.sequence + 1
        place = PLACE if action is Action.ADD else None
        height = at or ledger.height + 1 + EARLIEST
        return Change(action, validator, height, sequence, place)

    def body(self, change: Change, organisations: Sequence[str] = tuple(FOUNDERS)) -> Body:
        """A change with the approvals of these organisations."""
        names = [FOUNDERS[name] for name in sorted(organisations)]
        approvals = [approve(self.provider, self.signers[name], name, self.genesis, change) for name in names]
        return {"change": change_json(change), "approvals": approvals}

    def raw(self, change: Change, organisations: Sequence[str] = tuple(FOUNDERS)) -> bytes:
        """A transaction of it."""
        return self.tx(self.body(change, organisations), kind="membership")

    def certify(self, raw: bytes, validators: ValidatorSet) -> Certificate:
        """A certificate signed by all of these validators."""
        block = wire.decode_block(raw)
        unsigned = Certificate(block.header.height, 0, block.block_id, ())
        message = wire.precommit_sign_bytes(self.genesis.hash, unsigned)
        signatures = (
            CommitSig(one.name, self.provider.sign(self.held[one.public_key], message)) for one in validators
        )
        return Certificate(block.header.height, 0, block.block_id, tuple(signatures))

    def grow(self, ledger: Ledger, *raws: bytes) -> Committed:
        """Commit one block of these transactions, decided by whoever decides it; all must apply."""
        validators = ledger.validators
        proposer = validators.proposer(ledger.height + 1, 0)
        raw = ledger.build_block(ledger.last_time_ms + 1000, proposer, raws)
        committed = ledger.commit(raw, self.certify(raw, validators))
        assert len(committed.txids) == len(raws), "a transaction was left out"
        return committed

    def enact(self, ledger: Ledger, action: Action, validator: Validator | str) -> None:
        """Commit a change and the blocks up to where it is in force."""
        change = self.change(ledger, action, validator)
        self.grow(ledger, self.raw(change))
        while ledger.height + 1 < change.effective_height:
            self.grow(ledger)
