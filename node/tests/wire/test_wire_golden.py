"""The bytes that are hashed, signed and stored, as they were when the format was set.

A change here is a change of the chain's format: nodes of both versions could not agree any more.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from provnode import wire
from provnode.core.types import (
    Certificate,
    CommitSig,
    Proposal,
    Validator,
    ValidatorSet,
    Vote,
    VoteType,
)
from provnode.crypto.hashing import digest, pack

GENESIS = bytes(range(32))
HEADER = wire.Header(
    chain_id="zhejiang",
    network="lab",
    height=2,
    time_ms=1_770_000_000_000,
    parent=b"p" * 32,
    proposer="v2",
    tx_root=b"t" * 32,
    state_root=b"s" * 32,
    validators_hash=b"v" * 32,
    next_validators_hash=b"n" * 32,
    last_commit_hash=b"c" * 32,
    tx_count=2,
)
CERTIFICATE = Certificate(1, 3, b"p" * 32, (CommitSig("v1", b"one"), CommitSig("v3", b"three")))
BLOCK = wire.Block(HEADER, (b"first", b"second"), CERTIFICATE)
PREVOTE = Vote(VoteType.PREVOTE, 2, 1, None, "v1", b"signature")
PRECOMMIT = Vote(VoteType.PRECOMMIT, 2, 300, b"b" * 32, "v4", b"signature")
PROPOSAL = Proposal(2, 4, -1, b"b" * 32, "v2", b"signature")
EVIDENCE = wire.make_evidence(PRECOMMIT, replace(PRECOMMIT, block_id=None, signature=b"another"))
TWO_PROPOSALS = wire.make_evidence(PROPOSAL, replace(PROPOSAL, block_id=b"c" * 32, valid_round=2))
VALIDATORS = ValidatorSet(
    (Validator("v2", "zjfin", b"\x04" + b"2" * 64, 1), Validator("v1", "zjex", b"\x04" + b"1" * 64, 70_000))
)
MADE: dict[str, Callable[[], bytes]] = {
    "header": lambda: wire.encode_header(HEADER),
    "block id": lambda: HEADER.block_id,
    "block": lambda: wire.encode_block(BLOCK),
    "first block": lambda: wire.encode_block(wire.Block(HEADER, (), None)),
    "certificate": lambda: wire.encode_certificate(CERTIFICATE),
    "last commit hash": lambda: wire.certificate_hash(CERTIFICATE),
    "last commit hash of block 1": lambda: wire.certificate_hash(None),
    "validators": lambda: wire.encode_validators(VALIDATORS),
    "validators hash": lambda: wire.validators_hash(VALIDATORS),
    "prevote": lambda: wire.encode_vote(PREVOTE),
    "precommit": lambda: wire.encode_vote(PRECOMMIT),
    "proposal": lambda: wire.encode_proposal(PROPOSAL),
    "signed for a prevote of nil": lambda: wire.vote_sign_bytes(GENESIS, PREVOTE),
    "signed for a precommit": lambda: wire.vote_sign_bytes(GENESIS, PRECOMMIT),
    "signed for a certificate": lambda: wire.precommit_sign_bytes(GENESIS, CERTIFICATE),
    "signed for a proposal": lambda: wire.proposal_sign_bytes(GENESIS, PROPOSAL),
    "hello": lambda: wire.encode_message(wire.Hello(GENESIS, "lab", 7, "0.1.0")),
    "status": lambda: wire.encode_message(wire.StatusMsg(7, 3)),
    "proposal message": lambda: wire.encode_message(wire.ProposalMsg(PROPOSAL, b"block")),
    "compact block": lambda: wire.encode_message(wire.CompactMsg(PROPOSAL, b"bare", bytes(range(32)))),
    "transaction request": lambda: wire.encode_message(wire.TxRequest(GENESIS, (0, 130))),
    "block transactions": lambda: wire.encode_message(wire.BlockTxs(GENESIS, (b"a", b"b"))),
    "vote message": lambda: wire.encode_message(wire.VoteMsg(PREVOTE)),
    "transactions": lambda: wire.encode_message(wire.TxMsg((b"a", b"b"))),
    "round state": lambda: wire.encode_message(wire.RoundState(2, 1, True, ("v1", "v2"), ())),
    "block request": lambda: wire.encode_message(wire.BlockRequest(2, 64)),
    "evidence": lambda: wire.encode_evidence(EVIDENCE),
    "evidence of proposals": lambda: wire.encode_evidence(TWO_PROPOSALS),
    "evidence id": lambda: EVIDENCE.id.encode(),
    "evidence message": lambda: wire.encode_message(wire.EvidenceMsg((EVIDENCE, TWO_PROPOSALS))),
    "block response": lambda: wire.encode_message(wire.BlockResponse(((b"block", CERTIFICATE),))),
}
GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", MADE)
def test_the_bytes_are_what_they_were(name: str) -> None:
    assert MADE[name]().hex() == GOLDEN[name]


def test_every_golden_vector_is_compared() -> None:
    assert set(GOLDEN) == set(MADE)


def test_the_contract_of_the_header() -> None:
    """Field by field as written down, not by the code that makes it."""
    fields = [1, "zhejiang", "lab", 2, 1_770_000_000_000, b"p" * 32, "v2", b"t" * 32, b"s" * 32, b"v" * 32]
    packed = pack([*fields, b"n" * 32, b"c" * 32, 2])
    assert wire.encode_header(HEADER) == packed
    assert BLOCK.block_id == digest(b"provnode.header", packed)


def test_the_contract_of_the_rest() -> None:
    certificate = [1, 3, b"p" * 32, [["v1", b"one"], ["v3", b"three"]]]
    header = [1, "zhejiang", "lab", 2, 1_770_000_000_000, b"p" * 32, "v2", b"t" * 32, b"s" * 32, b"v" * 32]
    members = [["v1", "zjex", b"\x04" + b"1" * 64, 70_000], ["v2", "zjfin", b"\x04" + b"2" * 64, 1]]
    assert wire.encode_certificate(CERTIFICATE) == pack(certificate)
    header += [b"n" * 32, b"c" * 32, 2]
    assert wire.encode_block(BLOCK) == pack([header, [b"first", b"second"], certificate])
    assert wire.encode_validators(VALIDATORS) == pack(members)
    assert wire.validators_hash(VALIDATORS) == digest(b"provnode.validators", pack(members))
    assert wire.vote_sign_bytes(GENESIS, PREVOTE) == pack(["provnode.vote", GENESIS, 1, 2, 1, None])
    assert wire.vote_sign_bytes(GENESIS, PRECOMMIT) == pack(["provnode.vote", GENESIS, 2, 2, 300, b"b" * 32])
    assert wire.proposal_sign_bytes(GENESIS, PROPOSAL) == pack(
        ["provnode.proposal", GENESIS, 2, 4, -1, b"b" * 32]
    )
    assert wire.certificate_hash(None) == bytes(32)


def test_the_contract_of_evidence() -> None:
    nil, vote = [2, 2, 300, None, "v4", b"another"], [2, 2, 300, b"b" * 32, "v4", b"signature"]
    assert wire.encode_evidence(EVIDENCE) == pack([1, nil, vote])
    one, other = [2, 4, -1, b"b" * 32, "v2", b"signature"], [2, 4, 2, b"c" * 32, "v2", b"signature"]
    assert wire.encode_evidence(TWO_PROPOSALS) == pack([2, one, other])
    assert EVIDENCE.id == "0000000000000002.0000000300.precommit.v4"
    assert TWO_PROPOSALS.id == "0000000000000002.0000000004.proposal.v2"


def test_a_certificate_is_over_what_its_precommits_signed() -> None:
    vote = Vote(VoteType.PRECOMMIT, CERTIFICATE.height, CERTIFICATE.round, CERTIFICATE.block_id, "v1")
    assert wire.vote_sign_bytes(GENESIS, vote) == wire.precommit_sign_bytes(GENESIS, CERTIFICATE)
