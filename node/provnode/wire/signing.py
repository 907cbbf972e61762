"""The bytes that votes and proposals sign. The genesis hash binds them to one chain."""

from __future__ import annotations

from provnode.core.types import Certificate, Proposal, Vote, VoteType
from provnode.crypto.hashing import pack


def vote_sign_bytes(genesis_hash: bytes, vote: Vote) -> bytes:
    """Return what a vote signs."""
    return pack(["provnode.vote", genesis_hash, int(vote.type), vote.height, vote.round, vote.block_id])


def precommit_sign_bytes(genesis_hash: bytes, certificate: Certificate) -> bytes:
    """Return what each precommit of a certificate signed."""
    c = certificate
    return pack(["provnode.vote", genesis_hash, int(VoteType.PRECOMMIT), c.height, c.round, c.block_id])


def proposal_sign_bytes(genesis_hash: bytes, proposal: Proposal) -> bytes:
    """Return what a proposal signs."""
    p = proposal
    return pack(["provnode.proposal", genesis_hash, p.height, p.round, p.valid_round, p.block_id])
