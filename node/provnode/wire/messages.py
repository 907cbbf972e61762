"""What peers say to each other: one msgpack list a frame, its first item the kind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from provnode.core.types import Certificate, Proposal, Vote, VoteType
from provnode.crypto.hashing import pack
from provnode.wire import fields
from provnode.wire.blocks import decode_certificate, encode_certificate
from provnode.wire.errors import WireError
from provnode.wire.limits import (
    MAX_BATCH,
    MAX_BLOCK_BYTES,
    MAX_FRAME_BYTES,
    MAX_HEIGHT,
    MAX_ROUND,
    MAX_SYNC_BLOCKS,
    MAX_TX_BYTES,
)


@dataclass(frozen=True, slots=True)
class Hello:
    """The first frame on a connection: which chain, which network, how far, which version."""

    genesis_hash: bytes
    network: str
    height: int
    version: str


@dataclass(frozen=True, slots=True)
class StatusMsg:
    """The height that the sender has committed."""

    height: int


@dataclass(frozen=True, slots=True)
class ProposalMsg:
    """A signed proposal with its block."""

    proposal: Proposal
    block: bytes


@dataclass(frozen=True, slots=True)
class VoteMsg:
    """A signed vote."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class TxMsg:
    """Transactions for the receiver's mempool."""

    txs: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class RoundState:
    """Where the sender is in a height and what it holds, so that the receiver can send what is missing.

    ``prevotes`` and ``precommits`` name the validators whose votes of ``round`` the sender holds.
    """

    height: int
    round: int
    has_proposal: bool
    prevotes: tuple[str, ...]
    precommits: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BlockRequest:
    """Ask for ``count`` blocks from a height on."""

    height: int
    count: int


@dataclass(frozen=True, slots=True)
class BlockResponse:
    """Blocks in the order of their heights, each with the certificate that makes it final."""

    blocks: tuple[tuple[bytes, Certificate], ...]


Message = Hello | StatusMsg | ProposalMsg | VoteMsg | TxMsg | RoundState | BlockRequest | BlockResponse


def encode_message(message: Message) -> bytes:
    """Return the frame of a message."""
    match message:
        case Hello(genesis_hash, network, height, version):
            return pack([1, genesis_hash, network, height, version])
        case StatusMsg(height):
            return pack([2, height])
        case ProposalMsg(p, block):
            return pack([3, p.height, p.round, p.valid_round, p.block_id, p.proposer, p.signature, block])
        case VoteMsg(v):
            return pack([4, int(v.type), v.height, v.round, v.block_id, v.validator, v.signature])
        case TxMsg(txs):
            return pack([5, list(txs)])
        case RoundState(height, round_, has, prevotes, precommits):
            return pack([6, height, round_, int(has), list(prevotes), list(precommits)])
        case BlockRequest(height, count):
            return pack([7, height, count])
        case BlockResponse(blocks):
            return pack([8, [[raw, encode_certificate(certificate)] for raw, certificate in blocks]])


def decode_message(raw: bytes) -> Message:
    """Return the message of a frame; raises WireError, whatever the bytes."""
    value = fields.unpack(raw, "message", MAX_FRAME_BYTES)
    if not isinstance(value, list) or not value:
        raise WireError("message: not a list that begins with its kind")
    kind = fields.integer(value[0], "message kind", 1, len(_READERS))
    count, read = _READERS[kind - 1]
    return read(fields.fields(value, count, f"message of kind {kind}"))


def _hello(f: Sequence[Any]) -> Message:
    return Hello(
        fields.digest(f[1], "genesis_hash"),
        fields.text(f[2], "network"),
        fields.integer(f[3], "height", 0, MAX_HEIGHT),
        fields.text(f[4], "version"),
    )


def _status(f: Sequence[Any]) -> Message:
    return StatusMsg(fields.integer(f[1], "height", 0, MAX_HEIGHT))


def _proposal(f: Sequence[Any]) -> Message:
    proposal = Proposal(
        fields.height(f[1]),
        fields.round_(f[2]),
        fields.integer(f[3], "valid_round", -1, MAX_ROUND),
        fields.digest(f[4], "block_id"),
        fields.text(f[5], "proposer"),
        fields.signature(f[6]),
    )
    return ProposalMsg(proposal, fields.octets(f[7], "block", MAX_BLOCK_BYTES))


def _vote(f: Sequence[Any]) -> Message:
    kind = VoteType(fields.integer(f[1], "vote type", 1, 2))
    block_id = None if f[4] is None else fields.digest(f[4], "block_id")
    name, signature = fields.text(f[5], "validator"), fields.signature(f[6])
    return VoteMsg(Vote(kind, fields.height(f[2]), fields.round_(f[3]), block_id, name, signature))


def _txs(f: Sequence[Any]) -> Message:
    listed = fields.items(f[1], MAX_BATCH, "transactions")
    return TxMsg(tuple(fields.octets(tx, "transaction", MAX_TX_BYTES) for tx in listed))


def _round_state(f: Sequence[Any]) -> Message:
    def names(value: object, what: str) -> tuple[str, ...]:
        return tuple(fields.text(name, what) for name in fields.items(value, MAX_BATCH, what))

    return RoundState(
        fields.height(f[1]),
        fields.round_(f[2]),
        bool(fields.integer(f[3], "has_proposal", 0, 1)),
        names(f[4], "prevotes"),
        names(f[5], "precommits"),
    )


def _block_request(f: Sequence[Any]) -> Message:
    return BlockRequest(fields.height(f[1]), fields.integer(f[2], "count", 1, MAX_SYNC_BLOCKS))


def _block_response(f: Sequence[Any]) -> Message:
    blocks = []
    for item in fields.items(f[1], MAX_SYNC_BLOCKS, "blocks"):
        raw, certificate = fields.fields(item, 2, "block with certificate")
        checked = fields.octets(raw, "block", MAX_BLOCK_BYTES)
        blocks.append(
            (checked, decode_certificate(fields.octets(certificate, "certificate", MAX_BLOCK_BYTES)))
        )
    return BlockResponse(tuple(blocks))


_Reader = Callable[[Sequence[Any]], Message]
_READERS: tuple[tuple[int, _Reader], ...] = (
    (5, _hello),
    (2, _status),
    (8, _proposal),
    (7, _vote),
    (2, _txs),
    (6, _round_state),
    (3, _block_request),
    (2, _block_response),
)
