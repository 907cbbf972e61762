"""Votes and proposals: what is signed, and how they travel.

Signed (pack = MessagePack in its shortest form):

    vote      pack(["provnode.vote", genesis_hash, type, height, round, block_id | None])
    proposal  pack(["provnode.proposal", genesis_hash, height, round, valid_round, block_id])

The genesis hash ties a signature to one chain. The validator's name is not in it: the key says who signed.
"""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta, Struct

from provnode.core.types import Certificate, Proposal, Vote, VoteType
from provnode.crypto.hashing import pack
from provnode.wire.codec import decode, encode
from provnode.wire.errors import WireError
from provnode.wire.limits import Hash, Height, Name, Round, Signature, ValidRound

_LIMIT = 1024


class WireVote(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """[type, height, round, block_id | None, validator, signature]"""

    type: Annotated[int, Meta(ge=1, le=2)]
    height: Height
    round: Round
    block_id: Hash | None
    validator: Name
    signature: Signature

    @classmethod
    def of(cls, vote: Vote) -> WireVote:
        """The form in which `vote` travels."""
        return cls(int(vote.type), vote.height, vote.round, vote.block_id, vote.validator, vote.signature)

    def vote(self) -> Vote:
        """What travelled."""
        return Vote(
            VoteType(self.type), self.height, self.round, self.block_id, self.validator, self.signature
        )


class WireProposal(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """[height, round, valid_round, block_id, proposer, signature]"""

    height: Height
    round: Round
    valid_round: ValidRound
    block_id: Hash
    proposer: Name
    signature: Signature

    @classmethod
    def of(cls, value: Proposal) -> WireProposal:
        """The form in which `value` travels."""
        return cls(
            value.height, value.round, value.valid_round, value.block_id, value.proposer, value.signature
        )

    def proposal(self) -> Proposal:
        """What travelled. Raises WireError when its valid round is not before its round."""
        if self.valid_round >= self.round:
            raise WireError(f"proposal: found valid_round {self.valid_round}, allowed: below {self.round}")
        return Proposal(
            self.height, self.round, self.valid_round, self.block_id, self.proposer, self.signature
        )


_vote = msgspec.msgpack.Decoder(WireVote)
_proposal = msgspec.msgpack.Decoder(WireProposal)


def vote_sign_bytes(genesis_hash: bytes, vote: Vote) -> bytes:
    """What a validator signs for a vote."""
    return pack(["provnode.vote", genesis_hash, int(vote.type), vote.height, vote.round, vote.block_id])


def precommit_sign_bytes(genesis_hash: bytes, certificate: Certificate) -> bytes:
    """What every signature of a certificate is over."""
    found = certificate
    return pack(
        ["provnode.vote", genesis_hash, int(VoteType.PRECOMMIT), found.height, found.round, found.block_id]
    )


def proposal_sign_bytes(genesis_hash: bytes, proposal: Proposal) -> bytes:
    """What a proposer signs."""
    found = proposal
    return pack(
        ["provnode.proposal", genesis_hash, found.height, found.round, found.valid_round, found.block_id]
    )


def encode_vote(vote: Vote) -> bytes:
    """A signed vote as bytes."""
    return encode(WireVote.of(vote), _LIMIT, "vote")


def decode_vote(raw: bytes) -> Vote:
    """A signed vote; its signature is not verified here. Raises WireError."""
    return decode(_vote, raw, _LIMIT, "vote").vote()


def encode_proposal(proposal: Proposal) -> bytes:
    """A signed proposal as bytes."""
    return encode(WireProposal.of(proposal), _LIMIT, "proposal")


def decode_proposal(raw: bytes) -> Proposal:
    """A signed proposal; its signature is not verified here. Raises WireError."""
    return decode(_proposal, raw, _LIMIT, "proposal").proposal()
