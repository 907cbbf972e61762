"""Makes what misbehaving validators sign."""

from __future__ import annotations

from dataclasses import replace

from provnode import wire
from provnode.core.types import Proposal, Vote, VoteType
from provnode.crypto.provider import PrivateKey, Provider


class Liar:
    """A validator whose key signs whatever it is told to."""

    def __init__(self, name: str, key: PrivateKey, genesis_hash: bytes, provider: Provider) -> None:
        self.name = name
        self._key = key
        self._genesis_hash = genesis_hash
        self._provider = provider

    def vote(self, block: bytes | None, height: int = 1, round_: int = 0, *, prevote: bool = False) -> Vote:
        """A vote for a block (None: nil); a precommit unless told otherwise."""
        kind = VoteType.PREVOTE if prevote else VoteType.PRECOMMIT
        unsigned = Vote(kind, height, round_, block, self.name)
        message = wire.vote_sign_bytes(self._genesis_hash, unsigned)
        return replace(unsigned, signature=self._provider.sign(self._key, message))

    def proposal(self, block: bytes, height: int = 1, round_: int = 0) -> Proposal:
        """A proposal of a block."""
        unsigned = Proposal(height, round_, -1, block, self.name)
        message = wire.proposal_sign_bytes(self._genesis_hash, unsigned)
        return replace(unsigned, signature=self._provider.sign(self._key, message))

    def double_vote(self, height: int = 1, round_: int = 0, *, prevote: bool = False) -> wire.Evidence:
        """Evidence of two votes."""
        one, other = (self.vote(block * 32, height, round_, prevote=prevote) for block in (b"A", b"B"))
        return wire.make_evidence(one, other)

    def double_proposal(self, height: int = 1, round_: int = 0) -> wire.Evidence:
        """Evidence of two proposals."""
        one, other = (self.proposal(block * 32, height, round_) for block in (b"A", b"B"))
        return wire.make_evidence(one, other)
