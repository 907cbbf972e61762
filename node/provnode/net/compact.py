"""Blocks that come as the names of their transactions, which wait here already: put together, or asked for.

A proposer sends the block without its transactions, and of each the first bytes of its Merkle leaf hash. What
is not here yet is mostly on its way: after a moment what is still missing is asked of the proposer, one
transaction at a time or the whole block, whichever is less. Nobody is believed: the block that comes out goes
the way of one that came whole, and is refused unless it is the very one that the signed proposal names.
Nothing depends on this: a node that lacks the proposal gets it whole, see `provnode.net.resend`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from provnode import wire
from provnode.core.machine import Machine
from provnode.core.types import Proposal
from provnode.net.limits import Bucket
from provnode.wire import MAX_TXS, NAME_BYTES

# what is on its way may take so long to arrive and be verified before it is asked for, in seconds
PATIENCE_SECONDS = 0.2
# what was asked for; after that the whole block is asked of everybody
_GIVE_UP_SECONDS = 1.5
# a proposal is not sent to the same peer again within so long, and requests are answered so often
_SEND_AGAIN_SECONDS = 1.0
_ANSWER_SECONDS = 0.125
# looked up for one peer
_NAMES_A_SECOND = 200_000.0


@dataclass(slots=True)
class _Pending:
    """A block that lacks the transactions at the places in `missing`; `txs` has nothing there."""

    proposal: Proposal
    bare: wire.Block
    names: list[bytes]
    txs: list[bytes]
    missing: list[int]
    since: float
    asked: bool = False


class Pool(Protocol):
    """What the node behind the gossip says and takes, see `net.gossip.Host`."""

    @property
    def height(self) -> int:
        """The newest committed height."""

    def find_txs(self, names: Sequence[bytes]) -> list[bytes]:
        """The waiting transactions that compact blocks name so; b"" for one that does not wait here."""

    def leaves(self, txs: Sequence[bytes]) -> list[bytes]:
        """The Merkle leaf hashes of transactions."""

    def offer_proposal(self, peer: str, proposal: Proposal, block: bytes) -> None:
        """A proposal came; nothing about it is checked."""


class CompactBlocks:
    """The blocks that are on their way, from this node and to it: of each peer one is put together."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._pending: dict[str, _Pending] = {}
        self._budgets: dict[str, Bucket] = {}
        # the height, round and time of the last proposal that went to a peer, and when it was answered last
        self._sent: dict[str, tuple[int, int, float]] = {}
        self._answered: dict[str, float] = {}

    # --- from this node

    def shorten(self, proposal: Proposal, raw: bytes) -> wire.CompactMsg:
        """A block of this node's own as the names of its transactions."""
        block = wire.decode_block(raw)
        bare = wire.encode_block(wire.Block(block.header, (), block.last_commit))
        names = [leaf[:NAME_BYTES] for leaf in self._pool.leaves(block.txs)]
        return wire.CompactMsg(proposal, bare, b"".join(names))

    def may_send(self, peer: str, proposal: Proposal, now: float) -> bool:
        """Whether this round's proposal did not go to the peer a moment ago; it is noted as sent."""
        height, round_, at = self._sent.get(peer, (0, 0, 0.0))
        if (height, round_) == (proposal.height, proposal.round) and now < at + _SEND_AGAIN_SECONDS:
            return False
        self._sent[peer] = proposal.height, proposal.round, now
        return True

    def answer(
        self, peer: str, request: wire.TxRequest, blocks: Mapping[bytes, bytes], now: float
    ) -> wire.BlockTxs | None:
        """What a peer asks for of one of `blocks`; None when it is not there, or the peer asks too often."""
        raw = blocks.get(request.block_id)
        if raw is None or now < self._answered.get(peer, 0.0) + _ANSWER_SECONDS:
            return None
        self._answered[peer] = now
        txs = wire.decode_block(raw).txs
        places = request.places or range(len(txs))
        return wire.BlockTxs(request.block_id, tuple(txs[at] for at in places if at < len(txs)))

    # --- to this node

    def take(self, peer: str, message: wire.CompactMsg, now: float) -> None:
        """A block came; the one before it of the same peer is forgotten. Raises WireError."""
        if not 1 <= message.proposal.height - self._pool.height <= 2:
            return  # of another height than this one and the next
        bare = wire.decode_block(message.bare)
        names = [message.names[at : at + NAME_BYTES] for at in range(0, len(message.names), NAME_BYTES)]
        count = bare.header.tx_count
        if bare.txs or len(message.names) != NAME_BYTES * count or len(set(names)) != count:
            raise wire.WireError(f"compact block: not {count} different names")
        budget = self._budgets.setdefault(peer, Bucket(_NAMES_A_SECOND, 2 * MAX_TXS, now))
        if budget.take(len(names) + 1, now):
            return  # the whole block will come
        pending = _Pending(message.proposal, bare, names, [b""] * len(names), list(range(len(names))), now)
        self._pending[peer] = pending
        self._advance(peer, pending)

    def fill(self, peer: str, message: wire.BlockTxs) -> None:
        """Transactions came that were asked for; anything else is ignored, late answers too."""
        pending = self._pending.get(peer)
        if pending is None or not pending.asked or pending.proposal.block_id != message.block_id:
            return
        if len(message.txs) == len(pending.names):
            pending.txs, pending.missing = list(message.txs), []
        elif len(message.txs) == len(pending.missing):
            for place, tx in zip(pending.missing, message.txs, strict=True):
                pending.txs[place] = tx
            pending.missing = []
        self._advance(peer, pending)

    def tick(self, now: float) -> list[tuple[str, wire.TxRequest]]:
        """Look again for what was missing; gives what to ask of whom."""
        requests = []
        for peer, pending in list(self._pending.items()):
            if pending.proposal.height <= self._pool.height or now > pending.since + _GIVE_UP_SECONDS:
                del self._pending[peer]
            elif not pending.asked:
                self._advance(peer, pending)
                if pending.missing and now >= pending.since + PATIENCE_SECONDS:
                    pending.asked = True
                    requests.append((peer, _request(pending)))
        return requests

    def forget(self, peer: str) -> None:
        """The peer is gone; what it used stays on its account."""
        self._pending.pop(peer, None)
        self._sent.pop(peer, None)

    def awaits(self, machine: Machine) -> bool:
        """Whether the block of the machine's round is being put together, as its very proposer sent it.

        What others pass on must not keep this node from asking: they may name what there is not.
        """
        place = machine.height, max(machine.round, 0)
        pending = self._pending.get(machine.validators.proposer(*place))
        return pending is not None and (pending.proposal.height, pending.proposal.round) == place

    def _advance(self, peer: str, pending: _Pending) -> None:
        if pending.missing:
            found = self._pool.find_txs([pending.names[place] for place in pending.missing])
            for place, tx in zip(pending.missing, found, strict=True):
                pending.txs[place] = tx
            pending.missing = [place for place in pending.missing if not pending.txs[place]]
        if not pending.missing:
            del self._pending[peer]
            whole = wire.Block(pending.bare.header, tuple(pending.txs), pending.bare.last_commit)
            try:
                raw = wire.encode_block(whole)
            except wire.WireError:
                return  # longer than any block
            self._pool.offer_proposal(peer, pending.proposal, raw)


def _request(pending: _Pending) -> wire.TxRequest:
    """What is missing, or all of it where that is most."""
    most = 2 * len(pending.missing) > len(pending.names)
    return wire.TxRequest(pending.proposal.block_id, () if most else tuple(pending.missing))
