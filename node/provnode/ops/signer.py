"""The validator's keys, behind the guard: nothing is signed that could contradict what was signed before.

A validator that is to be re-keyed has its next key at hand already, and goes over to it at the height at
which the membership does. The guard's record is one for both: a place is signed once, by whichever key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from provnode import wire
from provnode.core.guard import GuardError, Signed, decide
from provnode.core.types import Proposal, ValidatorSet, Vote
from provnode.crypto.provider import PrivateKey, Provider
from provnode.storage.signed import SignedStore

_PROPOSAL_STEP = 0


class Signer:
    """Signs as `name`, with the one of `keys` that the validators of the height name.

    The record of what was signed last is on the disk before a signature leaves. `vote` and `proposal` raise
    GuardError (the message must not be signed) and StoreError (the disk refused; nothing left, the same call
    may be made again).
    """

    def __init__(
        self,
        name: str,
        keys: Sequence[PrivateKey],
        provider: Provider,
        store: SignedStore,
        genesis_hash: bytes,
        may_sign: Callable[[int], bool] = lambda height: True,
    ) -> None:
        self.name = name
        self._keys = {provider.public_key(key): key for key in keys}
        self._key: PrivateKey | None = None
        self._provider = provider
        self._store = store
        self._genesis_hash = genesis_hash
        self._may_sign = may_sign
        self._last = store.load()

    def take_part(self, validators: ValidatorSet, height: int) -> str | None:
        """This signer's name where `validators` list it under a key that it has; else None: no vote.

        A restored validator has none at heights at which it may have signed before, see `storage.floor`.
        """
        own = validators.get(self.name) if self._may_sign(height) else None
        self._key = None if own is None else self._keys.get(own.public_key)
        return None if self._key is None else self.name

    @property
    def takes_part(self) -> bool:
        """Whether this signer has a vote at the height that it was last asked about."""
        return self._key is not None

    def attester(self) -> Callable[[bytes], tuple[str, bytes]]:
        """Signs, with the key of this height, what is no vote, such as a state snapshot; gives the name too.

        The messages carry a tag of their own, so that none can pass for a vote. Raises GuardError.
        """
        key = self._key
        if key is None:
            raise GuardError(f"{self.name!r} has no vote at this height")
        return lambda message: (self.name, self._provider.sign(key, message))

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
        if self._key is None:
            raise GuardError(f"{self.name!r} has no vote at this height")
        signature = self._provider.sign(self._key, message)
        signed = Signed(*place, message, signature)
        self._store.save(signed)
        self._last = signed
        return signature
