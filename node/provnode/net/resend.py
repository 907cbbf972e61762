"""What a peer at the same height lacks, from what it says it has: lost messages come again this way. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from provnode import wire
from provnode.core.machine import Machine
from provnode.core.types import VoteType


def round_state(machine: Machine, *, coming: bool = False) -> wire.RoundState:
    """Where this node's machine is and what it holds of its round; it does not ask for what is `coming`."""
    round_ = max(machine.round, 0)
    return wire.RoundState(
        machine.height,
        round_,
        coming or machine.proposal(round_) is not None,
        tuple(vote.validator for vote in machine.votes(round_, VoteType.PREVOTE)),
        tuple(vote.validator for vote in machine.votes(round_, VoteType.PRECOMMIT)),
    )


def missing(machine: Machine, blocks: Mapping[bytes, bytes], peer: wire.RoundState) -> list[wire.Message]:
    """What to send to a peer in that state.

    Of its round: the proposal and votes that it lacks, and the prevotes of the earlier round that the
    proposal refers to (arXiv 1807.04938, line 28). If this node is in a later round: all of that round,
    which lets the peer skip to it (line 55).
    """
    if peer.height != machine.height:
        return []
    out: list[wire.Message] = []
    for number in sorted({peer.round, max(machine.round, peer.round)}):
        same = number == peer.round
        proposal = machine.proposal(number)
        if proposal is not None:
            if proposal.block_id in blocks and not (same and peer.has_proposal):
                out.append(wire.ProposalMsg(proposal, blocks[proposal.block_id]))
            if proposal.valid_round >= 0:
                out += _votes(machine, proposal.valid_round, VoteType.PREVOTE, ())
        out += _votes(machine, number, VoteType.PREVOTE, peer.prevotes if same else ())
        out += _votes(machine, number, VoteType.PRECOMMIT, peer.precommits if same else ())
    return out


def _votes(machine: Machine, round_: int, kind: VoteType, held: Collection[str]) -> list[wire.Message]:
    return [wire.VoteMsg(vote) for vote in machine.votes(round_, kind) if vote.validator not in held]
