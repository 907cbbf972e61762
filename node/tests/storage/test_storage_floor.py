"""A restored validator stays silent where it may have signed before."""

from __future__ import annotations

from pathlib import Path

import pytest
from provnode.core.types import Validator, ValidatorSet
from provnode.storage.errors import StoreError
from provnode.storage.floor import SigningFloor

VALIDATORS = ValidatorSet(
    tuple(Validator(f"v{n}", f"o{n}", bytes([4, n]) * 32 + b"\0", 1) for n in range(1, 5))
)


def allows(path: Path, height: int, **told: int) -> bool:
    # read anew each time: it outlives the process
    return SigningFloor(path).allows(height, "v1", VALIDATORS, told)


def test_without_a_record_there_is_no_floor(tmp_path: Path) -> None:
    assert allows(tmp_path / "floor", 1)


def test_it_is_found_out_from_a_quorum_of_others_and_then_stays(tmp_path: Path) -> None:
    path = tmp_path / "floor"
    SigningFloor(path).set(None)
    assert not allows(path, 10**9)
    assert not allows(path, 10**9, v2=5, v3=5)
    assert not allows(path, 10**9, v1=5, v2=5, v3=5)  # its own word does not count
    assert not allows(path, 10**9, v2=5, v3=5, n1=5)  # nor one without a vote
    assert [allows(path, height, v2=5, v3=7, v4=4) for height in (9, 10)] == [False, True]
    # later words change nothing
    assert [allows(path, height, v2=50, v3=70, v4=40) for height in (9, 10, 11)] == [False, True, True]


def test_operators_may_state_it(tmp_path: Path) -> None:
    SigningFloor(tmp_path / "floor").set(8)
    assert [allows(tmp_path / "floor", height) for height in (7, 8)] == [False, True]


def test_a_damaged_record_is_refused(tmp_path: Path) -> None:
    (tmp_path / "floor").write_text("{}")
    with pytest.raises(StoreError):
        SigningFloor(tmp_path / "floor")
