"""What hypothesis makes of each format, with its encoder and decoder."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import strategies as st
from provnode import wire
from provnode.core.types import Certificate, CommitSig, Proposal, Validator, ValidatorSet, Vote, VoteType
from provnode.wire import snapshots

MAX_HEIGHT = 2**53 - 1
MAX_ROUND = 2**31 - 1
hashes = st.binary(min_size=32, max_size=32)
names = st.text(min_size=1, max_size=64)
heights = st.integers(1, MAX_HEIGHT)
rounds = st.integers(0, MAX_ROUND)
signatures = st.binary(min_size=1, max_size=128)
txs = st.lists(st.binary(min_size=1, max_size=300), max_size=8).map(tuple)
headers = st.builds(
    wire.Header,
    chain_id=names,
    network=names,
    height=heights,
    time_ms=st.integers(0, 2**53 - 1),
    parent=hashes,
    proposer=names,
    tx_root=hashes,
    state_root=hashes,
    validators_hash=hashes,
    next_validators_hash=hashes,
    last_commit_hash=hashes,
    tx_count=st.integers(0, 131_072),
)
certificates = st.builds(
    Certificate,
    height=heights,
    round=rounds,
    block_id=hashes,
    signatures=st.dictionaries(names, signatures, min_size=1, max_size=8).map(
        lambda found: tuple(CommitSig(name, found[name]) for name in sorted(found))
    ),
)
blocks = st.builds(wire.Block, headers, txs, st.none() | certificates)
votes = st.builds(
    Vote,
    type=st.sampled_from(VoteType),
    height=heights,
    round=rounds,
    block_id=st.none() | hashes,
    validator=names,
    signature=signatures,
)
proposals = rounds.flatmap(
    lambda round_: st.builds(
        Proposal,
        height=heights,
        round=st.just(round_),
        valid_round=st.integers(-1, round_ - 1),
        block_id=hashes,
        proposer=names,
        signature=signatures,
    )
)
evidence = st.one_of(
    st.tuples(votes, st.none() | hashes, signatures).map(lambda drawn: _two(*drawn)),
    st.tuples(proposals, hashes, signatures).map(lambda drawn: _two(*drawn)),
).filter(lambda found: found is not None)


def _two(one: Any, block_id: bytes | None, signature: bytes) -> wire.Evidence | None:  # noqa: ANN401 - either
    other = replace(one, block_id=block_id, signature=signature)
    return None if one.block_id == block_id else wire.make_evidence(one, other)


validator_sets = st.lists(
    st.builds(
        Validator,
        name=names,
        organisation=names,
        public_key=st.binary(min_size=65, max_size=65),
        power=st.integers(1, wire.MAX_POWER),
    ),
    min_size=1,
    max_size=8,
    unique_by=(lambda one: one.name, lambda one: one.public_key),
).map(lambda found: ValidatorSet(tuple(found)))
_held = st.lists(names, max_size=8).map(tuple)
messages = st.one_of(
    st.builds(
        wire.Hello,
        genesis_hash=hashes,
        network=names,
        height=st.integers(0, MAX_HEIGHT),
        version=st.text(min_size=1, max_size=32),
    ),
    st.builds(wire.StatusMsg, height=st.integers(0, MAX_HEIGHT), oldest=st.integers(0, MAX_HEIGHT)),
    st.builds(wire.ProposalMsg, proposals, st.binary(min_size=1, max_size=300)),
    st.builds(wire.VoteMsg, votes),
    st.builds(wire.TxMsg, txs.filter(bool)),
    st.builds(
        wire.RoundState,
        height=heights,
        round=rounds,
        has_proposal=st.booleans(),
        prevotes=_held,
        precommits=_held,
    ),
    st.builds(wire.CompactMsg, proposals, st.binary(min_size=1, max_size=300), st.binary(max_size=64)),
    st.builds(wire.TxRequest, hashes, st.lists(st.integers(0, 131_072), max_size=8).map(tuple)),
    st.builds(wire.BlockTxs, hashes, txs),
    st.builds(wire.EvidenceMsg, st.lists(evidence, min_size=1, max_size=3).map(tuple)),
    st.just(wire.SnapshotRequest()),
    st.builds(wire.SnapshotOffer, st.binary(max_size=300)),
    st.builds(wire.ChunkRequest, height=heights, index=st.integers(0, 1000)),
    st.builds(wire.ChunkResponse, heights, st.integers(0, 1000), st.binary(max_size=300)),
    st.builds(wire.BlockRequest, height=heights, count=st.integers(1, 64)),
    st.builds(
        wire.BlockResponse,
        st.lists(st.tuples(st.binary(min_size=1, max_size=200), certificates), max_size=3).map(tuple),
    ),
)


@dataclass(frozen=True, slots=True)
class Format:
    """One format, its values, and both ways between them and bytes."""

    name: str
    values: st.SearchStrategy[Any]
    encode: Callable[[Any], bytes]
    decode: Callable[[bytes], Any]


_records = st.one_of(
    st.builds(snapshots.BlockRecord, st.binary(min_size=1, max_size=99)),
    st.builds(
        snapshots.VersionRecord,
        names,
        st.integers(0, 9),
        names,
        st.booleans(),
        st.binary(max_size=99),
        st.binary(max_size=99),
        st.lists(hashes, min_size=1, max_size=3).map(tuple),
        heights,
    ),
    st.builds(snapshots.UserRecord, names, names, st.binary(min_size=65, max_size=65), heights),
    st.builds(snapshots.StateRecord, names, names, st.binary(max_size=99)),
)
_contents = st.builds(
    snapshots.SnapshotContent,
    st.just(1),
    hashes,
    heights,
    hashes,
    hashes,
    st.lists(hashes, min_size=1, max_size=4).map(tuple),
    st.integers(0, 99),
    st.integers(0, 99),
    st.integers(0, 99),
)
_blobs = st.binary(max_size=99)
manifests = st.builds(
    snapshots.Manifest,
    _contents,
    _blobs,
    _blobs,
    st.lists(st.builds(snapshots.WireHandover, _blobs, _blobs, _blobs), max_size=3).map(tuple),
    names,
    signatures,
)
chunks = st.lists(_records, min_size=1, max_size=4)


FORMATS = (
    Format("header", headers, wire.encode_header, wire.decode_header),
    Format("certificate", certificates, wire.encode_certificate, wire.decode_certificate),
    Format("block", blocks, wire.encode_block, wire.decode_block),
    Format("validators", validator_sets, wire.encode_validators, wire.decode_validators),
    Format("vote", votes, wire.encode_vote, wire.decode_vote),
    Format("proposal", proposals, wire.encode_proposal, wire.decode_proposal),
    Format("evidence", evidence, wire.encode_evidence, wire.decode_evidence),
    Format("manifest", manifests, snapshots.encode_manifest, snapshots.decode_manifest),
    Format("chunk", chunks, snapshots.encode_chunk, lambda raw: list(snapshots.decode_chunk(raw))),
    Format("message", messages, wire.encode_message, wire.decode_message),
)
