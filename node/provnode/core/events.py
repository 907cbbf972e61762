"""What goes into the machine, and what comes out of it."""

from __future__ import annotations

from dataclasses import dataclass

from provnode.core.types import Certificate, Proposal, Step, Vote


@dataclass(frozen=True, slots=True)
class Params:
    """Time limits in milliseconds; each grows by ``delta_ms`` a round (paper: timeout functions)."""

    propose_ms: int
    vote_ms: int
    delta_ms: int


@dataclass(frozen=True, slots=True)
class Start:
    """Begin the height."""


@dataclass(frozen=True, slots=True)
class ValueReady:
    """The block that RequestValue asked for is there."""

    height: int
    round: int
    block_id: bytes


@dataclass(frozen=True, slots=True)
class ProposalReceived:
    """A proposal whose signature holds; ``valid`` says whether its block executed to what it claims."""

    proposal: Proposal
    valid: bool


@dataclass(frozen=True, slots=True)
class VoteReceived:
    """A vote whose signature holds."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class TimeoutFired:
    """A timer that ScheduleTimeout asked for ran out."""

    step: Step
    height: int
    round: int


Event = Start | ValueReady | ProposalReceived | VoteReceived | TimeoutFired


@dataclass(frozen=True, slots=True)
class RequestValue:
    """Build a block for this round and answer with ValueReady."""

    height: int
    round: int


@dataclass(frozen=True, slots=True)
class SendProposal:
    """Sign this proposal, feed it back as ProposalReceived, and send it with its block."""

    proposal: Proposal


@dataclass(frozen=True, slots=True)
class SendVote:
    """Sign this vote, feed it back as VoteReceived, and send it."""

    vote: Vote


@dataclass(frozen=True, slots=True)
class ScheduleTimeout:
    """Answer with TimeoutFired after so many milliseconds."""

    step: Step
    height: int
    round: int
    ms: int


@dataclass(frozen=True, slots=True)
class Commit:
    """The block of this certificate is final; the machine is done."""

    certificate: Certificate


@dataclass(frozen=True, slots=True)
class DoubleVote:
    """A validator signed two different votes for one step: evidence."""

    first: Vote
    second: Vote


@dataclass(frozen=True, slots=True)
class DoubleProposal:
    """A proposer signed two blocks for one round: evidence."""

    first: Proposal
    second: Proposal


Effect = RequestValue | SendProposal | SendVote | ScheduleTimeout | Commit | DoubleVote | DoubleProposal
