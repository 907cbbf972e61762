"""Refusals of the ledger, typed: a client or an operator can act on the code."""

from __future__ import annotations

from enum import StrEnum


class TxCode(StrEnum):
    """Why a transaction was refused."""

    MALFORMED = "malformed"
    TOO_LARGE = "too_large"
    WRONG_CHAIN = "wrong_chain"
    UNKNOWN_SIGNER = "unknown_signer"
    BAD_SIGNATURE = "bad_signature"
    DUPLICATE = "duplicate"
    NOT_PERMITTED = "not_permitted"
    USER_EXISTS = "user_exists"
    BAD_OBJECT = "bad_object"
    BAD_SEAL = "bad_seal"
    UNKNOWN_TYPE = "unknown_type"
    SCHEMA = "schema"
    TIMESTAMP = "timestamp"
    EXISTS = "exists"
    MISSING = "missing"
    DELETED = "deleted"
    TYPE_CHANGED = "type_changed"
    NOT_OWNER = "not_owner"
    STALE_VERSION = "stale_version"
    VERSION_AHEAD = "version_ahead"
    TOO_MANY_VERSIONS = "too_many_versions"
    SEQUENCE_AHEAD = "sequence_ahead"
    STALE_SEQUENCE = "stale_sequence"
    EFFECTIVE_HEIGHT = "effective_height"
    UNFIT_CHANGE = "unfit_change"
    TOO_FEW_VALIDATORS = "too_few_validators"
    TOO_MANY_VALIDATORS = "too_many_validators"
    ORGANISATION_AT_QUORUM = "organisation_at_quorum"
    TOO_FEW_APPROVALS = "too_few_approvals"
    BAD_APPROVAL = "bad_approval"
    BAD_CRL = "bad_crl"
    STALE_CRL = "stale_crl"
    BAD_EVIDENCE = "bad_evidence"
    POOL_FULL = "pool_full"


# a message goes to who submitted and to the log: its size isn't for who submitted to choose
_LONGEST_MESSAGE = 1_000
_MAY_COME_TRUE = frozenset({TxCode.MISSING, TxCode.VERSION_AHEAD, TxCode.SEQUENCE_AHEAD})


class TxError(Exception):
    """A transaction that can't be part of the next block.

    `may_come_true` marks the refusals that an earlier transaction still on its way can lift, such as an
    update that arrived before the object's creation.
    """

    def __init__(self, code: TxCode, message: str) -> None:
        message = message[:_LONGEST_MESSAGE]
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message

    @property
    def may_come_true(self) -> bool:
        """True when the same transaction may be fine a block later."""
        return self.code in _MAY_COME_TRUE


class BlockError(Exception):
    """A block that this chain can't have at this height; the message names the field, found and allowed."""


class OtherBlockError(BlockError):
    """Not the block that was named: who sent it is at fault, of the named one nothing is said."""


class GenesisError(Exception):
    """A genesis document that is malformed, or not that of the store."""


class NotFoundError(Exception):
    """No such object, version, block or transaction on this node."""


class PrunedError(NotFoundError):
    """A block of the chain that is not kept on this node; `oldest` is the height of the oldest that is."""

    def __init__(self, message: str, oldest: int) -> None:
        super().__init__(f"{message} is not kept here, the oldest is {oldest}")
        self.oldest = oldest
