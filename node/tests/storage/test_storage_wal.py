"""The consensus log: torn tails are cut, damage elsewhere is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from provnode.storage.errors import StoreError, WalCorruptError
from provnode.storage.wal import ConsensusWal
from tests.storage.smalldisk import small_disk

HEAD = 20
FRAME = 12


def filled(path: Path, records: list[bytes]) -> bytes:
    wal = ConsensusWal.open(path, 7)
    for record in records:
        wal.append(record, sync=True)
    wal.close()
    return path.read_bytes()


def test_records_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "wal"
    filled(path, [b"one", b"", b"three" * 1000])
    wal = ConsensusWal.open(path, 99)
    assert wal.height == 7
    assert wal.records == [b"one", b"", b"three" * 1000]
    wal.append(b"four", sync=False)
    wal.close()
    assert ConsensusWal.open(path, 7).records[-1] == b"four"
    assert path.stat().st_mode & 0o777 == 0o600


def test_reset_starts_anew_at_the_next_height(tmp_path: Path) -> None:
    path = tmp_path / "wal"
    filled(path, [b"old"])
    wal = ConsensusWal.open(path, 7)
    wal.reset(8)
    assert (wal.height, wal.records) == (8, [])
    wal.append(b"new", sync=True)
    wal.close()
    again = ConsensusWal.open(path, 1)
    assert (again.height, again.records) == (8, [b"new"])
    again.close()


def test_every_torn_tail_is_cut_and_writing_goes_on(tmp_path: Path) -> None:
    path = tmp_path / "wal"
    records = [b"first", b"second record", b"third"]
    raw = filled(path, records)
    last = len(raw) - FRAME - len(records[-1])
    for end in range(last, len(raw)):
        path.write_bytes(raw[:end])
        wal = ConsensusWal.open(path, 7)
        assert wal.records == records[:2]
        wal.append(b"again", sync=True)
        wal.close()
        again = ConsensusWal.open(path, 7)
        assert again.records == [*records[:2], b"again"]
        again.close()


def test_a_tail_of_zeros_is_a_torn_tail(tmp_path: Path) -> None:
    path = tmp_path / "wal"
    raw = filled(path, [b"first"])
    path.write_bytes(raw + bytes(500))
    wal = ConsensusWal.open(path, 7)
    assert wal.records == [b"first"]
    assert path.stat().st_size == len(raw)
    wal.close()


def test_a_tail_of_which_only_the_beginning_was_written_is_cut(tmp_path: Path) -> None:
    """Several records that were not synced; the power went when the file had grown for all of them."""
    path = tmp_path / "wal"
    records = [b"first", b"second record", b"third", b"", b"fifth"]
    raw = filled(path, records)
    synced = HEAD + FRAME + len(records[0])
    for end in range(synced, len(raw)):
        path.write_bytes(raw[:end] + bytes(len(raw) - end))
        wal = ConsensusWal.open(path, 7)
        assert wal.records == records[: len(wal.records)]
        assert wal.records[:1] == records[:1]
        wal.append(b"again", sync=True)
        wal.close()
        again = ConsensusWal.open(path, 7)
        assert again.records == [*wal.records, b"again"]
        again.close()


def test_any_flipped_bit_before_the_last_record_is_refused_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "wal"
    records = [b"first", b"second record", b"third"]
    raw = filled(path, records)
    for offset in range(len(raw) - FRAME - len(records[-1])):
        for bit in (0, 7):
            bad = bytearray(raw)
            bad[offset] ^= 1 << bit
            path.write_bytes(bad)
            with pytest.raises(StoreError) as error:
                ConsensusWal.open(path, 7)
            if error.value.code == "format":
                assert 5 <= offset < 8  # the version in the magic
                continue
            assert isinstance(error.value, WalCorruptError)
            assert 0 <= error.value.offset <= offset
            assert str(path) in str(error.value)
            assert path.read_bytes() == bytes(bad)


def test_a_flip_in_the_last_record_never_gives_a_wrong_record(tmp_path: Path) -> None:
    path = tmp_path / "wal"
    records = [b"first", b"last one"]
    raw = filled(path, records)
    for offset in range(len(raw) - FRAME - len(records[-1]), len(raw)):
        bad = bytearray(raw)
        bad[offset] ^= 0x10
        path.write_bytes(bad)
        try:
            wal = ConsensusWal.open(path, 7)
        except WalCorruptError:
            continue
        assert wal.records == [b"first"]
        wal.close()


def test_an_empty_or_foreign_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "wal"
    for raw in (b"", b"short", b"SQLite format 3\x00" * 3):
        path.write_bytes(raw)
        with pytest.raises(WalCorruptError):
            ConsensusWal.open(path, 7)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(records=st.lists(st.binary(max_size=80), max_size=8), cut=st.integers(0, 900))
def test_a_cut_anywhere_leaves_a_prefix(tmp_path: Path, records: list[bytes], cut: int) -> None:
    path = tmp_path / "wal"
    path.unlink(missing_ok=True)
    raw = filled(path, records)
    path.write_bytes(raw[: max(HEAD, cut)])
    wal = ConsensusWal.open(path, 7)
    assert wal.records == records[: len(wal.records)]
    if cut >= len(raw):
        assert wal.records == records
    wal.close()


def test_a_full_disk_adds_nothing_and_a_retry_succeeds(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 64) as place:
        ballast = place / "ballast"
        ballast.write_bytes(bytes(20_000))
        wal = ConsensusWal.open(place / "wal", 1)
        wal.append(b"kept", sync=True)
        with pytest.raises(StoreError) as error:
            wal.append(bytes(50_000), sync=True)
        assert error.value.code == "disk_full"
        ballast.unlink()
        wal.append(bytes(50_000), sync=True)
        wal.close()
        again = ConsensusWal.open(place / "wal", 1)
        assert again.records == [b"kept", bytes(50_000)]
        again.close()
