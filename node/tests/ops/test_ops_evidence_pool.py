"""The pool of evidence: verified before kept, bounded, on the disk, gone when committed or too old."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from provnode import wire
from provnode.core.types import ValidatorSet
from provnode.ops.evidence import EvidencePool
from provnode.storage.errors import StoreError
from tests.ledger.evidencekit import Liar
from tests.ledger.ledgerkit import Chain
from tests.storage.smalldisk import small_disk

CHAIN = Chain()
LIARS = {name: Liar(name, key, CHAIN.genesis.hash, CHAIN.provider) for name, key in CHAIN.keys.items()}
V4 = LIARS["v4"]


class Ledger:
    """A chain of some height, with what it records."""

    def __init__(self) -> None:
        self.height = 10
        self.recorded: set[str] = set()

    def validators_at(self, height: int) -> ValidatorSet:
        assert height <= self.height + 1
        return CHAIN.genesis.validators

    def has_evidence(self, evidence_id: str) -> bool:
        return evidence_id in self.recorded


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def pool(path: Path, ledger: Ledger) -> EvidencePool:
    return EvidencePool(path / "evidence", ledger, CHAIN.genesis.hash, CHAIN.provider)


def test_evidence_is_kept_once_survives_and_leaves_when_committed(tmp_path: Path, ledger: Ledger) -> None:
    kept = pool(tmp_path, ledger)
    later, earlier = V4.double_vote(height=11), V4.double_vote(height=9)
    assert kept.add(later) and kept.add(earlier)
    assert not kept.add(earlier) and not kept.add(V4.double_vote(height=9))
    assert kept.pending() == (earlier, later)
    again = pool(tmp_path, ledger)  # the process was killed
    assert again.pending() == (earlier, later)
    ledger.recorded.add(earlier.id)
    again.settle()
    assert again.pending() == (later,) and not again.add(earlier)
    assert pool(tmp_path, ledger).pending() == (later,)
    ledger.height = later.height + wire.MAX_EVIDENCE_AGE
    assert pool(tmp_path, ledger).pending() == ()


def test_what_does_not_hold_is_refused_and_what_can_not_be_judged_is_left(
    tmp_path: Path, ledger: Ledger
) -> None:
    kept = pool(tmp_path, ledger)
    forged = Liar("v4", CHAIN.provider.generate(), CHAIN.genesis.hash, CHAIN.provider).double_vote()
    stranger = Liar("v9", CHAIN.keys["v4"], CHAIN.genesis.hash, CHAIN.provider).double_vote()
    other_chain = Liar("v4", CHAIN.keys["v4"], bytes(32), CHAIN.provider).double_vote()
    wrong_turn = next(
        LIARS[name].double_proposal(height=5)
        for name in LIARS
        if name != CHAIN.genesis.validators.proposer(5, 0)
    )
    for wrong in (forged, stranger, other_chain, wrong_turn):
        with pytest.raises(wire.EvidenceError):
            kept.add(wrong)
    assert not kept.add(V4.double_vote(height=12))  # to come
    ledger.height = wire.MAX_EVIDENCE_AGE + 1
    assert not kept.add(V4.double_vote(height=1))  # too old
    assert kept.add(V4.double_vote(height=2))
    assert len(kept) == 1


def test_it_is_bounded_in_all_and_for_each_validator(tmp_path: Path, ledger: Ledger) -> None:
    kept = pool(tmp_path, ledger)
    taken = [kept.add(V4.double_vote(round_=n)) for n in range(10)]
    assert taken == [True] * 8 + [False] * 2
    assert kept.add(LIARS["v3"].double_vote())
    ledger.recorded.add(V4.double_vote().id)
    kept.settle()
    assert [kept.add(V4.double_vote(round_=n)) for n in (8, 9)] == [True, False]


def test_the_bound_in_all(tmp_path: Path, ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("provnode.ops.evidence._MOST", 3)
    kept = pool(tmp_path, ledger)
    assert [kept.add(one.double_vote()) for one in LIARS.values()] == [True, True, True, False]
    assert len(pool(tmp_path, ledger)) == 3


def test_a_full_disk_keeps_nothing_and_forgets_nothing(tmp_path: Path, ledger: Ledger) -> None:
    with small_disk(tmp_path / "disk", 64) as disk:
        kept = pool(disk, ledger)
        assert kept.add(V4.double_vote())
        filler = disk / "filler"
        with contextlib.suppress(OSError), filler.open("wb", buffering=0) as out:
            while True:
                out.write(bytes(1024))
        with pytest.raises(StoreError) as error:
            kept.add(V4.double_vote(round_=1))
        assert error.value.code == "disk_full" and len(kept) == len(pool(disk, ledger)) == 1
        filler.unlink()
        assert kept.add(V4.double_vote(round_=1)) and len(pool(disk, ledger)) == 2


def test_a_damaged_file_is_said(tmp_path: Path, ledger: Ledger) -> None:
    kept = pool(tmp_path, ledger)
    kept.add(V4.double_vote())
    whole = (tmp_path / "evidence").read_bytes()
    for wrong in (whole[:-1], b"", b"\x91\xc4\x01x", whole.replace(b"v4", b"v3", 1)):
        (tmp_path / "evidence").write_bytes(wrong)
        with pytest.raises(StoreError) as error:
            pool(tmp_path, ledger)
        assert error.value.code == "corrupt"
