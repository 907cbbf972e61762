"""What a validator writes down before it speaks: the same after a restart, and never two things."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from provnode import wire
from provnode.core.events import Event, ProposalReceived, Start, TimeoutFired, ValueReady, VoteReceived
from provnode.core.guard import GuardError
from provnode.core.types import Proposal, Step, Validator, ValidatorSet, Vote, VoteType
from provnode.crypto.hashing import pack
from provnode.crypto.provider import get_provider
from provnode.crypto.sealed import Kek
from provnode.ops.journal import _BLOCK, Journal
from provnode.ops.signer import Signer
from provnode.storage.errors import StoreError, WalCorruptError
from provnode.storage.sealing import Keyring, journal_row
from provnode.storage.signed import SignedStore
from provnode.storage.wal import ConsensusWal

BLOCK, OTHER, GENESIS = bytes(32), bytes([1]) * 32, bytes([2]) * 32
VOTE = Vote(VoteType.PREVOTE, 3, 0, BLOCK, "v1")
PROPOSAL = Proposal(3, 0, -1, BLOCK, "v1")
EVENTS: list[Event] = [
    Start(),
    ValueReady(3, 0, BLOCK),
    ProposalReceived(replace(PROPOSAL, signature=b"s"), valid=True),
    ProposalReceived(replace(PROPOSAL, round=1, signature=b"s"), valid=False),
    VoteReceived(replace(VOTE, signature=b"s")),
    VoteReceived(replace(VOTE, block_id=None, type=VoteType.PRECOMMIT, signature=b"s")),
    TimeoutFired(Step.PRECOMMIT, 3, 0),
]


def test_events_and_blocks_come_back_in_order(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "wal", 3)
    journal.block(BLOCK, b"raw")
    for event in EVENTS:
        journal.event(event)
        journal.block(BLOCK, b"raw")
    journal.sync()
    journal.close()
    assert Journal(tmp_path / "wal", 3).replay() == (EVENTS, {BLOCK: b"raw"})


def test_blocks_lie_there_sealed(tmp_path: Path) -> None:
    keyring = Keyring(tmp_path / "keyring", Kek(bytes(16), get_provider("openssl")))
    journal = Journal(tmp_path / "wal", 3, keyring)
    journal.block(BLOCK, b"the block's own bytes")
    keyring.add()
    journal.block(OTHER, b"the other's own bytes")
    journal.sync()
    journal.close()
    assert b"own bytes" not in (tmp_path / "wal").read_bytes()
    again = Journal(tmp_path / "wal", 3, keyring)
    assert again.replay() == ([], {BLOCK: b"the block's own bytes", OTHER: b"the other's own bytes"})
    again.close()
    # one block's bytes in the place of another's
    wal = ConsensusWal.open(tmp_path / "swapped", 3)
    wal.append(pack([_BLOCK, OTHER, keyring.seal(journal_row(BLOCK), b"raw")]), sync=True)
    wal.close()
    with pytest.raises(StoreError):
        Journal(tmp_path / "swapped", 3, keyring).replay()


def test_another_height_begins_empty(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "wal", 3)
    journal.event(Start())
    journal.close()
    assert Journal(tmp_path / "wal", 4).replay() == ([], {})
    journal = Journal(tmp_path / "wal", 4)
    journal.event(Start())
    journal.reset(5)
    journal.close()
    assert Journal(tmp_path / "wal", 5).replay() == ([], {})


@pytest.mark.parametrize("record", [b"", b"\xc1", b"\x91\x09", b"\x92\x03\xa1x", b"\x93\x02\xc4\x01x\x01"])
def test_a_record_that_means_nothing_is_refused(tmp_path: Path, record: bytes) -> None:
    wal = ConsensusWal.open(tmp_path / "wal", 3)
    wal.append(record, sync=True)
    wal.close()
    with pytest.raises(WalCorruptError):
        Journal(tmp_path / "wal", 3).replay()


def test_a_signer_repeats_itself_but_never_contradicts_itself(tmp_path: Path) -> None:
    provider = get_provider("openssl")
    key = provider.generate()

    def signer() -> Signer:
        found = Signer("v1", [key], provider, SignedStore(tmp_path / "signed"), GENESIS)
        assert found.take_part(ValidatorSet((Validator("v1", "zjex", public),)), 1) == "v1"
        return found

    public = provider.public_key(key)
    first = signer().proposal(PROPOSAL)
    assert provider.verify(public, wire.proposal_sign_bytes(GENESIS, PROPOSAL), first.signature)
    vote = signer().vote(VOTE)
    assert provider.verify(public, wire.vote_sign_bytes(GENESIS, VOTE), vote.signature)
    after_restart = signer()
    assert after_restart.vote(VOTE) == vote
    for wrong in (
        replace(VOTE, block_id=OTHER),
        replace(VOTE, block_id=None),
        replace(VOTE, height=2, round=9),
    ):
        with pytest.raises(GuardError):
            after_restart.vote(wrong)
    with pytest.raises(GuardError):
        after_restart.proposal(PROPOSAL)  # its step is over
    assert after_restart.vote(replace(VOTE, type=VoteType.PRECOMMIT, block_id=None)).signature


def test_a_signer_signs_with_the_key_that_the_height_lists_or_not_at_all(tmp_path: Path) -> None:
    provider = get_provider("openssl")
    old, new, foreign = (provider.generate() for _ in range(3))
    signer = Signer("v1", [old, new], provider, SignedStore(tmp_path / "signed"), GENESIS)
    for height, key in ((3, old), (4, new)):
        assert signer.take_part(ValidatorSet((Validator("v1", "zjex", key.public),)), 1) == "v1"
        vote = replace(VOTE, height=height)
        message = wire.vote_sign_bytes(GENESIS, vote)
        assert provider.verify(key.public, message, signer.vote(vote).signature)
    for others in (Validator("v1", "zjex", foreign.public), Validator("v2", "zjex", new.public)):
        assert signer.take_part(ValidatorSet((others,)), 1) is None
        with pytest.raises(GuardError, match="no vote"):
            signer.vote(replace(VOTE, height=5))
