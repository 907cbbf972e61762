"""Blocks, headers and certificates.

header bytes      pack([1, chain_id, network, height, time_ms, parent, proposer, tx_root, state_root,
                        validators_hash, next_validators_hash, last_commit_hash, tx_count])
block id          digest("provnode.header", header bytes)
certificate       pack([height, round, block_id, [[validator, signature], …]]), names ascending
last commit hash  digest("provnode.certificate", certificate bytes)
block bytes       pack([header, [transaction bytes, …], certificate of the parent | None])
validators        pack([[name, organisation, public_key, power], …]), names ascending
validators hash   digest("provnode.validators", validators)
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import astuple

from provnode.core.types import Certificate, CommitSig, Validator, ValidatorSet
from provnode.crypto.hashing import digest
from provnode.wire.codec import decode, encode
from provnode.wire.errors import WireError
from provnode.wire.limits import (
    MAX_BLOCK_BYTES,
    MAX_TXS,
    MAX_VALIDATORS,
    Hash,
    Height,
    Milliseconds,
    Name,
    Power,
    PublicKey,
    Round,
    Signature,
    Tx,
    TxCount,
)

_VERSION: Literal[1] = 1
_HEADER_LIMIT = 2048
_CERTIFICATE_LIMIT = 256 * 1024
_VALIDATORS_LIMIT = 64 * 1024


@dataclass(frozen=True)
class Header:
    """What a certificate is over. Roots and hashes are 32 bytes, the time is Unix time in milliseconds.

    `state_root` is the state after this very block. `validators_hash` names who decides on this height,
    `next_validators_hash` who decides on the next one: the old set hands over to the new.
    """

    chain_id: str
    network: str
    height: int
    time_ms: int
    parent: bytes
    proposer: str
    tx_root: bytes
    state_root: bytes
    validators_hash: bytes
    next_validators_hash: bytes
    last_commit_hash: bytes
    tx_count: int

    @cached_property
    def block_id(self) -> bytes:
        """The id of the block: the hash of this header."""
        return digest(b"provnode.header", encode_header(self))


@dataclass(frozen=True)
class Block:
    """A header, the transactions as they were submitted, and what committed the parent (block 1: None)."""

    header: Header
    txs: tuple[bytes, ...]
    last_commit: Certificate | None

    @property
    def block_id(self) -> bytes:
        """The hash of the header, which covers the rest through its roots."""
        return self.header.block_id


class _Header(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    version: Literal[1]
    chain_id: Name
    network: Name
    height: Height
    time_ms: Milliseconds
    parent: Hash
    proposer: Name
    tx_root: Hash
    state_root: Hash
    validators_hash: Hash
    next_validators_hash: Hash
    last_commit_hash: Hash
    tx_count: TxCount

    @classmethod
    def of(cls, found: Header) -> _Header:
        return cls(_VERSION, *(getattr(found, field.name) for field in fields(Header)))

    def header(self) -> Header:
        _, *values = astuple(self)
        return Header(*values)


class _CommitSig(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    validator: Name
    signature: Signature


class WireCertificate(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """[height, round, block_id, [[validator, signature], …]]"""

    height: Height
    round: Round
    block_id: Hash
    signatures: Annotated[tuple[_CommitSig, ...], Meta(min_length=1, max_length=MAX_VALIDATORS)]

    @classmethod
    def of(cls, found: Certificate) -> WireCertificate:
        """The form in which `found` is stored, sent and hashed."""
        signatures = tuple(_CommitSig(one.validator, one.signature) for one in found.signatures)
        return cls(found.height, found.round, found.block_id, signatures)

    def certificate(self) -> Certificate:
        """What was stored or sent. Raises WireError unless the names ascend."""
        names = [one.validator for one in self.signatures]
        if any(name >= later for name, later in pairwise(names)):
            raise WireError("certificate: signatures are not one a validator in ascending order")
        signatures = tuple(CommitSig(one.validator, one.signature) for one in self.signatures)
        return Certificate(self.height, self.round, self.block_id, signatures)


class _Block(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    header: _Header
    txs: Annotated[tuple[Tx, ...], Meta(max_length=MAX_TXS)]
    last_commit: WireCertificate | None


class _Validator(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    name: Name
    organisation: Name
    public_key: PublicKey
    power: Power


_header = msgspec.msgpack.Decoder(_Header)
_certificate = msgspec.msgpack.Decoder(WireCertificate)
_block = msgspec.msgpack.Decoder(_Block)
_validators = msgspec.msgpack.Decoder(
    Annotated[tuple[_Validator, ...], Meta(min_length=1, max_length=MAX_VALIDATORS)]
)


def encode_header(header: Header) -> bytes:
    """The header bytes that the block id is the hash of."""
    return encode(_Header.of(header), _HEADER_LIMIT, "header")


def decode_header(raw: bytes) -> Header:
    """A header. Raises WireError."""
    return decode(_header, raw, _HEADER_LIMIT, "header").header()


def encode_certificate(certificate: Certificate) -> bytes:
    """The certificate's bytes, whose hash the next header carries."""
    return encode(WireCertificate.of(certificate), _CERTIFICATE_LIMIT, "certificate")


def decode_certificate(raw: bytes) -> Certificate:
    """A certificate; its signatures are not verified here. Raises WireError."""
    return decode(_certificate, raw, _CERTIFICATE_LIMIT, "certificate").certificate()


def encode_block(block: Block) -> bytes:
    """The block's bytes. Raises WireError beyond 16 MiB."""
    last_commit = None if block.last_commit is None else WireCertificate.of(block.last_commit)
    return encode(_Block(_Header.of(block.header), block.txs, last_commit), MAX_BLOCK_BYTES, "block")


def decode_block(raw: bytes) -> Block:
    """A block whose form is right; its content is for the ledger to check. Raises WireError."""
    found = decode(_block, raw, MAX_BLOCK_BYTES, "block")
    last_commit = None if found.last_commit is None else found.last_commit.certificate()
    return Block(found.header.header(), found.txs, last_commit)


def encode_validators(validators: ValidatorSet) -> bytes:
    """A validator set as bytes, in the order of the names."""
    members = tuple(_Validator(one.name, one.organisation, one.public_key, one.power) for one in validators)
    return encode(members, _VALIDATORS_LIMIT, "validators")


def decode_validators(raw: bytes) -> ValidatorSet:
    """A validator set. Raises WireError."""
    found = decode(_validators, raw, _VALIDATORS_LIMIT, "validators")
    if any(one.name >= later.name for one, later in pairwise(found)):
        raise WireError("validators: not one a name in ascending order")
    try:
        return ValidatorSet(
            tuple(Validator(one.name, one.organisation, one.public_key, one.power) for one in found)
        )
    except ValueError as error:
        raise WireError(f"validators: {error}") from error


def validators_hash(validators: ValidatorSet) -> bytes:
    """The hash by which a header names who decides."""
    return digest(b"provnode.validators", encode_validators(validators))


def certificate_hash(certificate: Certificate | None) -> bytes:
    """`last_commit_hash` of the next header; 32 zero bytes in block 1, whose parent has no certificate."""
    if certificate is None:
        return bytes(32)
    return digest(b"provnode.certificate", encode_certificate(certificate))
