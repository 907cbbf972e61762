"""What peers say to each other: one MessagePack array a message, its kind first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from provnode.core.types import Certificate, Proposal, Vote
from provnode.wire.blocks import WireCertificate
from provnode.wire.codec import decode, encode
from provnode.wire.evidence import Evidence, WireEvidence, from_wire, to_wire
from provnode.wire.limits import (
    MAX_FRAME_BYTES,
    MAX_GOSSIP_BLOCKS,
    MAX_GOSSIP_EVIDENCE,
    MAX_GOSSIP_TXS,
    MAX_TXS,
    MAX_VALIDATORS,
    NAME_BYTES,
    BlockBytes,
    Hash,
    Height,
    KnownHeight,
    Name,
    Round,
    Tx,
    TxCount,
)
from provnode.wire.snapshots import MAX_CHUNK_BYTES, MAX_CHUNKS, MAX_MANIFEST_BYTES
from provnode.wire.votes import WireProposal, WireVote

_Names = Annotated[tuple[Name, ...], Meta(max_length=MAX_VALIDATORS)]


class Hello(Struct, frozen=True, array_like=True, tag=1, forbid_unknown_fields=True):
    """The first message on a connection, both ways. `version` is the node's, `height` its newest block."""

    genesis_hash: Hash
    network: Name
    height: KnownHeight
    version: Annotated[str, Meta(min_length=1, max_length=32)]


class StatusMsg(Struct, frozen=True, array_like=True, tag=2, forbid_unknown_fields=True):
    """The heights of the sender's newest and oldest block; the newest is 0 before the first.

    Blocks below the oldest can't be asked of it: it has dropped them, or joined by a snapshot.
    """

    height: KnownHeight
    oldest: KnownHeight = 1


@dataclass(frozen=True, slots=True)
class ProposalMsg:
    """A signed proposal with the block that it names."""

    proposal: Proposal
    block: bytes


@dataclass(frozen=True, slots=True)
class VoteMsg:
    """A signed vote."""

    vote: Vote


class TxMsg(Struct, frozen=True, array_like=True, tag=5, forbid_unknown_fields=True):
    """Transactions, as submitted."""

    txs: Annotated[tuple[Tx, ...], Meta(min_length=1, max_length=MAX_GOSSIP_TXS)]


class RoundState(Struct, frozen=True, array_like=True, tag=6, forbid_unknown_fields=True):
    """Where the sender is in a height and what it holds, so that the receiver can send what is missing.

    `prevotes` and `precommits` name the validators whose votes of `round` the sender holds.
    """

    height: Height
    round: Round
    has_proposal: bool
    prevotes: _Names
    precommits: _Names


class BlockRequest(Struct, frozen=True, array_like=True, tag=7, forbid_unknown_fields=True):
    """Asks for `count` blocks from `height` on; the answer may hold fewer."""

    height: Height
    count: Annotated[int, Meta(ge=1, le=MAX_GOSSIP_BLOCKS)]


@dataclass(frozen=True, slots=True)
class BlockResponse:
    """Consecutive blocks from the requested height on, each with its certificate; empty: has none of them."""

    blocks: tuple[tuple[bytes, Certificate], ...]


@dataclass(frozen=True, slots=True)
class EvidenceMsg:
    """Evidence that the sender has verified and that is not in its chain."""

    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class CompactMsg:
    """A signed proposal with the names of its block's transactions; `bare` is the block without them.

    `names` has the first 16 bytes of each transaction's Merkle leaf hash, in the order of the block.
    """

    proposal: Proposal
    bare: bytes
    names: bytes


class TxRequest(Struct, frozen=True, array_like=True, tag=11, forbid_unknown_fields=True):
    """Asks for the transactions at these places, ascending, of a proposed block; none named: for all."""

    block_id: Hash
    places: Annotated[tuple[TxCount, ...], Meta(max_length=MAX_TXS)]


class BlockTxs(Struct, frozen=True, array_like=True, tag=12, forbid_unknown_fields=True):
    """The transactions that a `TxRequest` asked for, in the order of their places."""

    block_id: Hash
    txs: Annotated[tuple[Tx, ...], Meta(max_length=MAX_TXS)]


class SnapshotRequest(Struct, frozen=True, array_like=True, tag=20, forbid_unknown_fields=True):
    """Asks for the newest state snapshot's manifest."""


class SnapshotOffer(Struct, frozen=True, array_like=True, tag=21, forbid_unknown_fields=True):
    """A manifest, see `wire.snapshots`; empty where the sender has none."""

    manifest: Annotated[bytes, Meta(max_length=MAX_MANIFEST_BYTES)]


class ChunkRequest(Struct, frozen=True, array_like=True, tag=22, forbid_unknown_fields=True):
    """Asks for a chunk of the snapshot of `height`."""

    height: Height
    index: Annotated[int, Meta(ge=0, lt=MAX_CHUNKS)]


class ChunkResponse(Struct, frozen=True, array_like=True, tag=23, forbid_unknown_fields=True):
    """A chunk; empty where the sender has it no longer."""

    height: Height
    index: Annotated[int, Meta(ge=0, lt=MAX_CHUNKS)]
    chunk: Annotated[bytes, Meta(max_length=MAX_CHUNK_BYTES)]


Snapshotting = SnapshotRequest | SnapshotOffer | ChunkRequest | ChunkResponse
Message = (
    Snapshotting
    | Hello
    | StatusMsg
    | ProposalMsg
    | VoteMsg
    | TxMsg
    | RoundState
    | BlockRequest
    | BlockResponse
    | EvidenceMsg
    | CompactMsg
    | TxRequest
    | BlockTxs
)


class _Proposal(Struct, frozen=True, array_like=True, tag=3, forbid_unknown_fields=True):
    proposal: WireProposal
    block: BlockBytes


class _Vote(Struct, frozen=True, array_like=True, tag=4, forbid_unknown_fields=True):
    vote: WireVote


class _Blocks(Struct, frozen=True, array_like=True, tag=8, forbid_unknown_fields=True):
    blocks: Annotated[tuple[tuple[BlockBytes, WireCertificate], ...], Meta(max_length=MAX_GOSSIP_BLOCKS)]


class _Evidence(Struct, frozen=True, array_like=True, tag=9, forbid_unknown_fields=True):
    evidence: Annotated[tuple[WireEvidence, ...], Meta(min_length=1, max_length=MAX_GOSSIP_EVIDENCE)]


class _Compact(Struct, frozen=True, array_like=True, tag=10, forbid_unknown_fields=True):
    proposal: WireProposal
    bare: BlockBytes
    names: Annotated[bytes, Meta(max_length=NAME_BYTES * MAX_TXS)]


_Wire = (
    Snapshotting
    | Hello
    | StatusMsg
    | _Proposal
    | _Vote
    | TxMsg
    | RoundState
    | BlockRequest
    | _Blocks
    | _Evidence
    | _Compact
    | TxRequest
    | BlockTxs
)
_message: msgspec.msgpack.Decoder[_Wire] = msgspec.msgpack.Decoder(_Wire)


def encode_message(message: Message) -> bytes:
    """A message as bytes. Raises WireError when it is longer than peers take."""
    value: _Wire
    match message:
        case ProposalMsg(proposal, block):
            value = _Proposal(WireProposal.of(proposal), block)
        case VoteMsg(vote):
            value = _Vote(WireVote.of(vote))
        case CompactMsg(proposal, bare, block_names):
            value = _Compact(WireProposal.of(proposal), bare, block_names)
        case BlockResponse(blocks):
            value = _Blocks(tuple((raw, WireCertificate.of(found)) for raw, found in blocks))
        case EvidenceMsg(evidence):
            value = _Evidence(tuple(to_wire(found) for found in evidence))
        case _:
            value = message
    return encode(value, MAX_FRAME_BYTES, type(message).__name__)


def decode_message(raw: bytes) -> Message:
    """A message whose form is right; nothing in it is verified. Raises WireError."""
    value = decode(_message, raw, MAX_FRAME_BYTES, "message")
    match value:
        case _Proposal(proposal=proposal, block=block):
            return ProposalMsg(proposal.proposal(), block)
        case _Compact(proposal=proposal, bare=bare, names=block_names):
            return CompactMsg(proposal.proposal(), bare, block_names)
        case _Vote(vote=vote):
            return VoteMsg(vote.vote())
        case _Blocks(blocks=blocks):
            return BlockResponse(tuple((raw, found.certificate()) for raw, found in blocks))
        case _Evidence(evidence=evidence):
            return EvidenceMsg(tuple(from_wire(one) for one in evidence))
        case _:
            return value
