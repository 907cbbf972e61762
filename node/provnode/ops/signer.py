"""The validator's key, behind the guard: nothing is signed that could contradict what was signed before."""

from __future__ import annotations

from dataclasses import replace

from provnode import wire
from provnode.core.guard import Signed, decide
from provnode.core.types import Proposal, Vote
from provnode.crypto.provider import PrivateKey, Provider
from provnode.storage.signed import SignedStore

_PROPOSAL_STEP = 0


class Signer:
    """Signs as `name`. The record of what was signed last is on the disk before a signature leaves.

    Both calls raise GuardError (the message must not be signed) and StoreError (the disk refused; nothing
    left, the same call may be made again).
    """

    def __init__(
        self, name: str, key: PrivateKey, provider: Provider, store: SignedStore, genesis_hash: bytes
    ) -> None:
        self.name = name
        self._key = key
        self._provider = provider
        self._store = store
        self._genesis_hash = genesis_hash
        self._last = store.load()

    def vote(self, vote: Vote) -> Vote:
        """The vote with its signature."""
        message = wire.vote_sign_bytes(self._genesis_hash, vote)
        return replace(vote, signature=self._sign((vote.height, vote.round, int(vote.type)), message))

    def proposal(self, proposal: Proposal) -> Proposal:
        """The proposal with its signature."""
        message = wire.proposal_sign_bytes(self._genesis_hash, proposal)
        place = (proposal.height, proposal.round, _PROPOSAL_STEP)
        return replace(proposal, signature=self._sign(place, message))

    def _sign(self, place: tuple[int, int, int], message: bytes) -> bytes:
        known = decide(self._last, place, message)
        if known is not None:
            return known
        signature = self._provider.sign(self._key, message)
        signed = Signed(*place, message, signature)
        self._store.save(signed)
        self._last = signed
        return signature
