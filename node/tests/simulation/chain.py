"""A fake ledger: blocks without content, signatures without curves; and the invariants."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
from provnode import wire
from provnode.core.types import Certificate, Proposal, ValidatorSet, Vote
from provnode.crypto.hashing import digest, pack

GENESIS = bytes(32)


class InvariantError(AssertionError):
    """The consensus did what it must never do."""


@dataclass(frozen=True, slots=True)
class FakeBlock:
    """`sound` stands for everything that makes a ledger take a block."""

    height: int
    parent: bytes
    proposer: str
    nonce: int
    sound: bool


def encode(block: FakeBlock) -> bytes:
    """The block's bytes."""
    return pack([block.height, block.parent, block.proposer, block.nonce, block.sound])


def decode(raw: bytes) -> FakeBlock:
    """The block of these bytes."""
    return FakeBlock(*msgspec.msgpack.decode(raw))


def block_id(raw: bytes) -> bytes:
    """The block's id."""
    return digest(b"fake.block", raw)


def sign(name: str, message: bytes) -> bytes:
    """A signature that only this simulation's owner of the name makes."""
    return digest(b"fake.signature", pack([name, message]))


def certifies(certificate: Certificate, height: int, id_: bytes, validators: ValidatorSet) -> bool:
    """Whether a certificate is one: a quorum of precommits, each by another validator, each signed."""
    if (certificate.height, certificate.block_id) != (height, id_):
        return False
    message = wire.precommit_sign_bytes(GENESIS, certificate)
    names = [entry.validator for entry in certificate.signatures]
    members = [validators.get(name) for name in names]
    power = sum(member.power for member in members if member is not None)
    return (
        None not in members
        and names == sorted(set(names))
        and power * 3 > sum(member.power for member in validators) * 2
        and all(entry.signature == sign(entry.validator, message) for entry in certificate.signatures)
    )


@dataclass
class Witness:
    """Sees everything that honest replicas sign and commit. Raises InvariantError."""

    validators: ValidatorSet
    honest: frozenset[str]
    decided: dict[int, bytes] = field(default_factory=dict)
    signed: dict[tuple[str, str, int, int], object] = field(default_factory=dict)
    evidence: int = 0
    rounds: int = 0

    def saw_vote(self, vote: Vote) -> None:
        """No honest validator votes twice in a step."""
        self._once((vote.validator, vote.type.name, vote.height, vote.round), vote.block_id)

    def saw_proposal(self, proposal: Proposal) -> None:
        """No honest validator proposes twice in a round, or out of turn."""
        key = (proposal.proposer, "PROPOSAL", proposal.height, proposal.round)
        self._once(key, (proposal.block_id, proposal.valid_round))
        if self.validators.proposer(proposal.height, proposal.round) != proposal.proposer:
            raise InvariantError(f"{proposal.proposer} proposed out of turn in round {proposal.round}")

    def saw_evidence(self, first: Vote, second: Vote) -> None:
        """No honest validator is accused, and the two votes prove what they say."""
        step = (first.validator, first.type, first.height, first.round)
        if first.validator in self.honest or step != (
            second.validator,
            second.type,
            second.height,
            second.round,
        ):
            raise InvariantError(f"false evidence: {first} {second}")
        if first.block_id == second.block_id:
            raise InvariantError(f"no evidence: {first} {second}")
        self.evidence += 1

    def saw_double_proposal(self, first: Proposal, second: Proposal) -> None:
        """No honest proposer is accused, and the two proposals prove what they say."""
        one, other = ((found.proposer, found.height, found.round) for found in (first, second))
        if first.proposer in self.honest or one != other or first.block_id == second.block_id:
            raise InvariantError(f"false evidence: {first} {second}")
        self.evidence += 1

    def saw_commit(self, name: str, raw: bytes, parent: bytes, certificate: Certificate) -> None:
        """Agreement, validity, and a certificate that convinces a stranger."""
        block, id_ = decode(raw), block_id(raw)
        if self.decided.setdefault(block.height, id_) != id_:
            raise InvariantError(f"{name} committed another block at height {block.height}")
        if not block.sound or block.parent != parent:
            raise InvariantError(f"{name} committed an unsound block at height {block.height}")
        if not certifies(certificate, block.height, id_, self.validators):
            raise InvariantError(f"{name} committed height {block.height} without a certificate")
        self.rounds = max(self.rounds, certificate.round)

    def _once(self, key: tuple[str, str, int, int], value: object) -> None:
        if self.signed.setdefault(key, value) != value:
            raise InvariantError(f"signed twice: {key}")
