"""From what peers sent to what the machine may see: right height, known validator, signature that holds."""

from __future__ import annotations

from collections.abc import Callable

from provnode import wire
from provnode.core.machine import Machine
from provnode.core.types import Vote
from provnode.crypto.provider import Provider
from provnode.ops.inbox import Inbox, ProposalFrom, VoteFrom
from provnode.ops.threads import Threads

OnViolation = Callable[[str, str, str], None]
# of the next height: what peers that were quicker have sent already
_EARLY_VOTES = 512
_EARLY_PROPOSALS = 2


class Intake:
    """Keeps what came one height early, and lets through what belongs to this one."""

    def __init__(self, genesis_hash: bytes, threads: Threads, provider: Provider) -> None:
        self._genesis_hash = genesis_hash
        self._threads = threads
        self._provider = provider
        self._early_votes: list[VoteFrom] = []
        self._early_proposals: list[ProposalFrom] = []

    def new_height(self, inbox: Inbox) -> None:
        """What came early is on time now."""
        votes, proposals = self._early_votes, self._early_proposals
        self._early_votes, self._early_proposals = [], []
        for vote in votes:
            inbox.put_vote(vote)
        for proposal in proposals:
            inbox.put_proposal(proposal)

    async def votes(self, machine: Machine, inbox: Inbox, on_violation: OnViolation) -> list[Vote]:
        """The new votes of this height whose signatures hold, verified as one batch."""
        chosen: dict[Vote, VoteFrom] = {}
        while inbox.votes:
            item = inbox.votes.popleft()
            if item.vote.height == machine.height + 1 and len(self._early_votes) < _EARLY_VOTES:
                self._early_votes.append(item)
            elif machine.wants(item.vote):
                chosen[item.vote] = item
        if not chosen:
            return []
        items = [
            (validator.public_key, wire.vote_sign_bytes(self._genesis_hash, vote), vote.signature)
            for vote in chosen
            if (validator := machine.validators.get(vote.validator)) is not None
        ]
        verdicts = await self._threads.check(self._provider.verify_batch, items)
        for item, good in zip(chosen.values(), verdicts, strict=True):
            if not good:
                on_violation(item.peer, "bad_signature", f"a vote in the name of {item.vote.validator!r}")
        return [vote for vote, good in zip(chosen, verdicts, strict=True) if good]

    async def proposal(self, machine: Machine, item: ProposalFrom, on_violation: OnViolation) -> bool:
        """Whether the machine wants this proposal (the round's first, or one that contradicts it), signed."""
        proposal = item.proposal
        if proposal.height == machine.height + 1 and len(self._early_proposals) < _EARLY_PROPOSALS:
            self._early_proposals.append(item)
        validator = machine.validators.get(proposal.proposer)
        proposer = machine.validators.proposer(proposal.height, proposal.round)
        if proposal.height == machine.height and (validator is None or proposal.proposer != proposer):
            on_violation(item.peer, "proposer", f"{proposal.proposer!r} does not propose in this round")
            return False
        if validator is None or not machine.wants_proposal(proposal):
            return False
        message = wire.proposal_sign_bytes(self._genesis_hash, proposal)
        good = await self._threads.check(
            self._provider.verify, validator.public_key, message, proposal.signature
        )
        if not good:
            on_violation(item.peer, "bad_signature", f"a proposal in the name of {proposal.proposer!r}")
        return good
