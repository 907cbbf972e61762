"""The Tendermint algorithm (arXiv 1807.04938, Algorithm 1) for one height; its line numbers in comments."""

from __future__ import annotations

from collections.abc import Callable

from provnode.core.events import (
    Commit,
    DoubleProposal,
    DoubleVote,
    Effect,
    Event,
    Params,
    ProposalReceived,
    RequestValue,
    ScheduleTimeout,
    SendProposal,
    SendVote,
    Start,
    TimeoutFired,
    ValueReady,
    VoteReceived,
)
from provnode.core.types import Proposal, Step, ValidatorSet, Vote, VoteType
from provnode.core.votes import MAX_ROUNDS_AHEAD, VoteKeeper


class Machine:
    """One height's consensus of one validator, or of an onlooker (``me`` None), which only follows.

    ``handle`` takes an event and returns the effects; nothing else changes the state. What it returned must
    be carried out, its own votes and proposals fed back as events. Replaying the same events gives the same
    effects.
    """

    def __init__(self, validators: ValidatorSet, me: str | None, height: int, params: Params) -> None:
        self.validators = validators
        self.me = me if me is not None and validators.get(me) is not None else None
        self.height = height
        self.round = -1
        self.step = Step.PROPOSE
        self.locked: tuple[int, bytes] | None = None
        self.valid: tuple[int, bytes] | None = None
        self.committed = False
        self._params = params
        self._votes = VoteKeeper(validators)
        self._proposals: dict[int, tuple[Proposal, bool]] = {}
        self._valid_blocks: set[bytes] = set()
        self._done: set[tuple[str, int]] = set()
        self._out: list[Effect] = []

    def wants(self, vote: Vote) -> bool:
        """Tell whether a vote could change anything here, before its signature is verified."""
        return vote.height == self.height and self._votes.wants(vote, max(self.round, 0))

    def wants_proposal(self, proposal: Proposal) -> bool:
        """Tell whether a proposal could change anything here, before its signature is verified.

        It could as the round's first one, and once as one that contradicts it.
        """
        held = self._proposals.get(proposal.round)
        if not self._may_keep(proposal):
            return False
        reported = ("double proposal", proposal.round) in self._done
        return held is None or (held[0].block_id != proposal.block_id and not reported)

    def votes(self, round_: int, kind: VoteType) -> tuple[Vote, ...]:
        """Return the votes held for a round, for gossip; an equivocator may have more than one."""
        return self._votes.votes(round_, kind)

    def rounds(self) -> tuple[int, ...]:
        """Return the rounds in which votes are held."""
        return self._votes.rounds()

    def proposal(self, round_: int) -> Proposal | None:
        """Return the proposal held for a round, for gossip."""
        held = self._proposals.get(round_)
        return held[0] if held else None

    def handle(self, event: Event) -> list[Effect]:
        """Take one event and return its effects, in the order in which they are to be carried out."""
        if self.committed:
            return []
        self._out = []
        match event:
            case Start():
                if self.round < 0:
                    self._start_round(0)
            case ValueReady(height, round_, block_id):
                self._value_ready(height, round_, block_id)
            case ProposalReceived(proposal, valid):
                self._keep_proposal(proposal, valid)
            case VoteReceived(vote):
                self._keep_vote(vote)
            case TimeoutFired(step, height, round_):
                self._timeout(step, height, round_)
        if self.round >= 0:
            self._apply_rules()
        return self._out

    def _keep_proposal(self, proposal: Proposal, valid: bool) -> None:
        round_ = proposal.round
        if not self._may_keep(proposal):
            return
        # the round's first proposal counts; it may be found valid later, when our clock has caught up
        first, found = self._proposals.setdefault(round_, (proposal, valid))
        if first.block_id == proposal.block_id and valid:
            self._proposals[round_] = (first, found or valid)
            self._valid_blocks.add(proposal.block_id)
        elif first.block_id != proposal.block_id and self._once("double proposal", round_):
            self._out.append(DoubleProposal(first, proposal))

    def _may_keep(self, proposal: Proposal) -> bool:
        """Tell whether it is of this height, of a round not too far ahead, and by that round's proposer."""
        round_ = proposal.round
        if proposal.height != self.height or not 0 <= round_ <= max(self.round, 0) + MAX_ROUNDS_AHEAD:
            return False
        if proposal.proposer != self.validators.proposer(self.height, round_):
            return False
        return -1 <= proposal.valid_round < round_

    def _keep_vote(self, vote: Vote) -> None:
        if vote.height != self.height:
            return
        conflict = self._votes.add(vote, max(self.round, 0))
        if conflict is not None:
            self._out.append(DoubleVote(conflict.first, conflict.second))

    def _start_round(self, round_: int) -> None:
        # lines 11 to 21
        self.round, self.step = round_, Step.PROPOSE
        if self.me is not None and self.validators.proposer(self.height, round_) == self.me:
            if self.valid is not None:
                self._propose(self.valid[1], self.valid[0])
            else:
                self._out.append(RequestValue(self.height, round_))
        self._schedule(Step.PROPOSE)

    def _value_ready(self, height: int, round_: int, block_id: bytes) -> None:
        # line 18, whose value comes as an event; too late if the round went on
        mine = self.me is not None and self.validators.proposer(self.height, round_) == self.me
        if mine and (height, round_) == (self.height, self.round) and self._once("proposed", round_):
            self._propose(block_id, -1)

    def _propose(self, block_id: bytes, valid_round: int) -> None:
        assert self.me is not None  # noqa: S101 - both callers looked
        self._out.append(SendProposal(Proposal(self.height, self.round, valid_round, block_id, self.me)))

    def _apply_rules(self) -> None:
        """Apply the algorithm's rules until none has anything to do."""
        while not self.committed and any(rule() for rule in self._rules()):
            pass

    def _rules(self) -> tuple[Callable[[], bool], ...]:
        return (
            self._rule_commit,
            self._rule_skip,
            self._rule_first_proposal,
            self._rule_repeated_proposal,
            self._rule_prevote_timer,
            self._rule_lock,
            self._rule_nil,
            self._rule_precommit_timer,
        )

    def _rule_first_proposal(self) -> bool:
        # lines 22 to 27
        held = self._proposals.get(self.round)
        if self.step != Step.PROPOSE or held is None or held[0].valid_round != -1:
            return False
        proposal, valid = held
        free = self.locked is None or self.locked[1] == proposal.block_id
        self._vote(VoteType.PREVOTE, proposal.block_id if valid and free else None)
        self.step = Step.PREVOTE
        return True

    def _rule_repeated_proposal(self) -> bool:
        # lines 28 to 33
        held = self._proposals.get(self.round)
        if self.step != Step.PROPOSE or held is None or held[0].valid_round < 0:
            return False
        proposal, valid = held
        if not self._votes.quorum_for(proposal.valid_round, VoteType.PREVOTE, proposal.block_id):
            return False
        locked = self.locked
        free = locked is None or locked[0] <= proposal.valid_round or locked[1] == proposal.block_id
        self._vote(VoteType.PREVOTE, proposal.block_id if valid and free else None)
        self.step = Step.PREVOTE
        return True

    def _rule_prevote_timer(self) -> bool:
        # lines 34 and 35
        if self.step != Step.PREVOTE or not self._votes.quorum_any(self.round, VoteType.PREVOTE):
            return False
        if not self._once("prevote timer", self.round):
            return False
        self._schedule(Step.PREVOTE)
        return True

    def _rule_lock(self) -> bool:
        # lines 36 to 43; the block may be known from another round's proposal, its validity is the same
        block_id = self._votes.quorum_block(self.round, VoteType.PREVOTE)
        if self.step < Step.PREVOTE or block_id is None or block_id not in self._valid_blocks:
            return False
        if not self._once("lock", self.round):
            return False
        if self.step == Step.PREVOTE:
            self.locked = (self.round, block_id)
            self._vote(VoteType.PRECOMMIT, block_id)
            self.step = Step.PRECOMMIT
        self.valid = (self.round, block_id)
        return True

    def _rule_nil(self) -> bool:
        # lines 44 to 46
        if self.step != Step.PREVOTE or not self._votes.quorum_for(self.round, VoteType.PREVOTE, None):
            return False
        self._vote(VoteType.PRECOMMIT, None)
        self.step = Step.PRECOMMIT
        return True

    def _rule_precommit_timer(self) -> bool:
        # lines 47 and 48
        if not self._votes.quorum_any(self.round, VoteType.PRECOMMIT):
            return False
        if not self._once("precommit timer", self.round):
            return False
        self._schedule(Step.PRECOMMIT)
        return True

    def _rule_commit(self) -> bool:
        # lines 49 to 54; any round may turn out to have decided
        for round_ in self._votes.rounds():
            block_id = self._votes.quorum_block(round_, VoteType.PRECOMMIT)
            if block_id is not None and block_id in self._valid_blocks:
                self.committed = True
                self._out.append(Commit(self._votes.certificate(self.height, round_, block_id)))
                return True
        return False

    def _rule_skip(self) -> bool:
        # lines 55 and 56; f+1 in that round or beyond it hold an honest one as well
        round_ = self._votes.skip_round(self.round)
        if round_ is None:
            return False
        self._start_round(round_)
        return True

    def _timeout(self, step: Step, height: int, round_: int) -> None:
        if (height, round_) != (self.height, self.round):
            return
        if step == Step.PROPOSE and self.step == Step.PROPOSE:  # lines 57 to 60
            self._vote(VoteType.PREVOTE, None)
            self.step = Step.PREVOTE
        elif step == Step.PREVOTE and self.step == Step.PREVOTE:  # lines 61 to 64
            self._vote(VoteType.PRECOMMIT, None)
            self.step = Step.PRECOMMIT
        elif step == Step.PRECOMMIT:  # lines 65 to 67
            self._start_round(self.round + 1)

    def _vote(self, kind: VoteType, block_id: bytes | None) -> None:
        if self.me is not None:
            self._out.append(SendVote(Vote(kind, self.height, self.round, block_id, self.me)))

    def _schedule(self, step: Step) -> None:
        base = self._params.propose_ms if step == Step.PROPOSE else self._params.vote_ms
        ms = base + self.round * self._params.delta_ms
        self._out.append(ScheduleTimeout(step, self.height, self.round, ms))

    def _once(self, what: str, round_: int) -> bool:
        """Tell, and remember, whether this happens for the first time (the paper's "for the first time")."""
        if (what, round_) in self._done:
            return False
        self._done.add((what, round_))
        return True
