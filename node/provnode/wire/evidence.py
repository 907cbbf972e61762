"""Evidence of misbehaviour: two votes, or two proposals, by one validator for one step, of different blocks.

    evidence bytes   pack([1, vote, vote]) | pack([2, proposal, proposal]), block ids ascending, nil first

One validator's misbehaviour in one step (height, round, kind) has one id, however many pairs prove it:

    evidence id      "<height>.<round>.<kind>.<validator>", numbers with leading zeros: in the chain's order
"""

from __future__ import annotations

from dataclasses import dataclass

import msgspec
from msgspec import Struct

from provnode.core.types import Proposal, ValidatorSet, Vote
from provnode.crypto.provider import Provider
from provnode.wire.codec import decode, encode
from provnode.wire.errors import WireError
from provnode.wire.votes import WireProposal, WireVote, proposal_sign_bytes, vote_sign_bytes

# two votes or proposals of at most some 560 bytes each
MAX_EVIDENCE_BYTES = 1_280
# how old evidence may be when it is committed, in blocks: what is older proves no present danger
MAX_EVIDENCE_AGE = 100_000


class EvidenceError(ValueError):
    """Two signed messages that do not prove that a validator misbehaved."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Two votes or two proposals in the order of their block ids. Their signatures are not verified here.

    Raises EvidenceError when they do not contradict each other.
    """

    first: Vote | Proposal
    second: Vote | Proposal

    def __post_init__(self) -> None:
        """Refuse what proves nothing, whoever signed it."""
        one, other = _step(self.first), _step(self.second)
        if one != other:
            raise EvidenceError(f"evidence: {_shown(one)} and {_shown(other)} are not of one step")
        if self.first.block_id == self.second.block_id:
            raise EvidenceError("evidence: both are for the same block")
        if _order(self.first) > _order(self.second):
            raise EvidenceError("evidence: not in the order of the block ids")

    @property
    def validator(self) -> str:
        """Who misbehaved, by the name at that height."""
        return _step(self.first)[3]

    @property
    def height(self) -> int:
        """The height of the step."""
        return self.first.height

    @property
    def round(self) -> int:
        """The round of the step."""
        return self.first.round

    @property
    def kind(self) -> str:
        """What was signed twice: `proposal`, `prevote` or `precommit`."""
        return _step(self.first)[2]

    @property
    def id(self) -> str:
        """The id of this misbehaviour; any two contradictory messages of the step give the same."""
        return evidence_id(*_step(self.first))


def evidence_id(height: int, round_: int, kind: str, validator: str) -> str:
    """The id of misbehaviour in a step. Ids sort by height, then round."""
    return f"{height:016d}.{round_:010d}.{kind}.{validator}"


def make_evidence(one: Vote | Proposal, other: Vote | Proposal) -> Evidence:
    """The evidence that two contradictory messages make. Raises EvidenceError when they are none."""
    first, second = sorted((one, other), key=_order)
    return Evidence(first, second)


def signed_parts(
    evidence: Evidence, validators: ValidatorSet, genesis_hash: bytes
) -> list[tuple[bytes, bytes, bytes]]:
    """What must hold for the evidence to hold: (public key, message, signature) of both messages.

    `validators` decide, or decided, on the evidence's height. Raises EvidenceError when its author has no
    part in that step.
    """
    validator = validators.get(evidence.validator)
    if validator is None:
        raise EvidenceError(f"evidence: {evidence.validator[:64]!r} is no validator at {evidence.height}")
    proposes = validators.proposer(evidence.height, evidence.round) == validator.name
    if evidence.kind == "proposal" and not proposes:
        raise EvidenceError(f"evidence: {validator.name!r} does not propose in round {evidence.round}")
    parts = (evidence.first, evidence.second)
    return [(validator.public_key, _sign_bytes(genesis_hash, part), part.signature) for part in parts]


def check_evidence(
    evidence: Evidence, validators: ValidatorSet, genesis_hash: bytes, provider: Provider
) -> None:
    """Raises EvidenceError unless a validator of that height signed both. See `signed_parts`."""
    for place, held in enumerate(provider.verify_batch(signed_parts(evidence, validators, genesis_hash))):
        if not held:
            raise EvidenceError(f"evidence: signature {place} is not that of {evidence.validator!r}")


class WireVotes(Struct, frozen=True, array_like=True, tag=1, forbid_unknown_fields=True):
    """Two votes."""

    first: WireVote
    second: WireVote


class WireProposals(Struct, frozen=True, array_like=True, tag=2, forbid_unknown_fields=True):
    """Two proposals."""

    first: WireProposal
    second: WireProposal


WireEvidence = WireVotes | WireProposals
_evidence: msgspec.msgpack.Decoder[WireEvidence] = msgspec.msgpack.Decoder(WireEvidence)


def to_wire(evidence: Evidence) -> WireEvidence:
    """The form in which evidence travels."""
    match evidence.first, evidence.second:
        case Vote() as first, Vote() as second:
            return WireVotes(WireVote.of(first), WireVote.of(second))
        case Proposal() as one, Proposal() as other:
            return WireProposals(WireProposal.of(one), WireProposal.of(other))
    raise WireError("evidence: a vote and a proposal")  # which Evidence refuses


def from_wire(found: WireEvidence) -> Evidence:
    """What travelled. Raises WireError when it proves nothing."""
    try:
        if isinstance(found, WireVotes):
            return Evidence(found.first.vote(), found.second.vote())
        return Evidence(found.first.proposal(), found.second.proposal())
    except EvidenceError as error:
        raise WireError(str(error)) from error


def encode_evidence(evidence: Evidence) -> bytes:
    """Evidence as bytes."""
    return encode(to_wire(evidence), MAX_EVIDENCE_BYTES, "evidence")


def decode_evidence(raw: bytes) -> Evidence:
    """Evidence whose messages contradict each other; who signed them is not verified. Raises WireError."""
    return from_wire(decode(_evidence, raw, MAX_EVIDENCE_BYTES, "evidence"))


def _step(part: Vote | Proposal) -> tuple[int, int, str, str]:
    if isinstance(part, Vote):
        return part.height, part.round, part.type.name.lower(), part.validator
    return part.height, part.round, "proposal", part.proposer


def _shown(step: tuple[int, int, str, str]) -> str:
    height, round_, kind, validator = step
    return f"a {kind} of {validator[:64]!r} in height {height}, round {round_}"


def _order(part: Vote | Proposal) -> bytes:
    return part.block_id or b""


def _sign_bytes(genesis_hash: bytes, part: Vote | Proposal) -> bytes:
    if isinstance(part, Vote):
        return vote_sign_bytes(genesis_hash, part)
    return proposal_sign_bytes(genesis_hash, part)
