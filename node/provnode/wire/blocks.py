"""Blocks, headers and certificates as bytes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from provnode.core.types import Certificate, CommitSig, ValidatorSet
from provnode.crypto.hashing import digest, pack
from provnode.wire import fields
from provnode.wire.errors import WireError
from provnode.wire.limits import MAX_BLOCK_BYTES, MAX_HEIGHT, MAX_TX_BYTES, MAX_TXS, MAX_VALIDATORS

_VERSION = 1
_HEADER_FIELDS = 12
_CERTIFICATE_BYTES = 64 * 1024


@dataclass(frozen=True)
class Header:
    """A block's header; ``state_root`` is the state after the block (``time_ms``: Unix milliseconds)."""

    chain_id: str
    network: str
    height: int
    time_ms: int
    parent: bytes
    proposer: str
    tx_root: bytes
    state_root: bytes
    validators_hash: bytes
    last_commit_hash: bytes
    tx_count: int

    def as_list(self) -> list[Any]:
        """Return the fields in the order in which they are hashed."""
        return [
            _VERSION,
            self.chain_id,
            self.network,
            self.height,
            self.time_ms,
            self.parent,
            self.proposer,
            self.tx_root,
            self.state_root,
            self.validators_hash,
            self.last_commit_hash,
            self.tx_count,
        ]

    @cached_property
    def block_id(self) -> bytes:
        """Return the block's id: SM3 of its header."""
        return digest(b"provnode.header", pack(self.as_list()))


@dataclass(frozen=True)
class Block:
    """A block: header, transactions as bytes, and the certificate of its parent (None at height 1)."""

    header: Header
    txs: tuple[bytes, ...]
    last_commit: Certificate | None

    @property
    def block_id(self) -> bytes:
        """Return the block's id."""
        return self.header.block_id


def encode_certificate(certificate: Certificate) -> bytes:
    """Return a certificate's bytes; its signatures are in the order of the validators' names."""
    return pack(_certificate_list(certificate))


def decode_certificate(raw: bytes) -> Certificate:
    """Return the certificate; raises WireError."""
    return read_certificate(fields.unpack(raw, "certificate", _CERTIFICATE_BYTES))


def encode_block(block: Block) -> bytes:
    """Return a block's bytes."""
    last = None if block.last_commit is None else _certificate_list(block.last_commit)
    return pack([block.header.as_list(), list(block.txs), last])


def decode_block(raw: bytes) -> Block:
    """Return the block; raises WireError. Its content is not judged here."""
    header, txs, last = fields.fields(fields.unpack(raw, "block", MAX_BLOCK_BYTES), 3, "block")
    return Block(
        _read_header(header),
        tuple(
            fields.octets(tx, "transaction", MAX_TX_BYTES)
            for tx in fields.items(txs, MAX_TXS, "transactions")
        ),
        None if last is None else read_certificate(last),
    )


def validators_hash(validators: ValidatorSet) -> bytes:
    """Return the digest of a validator set, as headers carry it."""
    listed = [[v.name, v.organisation, v.public_key, v.power] for v in validators.validators]
    return digest(b"provnode.validators", pack(listed))


def _certificate_list(certificate: Certificate) -> list[Any]:
    signatures = [[s.validator, s.signature] for s in certificate.signatures]
    return [certificate.height, certificate.round, certificate.block_id, signatures]


def read_certificate(value: object) -> Certificate:
    """Return a certificate from a decoded list; raises WireError."""
    height, round_, block_id, signatures = fields.fields(value, 4, "certificate")
    read = []
    for item in fields.items(signatures, MAX_VALIDATORS, "certificate signatures"):
        name, signature = fields.fields(item, 2, "commit signature")
        read.append(CommitSig(fields.text(name, "validator"), fields.signature(signature)))
    names = [signature.validator for signature in read]
    if names != sorted(set(names)):
        raise WireError("certificate signatures: not one a validator in the order of names")
    return Certificate(
        fields.height(height),
        fields.round_(round_),
        fields.digest(block_id, "certificate block id"),
        tuple(read),
    )


def _read_header(value: object) -> Header:
    f = fields.fields(value, _HEADER_FIELDS, "header")
    fields.integer(f[0], "header version", _VERSION, _VERSION)
    return Header(
        chain_id=fields.text(f[1], "chain_id"),
        network=fields.text(f[2], "network"),
        height=fields.height(f[3]),
        time_ms=fields.integer(f[4], "time_ms", 0, MAX_HEIGHT),
        parent=fields.digest(f[5], "parent"),
        proposer=fields.text(f[6], "proposer"),
        tx_root=fields.digest(f[7], "tx_root"),
        state_root=fields.digest(f[8], "state_root"),
        validators_hash=fields.digest(f[9], "validators_hash"),
        last_commit_hash=fields.digest(f[10], "last_commit_hash"),
        tx_count=fields.integer(f[11], "tx_count", 0, MAX_TXS),
    )
