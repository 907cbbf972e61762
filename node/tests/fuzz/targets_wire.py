"""What peers send: messages and their parts, frames, greetings; what is gossiped is taken by a real node."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from provnode import wire
from provnode.core.types import Proposal
from provnode.crypto.hashing import sm3
from provnode.net.connection import PeerLimits, frame, read_frame
from provnode.net.errors import NetError, StreamError
from provnode.net.gossip import check_hello
from provnode.net.peers import ProtocolError
from provnode.net.stream import Stream
from provnode.wire import snapshots
from tests.fuzz.target import Target
from tests.fuzz.world import SIGNATURE, genesis, peer, transaction, votes, world

_HASH = sm3(b"something")
_PROPOSAL = Proposal(14, 0, -1, _HASH, "v3", SIGNATURE)


def _blocks() -> list[bytes]:
    return [world().ledger.stored_block(height)[0] for height in (1, 2, 3, 11)]


def _headers() -> list[bytes]:
    return [wire.encode_header(wire.decode_block(raw).header) for raw in _blocks()]


def _certificates() -> list[bytes]:
    return [wire.encode_certificate(world().ledger.stored_block(height)[1]) for height in (1, 13)]


def _sets() -> list[bytes]:
    return [wire.encode_validators(world().ledger.validators_at(height)) for height in (1, 13)]


def _votes() -> list[bytes]:
    return [wire.encode_vote(vote) for vote in votes()]


def _proposals() -> list[bytes]:
    return [wire.encode_proposal(_PROPOSAL), wire.encode_proposal(Proposal(14, 3, 1, _HASH, "v2", b"s"))]


def _evidence() -> list[wire.Evidence]:
    other = Proposal(14, 0, -1, bytes(32), "v3", SIGNATURE)
    return [wire.make_evidence(*votes()), wire.make_evidence(_PROPOSAL, other)]


def _bare() -> bytes:
    """A block of the next height, without transactions."""
    block = wire.decode_block(_blocks()[-1])
    header = replace(block.header, height=world().ledger.height + 1, tx_count=0)
    return wire.encode_block(wire.Block(header, (), block.last_commit))


def _messages() -> list[bytes]:
    ledger, (vote, _) = world().ledger, votes(14)
    found: list[wire.Message] = [
        wire.Hello(genesis().hash, "test", 3, "0.1.0"),
        wire.StatusMsg(7),
        wire.ProposalMsg(_PROPOSAL, _blocks()[0]),
        wire.VoteMsg(vote),
        wire.CompactMsg(_PROPOSAL, _blocks()[1], bytes(wire.NAME_BYTES)),
        wire.CompactMsg(_PROPOSAL, _bare(), b""),
        wire.TxRequest(_HASH, (0, 3)),
        wire.BlockTxs(_HASH, (b"t",)),
        wire.TxMsg((transaction("object", {}), b"t")),
        wire.RoundState(14, 0, False, ("v1",), ()),
        wire.BlockRequest(2, 3),
        wire.BlockResponse((ledger.stored_block(1),)),
        wire.EvidenceMsg(tuple(_evidence())),
        wire.SnapshotRequest(),
        wire.SnapshotOffer(b"manifest"),
        wire.ChunkRequest(1, 0),
        wire.ChunkResponse(1, 0, b"chunk"),
    ]
    return [wire.encode_message(message) for message in found]


def manifest(chunks: Sequence[bytes] = (b"chunk",)) -> snapshots.Manifest:
    """A manifest of the chain's newest state that says it has these chunks."""
    ledger = world().ledger
    raw, certificate = ledger.stored_block(ledger.height)
    header = wire.decode_block(raw).header
    counts = dict.fromkeys((snapshots.VersionRecord, snapshots.UserRecord, snapshots.StateRecord), 0)
    for chunk in chunks:
        for record in snapshots.decode_chunk(chunk) if chunk != b"chunk" else ():
            if not isinstance(record, snapshots.BlockRecord):
                counts[type(record)] += 1
    content = snapshots.SnapshotContent(
        1,
        genesis().hash,
        header.height,
        header.block_id,
        header.state_root,
        tuple(map(sm3, chunks)),
        *counts.values(),
    )
    handovers = tuple(
        snapshots.WireHandover(one.header, one.certificate, one.validators)
        for one in ledger.store.handovers(0, header.height, 9)
    )
    return snapshots.Manifest(
        content,
        wire.encode_header(header),
        wire.encode_certificate(certificate),
        handovers,
        "v2",
        SIGNATURE,
    )


def records() -> list[snapshots.Record]:
    """The state as a snapshot has it."""
    ledger = world().ledger
    kept: list[bytes] = []
    from provnode.ledger.snapshot import export

    export(ledger.store, genesis(), lambda _: ("v2", SIGNATURE), lambda _, raw: kept.append(raw))
    return [record for raw in kept for record in snapshots.decode_chunk(raw)]


def _both_ways(decode: Callable[[bytes], Any], encode: Callable[[Any], bytes]) -> Callable[[bytes], None]:
    def run(raw: bytes) -> None:
        assert encode(decode(raw)) == raw, "two spellings of one value"

    return run


class _Bytes:
    """A stream that holds these bytes and then ends."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    async def read_exactly(self, size: int) -> bytes:
        if len(self._raw) < size:
            raise StreamError("cut_off", "closed")
        found, self._raw = self._raw[:size], self._raw[size:]
        return found


def _frames(raw: bytes) -> None:
    stream = cast(Stream, _Bytes(raw))
    found: list[bytes] = []
    while True:
        try:
            found.append(world().run(read_frame(stream, PeerLimits())))
        except StreamError:
            # whole frames come first, and each is what was sent
            assert raw.startswith(b"".join(map(frame, found)))
            raise


def _gossip(raw: bytes) -> None:
    world().run(world().node.gossip.on_message(peer(), raw))


def _hello(raw: bytes) -> None:
    check_hello("v2", raw, genesis().hash, "test", "0.1.0")


def _format(
    name: str,
    decode: Callable[[bytes], Any],
    encode: Callable[[Any], bytes],
    seeds: Callable[[], Sequence[bytes]],
) -> Target:
    return Target(name, _both_ways(decode, encode), (wire.WireError,), seeds, "msgpack")


TARGETS = (
    _format("message", wire.decode_message, wire.encode_message, _messages),
    _format("block", wire.decode_block, wire.encode_block, _blocks),
    _format("header", wire.decode_header, wire.encode_header, _headers),
    _format("certificate", wire.decode_certificate, wire.encode_certificate, _certificates),
    _format("validators", wire.decode_validators, wire.encode_validators, _sets),
    _format("vote", wire.decode_vote, wire.encode_vote, _votes),
    _format("proposal", wire.decode_proposal, wire.encode_proposal, _proposals),
    _format(
        "evidence",
        wire.decode_evidence,
        wire.encode_evidence,
        lambda: [wire.encode_evidence(one) for one in _evidence()],
    ),
    _format(
        "manifest",
        snapshots.decode_manifest,
        snapshots.encode_manifest,
        lambda: [snapshots.encode_manifest(manifest())],
    ),
    _format(
        "chunk",
        snapshots.decode_chunk,
        lambda found: snapshots.encode_chunk(list(found)),
        lambda: [snapshots.encode_chunk(records()[:1]), snapshots.encode_chunk(records()[1:])],
    ),
    Target(
        "frames",
        _frames,
        (StreamError,),
        lambda: [frame(b"one") + frame(b"another"), frame(b""), b"\xff" * 8],
    ),
    Target("gossip", _gossip, (ProtocolError,), _messages, "msgpack"),
    Target("hello", _hello, (NetError,), lambda: _messages()[:2], "msgpack"),
)
