"""What must never happen, and what must: looked at whenever a node signs, commits, starts or comes to rest.

The witness believes nothing of the nodes. It keeps its own account of who decides which height, from the
changes that the decided blocks carry, and verifies certificates by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from provnode import wire
from provnode.core.types import Certificate, Proposal, Validator, ValidatorSet, Vote, VoteType
from provnode.ledger.app import MAX_AHEAD_MS, Committed
from provnode.ledger.changes import parse_membership
from provnode.ledger.genesis import Genesis
from provnode.ledger.membership import Action, Change
from provnode.ledger.misconduct import parse_misconduct
from provnode.ledger.transactions import KIND_EVIDENCE, KIND_MEMBERSHIP, Transaction, decode_transaction
from provnode.net.sync import WINDOW_BYTES
from tests.simulation.chain import PROVIDER
from tests.simulation.world import EPOCH_MS, World

if TYPE_CHECKING:
    from tests.simulation.replica import Replica

# rounds ahead of its own that a node may keep anything of (core.votes), and one for the round itself
_ROUNDS_KEPT = 17
_MOST_EARLY = 512 + 2
_MOST_EVIDENCE = 64
_MOST_PROPOSALS = 64
_MOST_ANSWERS = 4


class InvariantError(AssertionError):
    """The network did what it must never do."""


@dataclass(frozen=True, slots=True)
class _Decided:
    block_id: bytes
    raw: bytes
    time_ms: int


@dataclass
class Members:
    """Who decides which height, by a straightforward reading of the changes in the chain."""

    active: dict[str, Validator]
    suspended: dict[str, Validator] = field(default_factory=dict)
    pending: list[Change] = field(default_factory=list)
    sets: dict[int, ValidatorSet] = field(default_factory=dict)

    def advance(self, height: int) -> ValidatorSet:
        """The set of the next height in turn, after all changes that are due."""
        for change in sorted(self.pending, key=lambda one: (one.effective_height, one.sequence)):
            if change.effective_height == height:
                self._apply(change)
        self.sets[height] = ValidatorSet(tuple(self.active.values()))
        return self.sets[height]

    def _apply(self, change: Change) -> None:
        name, validator = change.validator.name, change.validator
        match change.action:
            case Action.ADD:
                self.active[name] = validator
            case Action.REMOVE:
                self.active.pop(name, None)
                self.suspended.pop(name, None)
            case Action.REKEY:
                where = self.active if name in self.active else self.suspended
                where[name] = validator
            case Action.SUSPEND:
                self.suspended[name] = self.active.pop(name)
            case Action.RESUME:
                self.active[name] = self.suspended.pop(name)


class Witness:
    """Sees everything that honest nodes sign, commit and accuse. Raises InvariantError."""

    def __init__(self, genesis: Genesis, world: World, faulty: frozenset[str]) -> None:
        self.genesis = genesis
        self.faulty = faulty
        self.submitted: set[bytes] = set()
        self.decided: dict[int, _Decided] = {}
        self.places: dict[bytes, int] = {}
        self.members = Members({one.name: one for one in genesis.validators})
        self.members.advance(1)
        # how far the clock of any honest node has ever been ahead
        self.most_ahead_ms = 0
        self.evidence = self.rounds = self.bans = self.handovers = self.looks = 0
        self._world = world
        self._signed: dict[tuple[str, str, int, int], object] = {}
        self._acknowledged: dict[str, int] = {}

    @property
    def height(self) -> int:
        """The greatest height that any honest node has committed."""
        return len(self.decided)

    # --- what is signed

    def saw_vote(self, node: Replica, vote: Vote) -> None:
        """No honest validator votes twice in a step."""
        if node.name not in self.faulty:
            self._once((vote.validator, vote.type.name, vote.height, vote.round), vote.block_id)

    def saw_proposal(self, node: Replica, proposal: Proposal, raw: bytes) -> None:
        """No honest validator proposes twice in a round, or out of turn, or what others must refuse."""
        if node.name in self.faulty:
            return
        key = (proposal.proposer, "PROPOSAL", proposal.height, proposal.round)
        self._once(key, (proposal.block_id, proposal.valid_round))
        turn = self.members.sets[proposal.height].proposer(proposal.height, proposal.round)
        if turn != proposal.proposer:
            raise InvariantError(f"{proposal.proposer} proposed out of turn in round {proposal.round}")
        header = wire.decode_block(raw).header
        if header.block_id != proposal.block_id or header.time_ms <= self._time(header.height - 1):
            raise InvariantError(f"{proposal.proposer} proposed what nobody may take")

    def _once(self, key: tuple[str, str, int, int], value: object) -> None:
        if self._signed.setdefault(key, value) != value:
            raise InvariantError(f"signed twice: {key}")

    # --- who is accused

    def saw_evidence(self, node: Replica, found: Sequence[wire.Evidence]) -> None:
        """No honest node accuses an honest validator, and what it says holds."""
        if node.name in self.faulty:
            return
        for one in found:
            if one.validator not in self.faulty:
                raise InvariantError(f"{node.address} accuses {one.validator}, which is honest: {one.id}")
            wire.check_evidence(one, self.members.sets[one.height], self.genesis.hash, PROVIDER)
            self.evidence += 1

    def saw_ban(self, node: Replica, peer: str, why: str) -> None:
        """No honest node shuts out an honest one."""
        if node.name in self.faulty:
            return
        if peer not in self.faulty:
            raise InvariantError(f"{node.address} shuts out {peer}, which is honest: {why}")
        self.bans += 1

    # --- what is committed

    def saw_start(self, node: Replica) -> None:
        """What a node has told to be committed is there after a crash."""
        told = self._acknowledged.get(node.address, 0)
        if node.height < told:
            raise InvariantError(f"{node.address} forgot height {told}, which it had acknowledged")
        if node.name not in self.faulty:
            # it may have ended between a commit and the word of it, and so may all who had committed
            for height in range(self.height + 1, node.height + 1):
                self._look(node, height)

    def saw_commit(self, node: Replica, committed: Committed) -> None:
        """What a node acknowledges is on its disk, and holds."""
        if node.store.height() < committed.height:
            raise InvariantError(
                f"{node.address} acknowledged height {committed.height} before it was on the disk"
            )
        self._acknowledged[node.address] = committed.height
        if node.name not in self.faulty:
            self._look(node, committed.height)
            if committed.block_id != self.decided[committed.height].block_id:
                raise InvariantError(f"{node.address} names another block at height {committed.height}")

    def _look(self, node: Replica, height: int) -> None:
        """Agreement, validity, and a certificate that convinces a stranger."""
        raw, certificate = node.ledger.stored_block(height)
        decided = self.decided.get(height)
        if decided is None:
            if height != self.height + 1:
                raise InvariantError(f"{node.address} committed height {height} without its parent")
            decided = self._judge(node, raw)
        if raw != decided.raw:
            raise InvariantError(f"{node.address} committed another block at height {height}")
        if not self._certifies(certificate, height):
            raise InvariantError(f"{node.address} committed height {height} without a certificate")
        self.rounds = max(self.rounds, certificate.round)

    def _judge(self, node: Replica, raw: bytes) -> _Decided:
        """Look at the first block that is committed at a height, and take it into the account."""
        block = wire.decode_block(raw)
        header, height = block.header, self.height + 1
        here = f"height {height} of {node.address}"
        parent = self.decided[height - 1].block_id if height > 1 else self.genesis.hash
        if (header.height, header.parent) != (height, parent):
            raise InvariantError(f"{here}: an unknown parent")
        latest = EPOCH_MS + self._world.now + self.most_ahead_ms + MAX_AHEAD_MS
        if not self._time(height - 1) < header.time_ms <= latest:
            raise InvariantError(f"{here}: time {header.time_ms - EPOCH_MS}, now {self._world.now}")
        if height > 1 and not self._certifies(block.last_commit, height - 1):
            raise InvariantError(f"{here}: its parent's certificate is none")
        changes: list[Change] = []
        for raw_tx in block.txs:
            tx = decode_transaction(raw_tx, self.genesis.hash, self.genesis.params.max_tx_bytes)
            self._judge_transaction(here, tx)
            self.places[tx.txid] = height
            if tx.kind == KIND_MEMBERSHIP:
                changes.append(parse_membership(tx.body, self.genesis).change)
        own = self.members.sets[height]
        self.members.pending += changes
        after = self.members.advance(height + 1)
        for name, found, members in (
            ("validators_hash", header.validators_hash, own),
            ("next_validators_hash", header.next_validators_hash, after),
        ):
            if found != wire.validators_hash(members):
                raise InvariantError(f"{here}: {name} names others than the chain does")
        self.handovers += own != after
        decided = self.decided[height] = _Decided(header.block_id, raw, header.time_ms)
        return decided

    def _judge_transaction(self, here: str, tx: Transaction) -> None:
        if tx.txid in self.places:
            raise InvariantError(f"{here}: a transaction is there twice")
        if tx.kind == KIND_EVIDENCE:
            found, parts = parse_misconduct(tx, self.genesis.hash, self.members.sets.get)
            if found.evidence.validator not in self.faulty or not all(PROVIDER.verify_batch(parts)):
                raise InvariantError(f"{here}: false evidence against {found.evidence.validator}")
        elif tx.txid not in self.submitted:
            raise InvariantError(f"{here}: a transaction that nobody submitted")

    def _certifies(self, certificate: Certificate | None, height: int) -> bool:
        id_, validators = self.decided[height].block_id, self.members.sets[height]
        return certificate is not None and certifies(certificate, height, id_, validators, self.genesis.hash)

    def _time(self, height: int) -> int:
        return self.decided[height].time_ms if height > 0 else self.genesis.time_ms

    # --- what is kept

    def look_at(self, node: Replica) -> None:
        """A node at rest keeps no more than its bounds, whatever it was sent."""
        self.looks += 1
        if self.looks % 8 or node.name in self.faulty:
            return
        consensus, machine = node.consensus, node.consensus.machine
        rounds = max(machine.round, 0) + _ROUNDS_KEPT
        members = len(machine.validators)
        kept = machine.rounds()
        early = len(consensus._intake._early_votes) + len(consensus._intake._early_proposals)
        # two votes of each validator in each step, one more where f+1 admitted it
        votes = sum(len(machine.votes(round_, kind)) for round_ in kept for kind in VoteType)
        for what, found, most in (
            ("rounds with votes", len(kept), rounds),
            ("votes", votes, rounds * 2 * 3 * members),
            ("blocks", len(consensus.blocks), 2 * rounds),
            ("messages that came early", early, _MOST_EARLY),
            ("pieces of evidence", len(node.evidence), _MOST_EVIDENCE),
            ("proposals that wait", len(consensus.inbox.proposals), _MOST_PROPOSALS),
            ("answers of blocks that wait", len(consensus.inbox.blocks), _MOST_ANSWERS),
            ("bytes of blocks that came by sync", node.gossip.sync.held, WINDOW_BYTES),
        ):
            if found > most:
                raise InvariantError(f"{node.address} keeps {found} {what}, allowed: {most}")

    def compare(self, node: Replica) -> None:
        """The whole chain of a node is the one that was decided."""
        for height, decided in self.decided.items():
            row = node.store.block(height)
            if row is not None and row.raw != decided.raw:
                raise InvariantError(f"{node.address} has another block at height {height}")


def certifies(
    certificate: Certificate, height: int, id_: bytes, validators: ValidatorSet, genesis_hash: bytes
) -> bool:
    """Whether a certificate is one: a quorum of precommits, each by another validator, each signed."""
    if (certificate.height, certificate.block_id) != (height, id_):
        return False
    message = wire.precommit_sign_bytes(genesis_hash, certificate)
    names = [entry.validator for entry in certificate.signatures]
    members = [validators.get(name) for name in names]
    verify: Callable[[bytes, bytes, bytes], bool] = PROVIDER.verify
    return (
        names == sorted(set(names))
        and sum(one.power for one in members if one) * 3 > sum(one.power for one in validators) * 2
        and all(
            one is not None and verify(one.public_key, message, entry.signature)
            for one, entry in zip(members, certificate.signatures, strict=True)
        )
    )
