"""Byzantine validators: each is a whole node, whose words are twisted on their way out by its habits."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from provnode import wire
from provnode.core.types import Certificate, CommitSig, Proposal, Vote, VoteType
from provnode.wire.evidence import make_evidence
from provnode.wire.messages import Message
from tests.simulation.chain import PROVIDER, Key, key_of
from tests.simulation.network import Member
from tests.simulation.replica import Replica

_REMEMBERED = 40
_FAR = 2**31 - 1


class Liar(Replica):
    """A node with habits. Its embedded honest self keeps up with the chain."""

    habits: frozenset[str] = frozenset()

    def boot(self) -> None:
        """Start, remembering nothing."""
        self._old: list[bytes] = []
        self._some: dict[int, frozenset[str]] = {}
        self._quiet: dict[int, bool] = {}
        self._seen: tuple[bytes, Message, bytes] = b"", wire.StatusMsg(0), b""
        super().boot()

    # --- what it hears

    def receive(self, source: Member, body: bytes) -> None:
        """Take a message, and misuse it."""
        super().receive(source, body)
        if not self.up:
            return
        if "replay" in self.habits and self.random.random() < 0.1:
            self._replay(body)
        if "forge" in self.habits and self.random.random() < 0.01:
            self._forge()

    def _replay(self, body: bytes) -> None:
        if len(self._old) < _REMEMBERED:
            self._old.append(body)
        else:
            self._old[self.random.randrange(_REMEMBERED)] = body
        targets = self.addresses()
        if targets:
            target = self.random.choice(targets)[1]
            self.network.send(self, target, self.random.choice(self._old))

    # --- what it says

    def transmit(self, target: str, body: bytes) -> None:
        """Say something else than an honest node would."""
        self.boundary()
        message, said = self._heard(body)
        height = self.consensus.machine.height
        if "send to some only" in self.habits and target not in self._audience(height):
            return
        if "withhold" in self.habits and self._withholds(height, message):
            return
        if "equivocate" in self.habits and self.is_own(message):
            return  # it says both of it elsewhere
        self.network.send(self, target, said)

    def _heard(self, body: bytes) -> tuple[Message, bytes]:
        """What the honest self says, and what is made of it: the same for everybody who is to hear it."""
        if self._seen[0] is not body:
            message = wire.decode_message(body)
            twisted = self._twisted(message)
            self._seen = body, message, body if twisted is message else wire.encode_message(twisted)
        return self._seen[1:]

    def is_own(self, message: Message) -> bool:
        """Whether this is its own vote or proposal."""
        match message:
            case wire.VoteMsg(vote):
                return vote.validator == self.name
            case wire.ProposalMsg(proposal) | wire.CompactMsg(proposal):
                return proposal.proposer == self.name
        return False

    def _audience(self, height: int) -> frozenset[str]:
        if height not in self._some:
            chosen = [address for _, address in self.addresses() if self.random.random() < 0.5]
            self._some[height] = frozenset(chosen)
        return self._some[height]

    def _withholds(self, height: int, message: Message) -> bool:
        quiet = self._quiet.setdefault(height, self.random.random() < 0.7)
        return quiet and not isinstance(message, wire.StatusMsg | wire.RoundState)

    def _twisted(self, message: Message) -> Message:
        chance = self.random
        match message:
            case wire.StatusMsg(height=height) if "lie about height" in self.habits:
                style = self.world.chance(f"{self.address} boasts").randrange(6)
                boasts = (height, 0, max(height - 3, 0), height + 5, 10**6, 2**53 - 1)
                return wire.StatusMsg(boasts[style], chance.choice((message.oldest, 0, boasts[style])))
            case wire.BlockResponse(blocks) if "lie about height" in self.habits:
                return wire.BlockResponse(self._false_blocks(blocks))
            case wire.RoundState() if "false round states" in self.habits:
                names = tuple(sorted(one.name for one in self.ledger.validators))
                round_ = chance.choice((message.round, message.round + 1, _FAR))
                return wire.RoundState(message.height, round_, chance.random() < 0.8, names, names)
            case wire.ProposalMsg(proposal) | wire.CompactMsg(proposal) if (
                "propose unsound blocks" in self.habits and self.is_own(message) and chance.random() < 0.8
            ):
                return self.proposal(proposal, self._unsound(self.consensus.blocks[proposal.block_id]))
            case wire.BlockTxs() if "lie about height" in self.habits:
                return wire.BlockTxs(message.block_id, message.txs[:-1])
        return message

    def _false_blocks(
        self, blocks: tuple[tuple[bytes, Certificate], ...]
    ) -> tuple[tuple[bytes, Certificate], ...]:
        """None, in spite of what it said; or certificates that are none; or a block of its own making."""
        kind = self.world.chance(f"{self.address} lies").random()
        if not blocks or kind < 0.4:
            return ()
        raw, certificate = blocks[0]
        if kind < 0.6:
            return ((raw, self.certificate(certificate.height, certificate.block_id)), *blocks[1:])
        block = wire.decode_block(raw)
        header = replace(block.header, time_ms=block.header.time_ms + 1)
        false = wire.Block(header, block.txs, block.last_commit)
        own = self.certificate(header.height, false.block_id)
        if kind < 0.8:  # signed by everybody, it says
            names = (entry.validator for entry in certificate.signatures)
            own = replace(own, signatures=tuple(CommitSig(name, bytes(32)) for name in names))
        return ((wire.encode_block(false), own),)

    def _unsound(self, raw: bytes) -> bytes:
        block = wire.decode_block(raw)
        header, certificate = block.header, block.last_commit
        if certificate is not None and self.random.random() < 0.4:
            # its parent was decided by this one alone, or by these, it says
            few = certificate.signatures[:1]
            forged = tuple(CommitSig(entry.validator, bytes(32)) for entry in certificate.signatures)
            certificate = replace(certificate, signatures=self.random.choice((few, forged)))
            header = replace(header, last_commit_hash=wire.certificate_hash(certificate))
            return wire.encode_block(wire.Block(header, block.txs, certificate))
        header = self.random.choice(
            (
                replace(header, time_ms=header.time_ms + 3_600_000),
                replace(header, time_ms=max(0, header.time_ms - 3_600_000)),
                replace(header, parent=bytes(32)),
                replace(header, state_root=bytes(32)),
                replace(header, next_validators_hash=bytes(32)),
                replace(header, height=header.height + 1),
            )
        )
        return wire.encode_block(wire.Block(header, block.txs, certificate))

    def _forge(self) -> None:
        """Speak in another's name, with the only key that there is for it."""
        validators = self.ledger.validators
        other = self.random.choice(validators.validators)
        if other.name == self.name:
            return
        height, round_ = self.height + 1, max(self.consensus.machine.round, 0)
        votes = [
            replace(self.vote(VoteType.PREVOTE, height, round_, block_id), validator=other.name)
            for block_id in (None, bytes(32))
        ]
        target = self.random.choice(self.addresses() or [("", self.address)])[1]
        messages: tuple[Message, ...] = (
            wire.VoteMsg(votes[0]),
            wire.EvidenceMsg((make_evidence(*votes),)),
        )
        self.tell(target, self.random.choice(messages))

    # --- what it signs, without a guard

    def tell(self, target: str, message: Message) -> None:
        """Send something of its own making."""
        self.network.send(self, target, wire.encode_message(message))

    def key(self) -> Key:
        """The key that the chain lists for it, as far as it knows."""
        own = self.ledger.validators.get(self.name)
        second = key_of(f"{self.name}+")
        return second if own is not None and own.public_key == second.public else key_of(self.name)

    def vote(self, kind: VoteType, height: int, round_: int, block_id: bytes | None) -> Vote:
        """A signed vote."""
        vote = Vote(kind, height, round_, block_id, self.name)
        message = wire.vote_sign_bytes(self.genesis.hash, vote)
        return replace(vote, signature=PROVIDER.sign(cast(Any, self.key()), message))

    def proposal(self, like: Proposal, raw: bytes) -> wire.ProposalMsg:
        """A signed proposal of a block."""
        unsigned = replace(like, block_id=wire.decode_block(raw).block_id, signature=b"")
        message = wire.proposal_sign_bytes(self.genesis.hash, unsigned)
        return wire.ProposalMsg(
            replace(unsigned, signature=PROVIDER.sign(cast(Any, self.key()), message)), raw
        )

    def certificate(self, height: int, block_id: bytes) -> Certificate:
        """A certificate with no signature but its own."""
        vote = self.vote(VoteType.PRECOMMIT, height, 0, block_id)
        return Certificate(height, 0, block_id, (CommitSig(self.name, vote.signature),))
