"""The last-signed record: replaced whole, never half."""

from __future__ import annotations

from pathlib import Path

import pytest
from provnode.core.guard import Signed
from provnode.storage.errors import StoreError
from provnode.storage.signed import SignedStore
from tests.storage.smalldisk import small_disk

FIRST = Signed(5, 0, 1, b"\x00what was signed\xff", b"signature")


def test_there_is_none_before_the_first_signature(tmp_path: Path) -> None:
    assert SignedStore(tmp_path / "signed").load() is None


def test_the_newest_record_comes_back(tmp_path: Path) -> None:
    store = SignedStore(tmp_path / "signed")
    store.save(FIRST)
    newer = Signed(5, 1, 2, b"b", b"s")
    store.save(newer)
    assert SignedStore(tmp_path / "signed").load() == newer
    assert (tmp_path / "signed").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["signed"]


@pytest.mark.parametrize(
    "raw", [b"", b"{}", b"[1,2,3]", b'[5,0,1,"AA==","AA==",7]', b'["5",0,1,"",""]', b"\xff"]
)
def test_damage_is_never_taken_for_no_record(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "signed"
    path.write_bytes(raw)
    with pytest.raises(StoreError) as error:
        SignedStore(path).load()
    assert error.value.code == "corrupt"


def test_half_a_replacement_leaves_the_old_record(tmp_path: Path) -> None:
    store = SignedStore(tmp_path / "signed")
    store.save(FIRST)
    (tmp_path / "signed.new").write_bytes(b"[6,0,")  # killed while writing
    assert store.load() == FIRST
    store.save(Signed(6, 0, 1, b"", b""))
    assert store.load() == Signed(6, 0, 1, b"", b"")


def test_a_full_disk_keeps_the_old_record(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 32) as place:
        store = SignedStore(place / "signed")
        store.save(FIRST)
        (place / "ballast").write_bytes(bytes(28_672))
        with pytest.raises(StoreError) as error:
            store.save(Signed(6, 0, 1, b"x" * 9000, b"y"))
        assert error.value.code == "disk_full"
        assert store.load() == FIRST
        (place / "ballast").unlink()
        store.save(Signed(6, 0, 1, b"x" * 9000, b"y"))
