"""Which proposals are worth verifying: a round's first, and one that contradicts it."""

from __future__ import annotations

from provnode.core.events import DoubleProposal, ProposalReceived, Start
from provnode.core.machine import Machine
from provnode.core.types import Proposal
from provnode.core.votes import MAX_ROUNDS_AHEAD
from tests.core.story import FOUR, HEIGHT, PARAMS


def proposal(block: str, round_: int = 0, *, height: int = HEIGHT, valid: int = -1, by: str = "") -> Proposal:
    proposer = by or FOUR.proposer(HEIGHT, round_)
    return Proposal(height, round_, valid, block.encode() * 32, proposer, b"s")


def machine() -> Machine:
    found = Machine(FOUR, "v1", HEIGHT, PARAMS)
    found.handle(Start())
    return found


def test_the_first_and_one_that_contradicts_it_are_wanted() -> None:
    it = machine()
    assert it.wants_proposal(proposal("A"))
    it.handle(ProposalReceived(proposal("A"), valid=True))
    assert not it.wants_proposal(proposal("A"))
    assert it.wants_proposal(proposal("B"))
    assert DoubleProposal(proposal("A"), proposal("B")) in it.handle(
        ProposalReceived(proposal("B"), valid=False)
    )
    assert not it.wants_proposal(proposal("B")) and not it.wants_proposal(proposal("C"))
    assert it.wants_proposal(proposal("C", 1))  # every round has its own


def test_what_the_machine_could_not_use_is_not_wanted() -> None:
    it = machine()
    for useless in (
        proposal("A", height=HEIGHT + 1),
        proposal("A", by="v9"),
        proposal("A", by=FOUR.proposer(HEIGHT, 1)),
        proposal("A", MAX_ROUNDS_AHEAD + 1),
        proposal("A", -1),
        proposal("A", 1, valid=1),
        proposal("A", 1, valid=-2),
    ):
        assert not it.wants_proposal(useless)
        assert it.handle(ProposalReceived(useless, valid=True)) == []
    assert it.wants_proposal(proposal("A", MAX_ROUNDS_AHEAD))
