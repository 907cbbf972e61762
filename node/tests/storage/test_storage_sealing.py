"""The ledger at rest: sealed, bound to its rows, and sealed anew under another key while it is used."""

from __future__ import annotations

import os
import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from provnode.crypto import get_provider
from provnode.crypto.sealed import Kek
from provnode.storage import backup, rekey
from provnode.storage.errors import StoreError
from provnode.storage.sealing import Keyring, block_row, object_row
from provnode.storage.store import Store
from tests.storage.rekeyer import BLOCK, KEK, SECRET, block, place, verify

PROVIDER = get_provider("openssl")
OTHER = Kek(bytes(16), PROVIDER)
HERE = Path(__file__).with_name("rekeyer.py")
KILLS = 20


def filled(folder: Path, heights: int = 8) -> tuple[Store, Keyring]:
    store, keyring = place(folder)
    for height in range(1, heights + 1):
        store.commit(block(height))
    return store, keyring


def on_the_disk(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


def test_nothing_of_blocks_and_objects_is_readable_on_the_disk(tmp_path: Path) -> None:
    store, _ = filled(tmp_path)
    verify(store, 8)
    assert SECRET not in on_the_disk(tmp_path)  # in the log
    store.close()
    assert SECRET not in on_the_disk(tmp_path)  # and in the file that it is folded into
    # the search finds what is there in the clear
    plain = Store(tmp_path / "plain.sqlite")
    plain.commit(block(1))
    plain.close()
    assert SECRET in on_the_disk(tmp_path)


def test_it_opens_again_with_its_keyring(tmp_path: Path) -> None:
    filled(tmp_path)[0].close()
    store, _ = place(tmp_path)
    verify(store, 8)
    store.close()


def refusal(folder: Path, kek: Kek | None = KEK) -> StoreError:
    with pytest.raises(StoreError) as caught:
        if kek is None:
            Store(folder / "chain.sqlite")
        else:
            Store(folder / "chain.sqlite", Keyring(folder / "keyring", kek))
    return caught.value


def test_a_store_that_can_not_be_read_is_refused_at_the_start(tmp_path: Path) -> None:
    filled(tmp_path)[0].close()
    keyring = tmp_path / "keyring"
    raw = keyring.read_bytes()
    assert "found sealed, as this node is configured it is plain" in refusal(tmp_path, None).message
    found = refusal(tmp_path, OTHER)
    assert (found.code, "this host has" in found.message) == ("key", True)
    keyring.unlink()
    found = refusal(tmp_path)
    assert found.code == "key" and "sealed under data keys" in found.message
    keyring.write_bytes(raw)
    Store(tmp_path / "plain.sqlite").close()
    with pytest.raises(StoreError, match="found plain"):
        Store(tmp_path / "plain.sqlite", Keyring(keyring, KEK))
    verify(place(tmp_path)[0], 8)


def test_a_damaged_keyring_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keyring"
    Keyring(path, KEK)
    raw = path.read_bytes()
    head, line = raw.splitlines()
    number, text = line.split(b" ")
    wrong = [raw[:length] for length in range(len(raw) - 1)]
    wrong += [b"", b"\xff", raw + raw, head + b" 1\n" + line, raw.replace(b"ring-1", b"ring-2")]
    # another number for the same key, and a changed byte
    wrong += [raw.replace(number, b"12"), head + b"\n" + number + b" " + b"A" + text[1:]]
    for damaged in (one for one in wrong if one != raw and one != raw[:-1]):
        path.write_bytes(damaged)
        with pytest.raises(StoreError) as caught:
            Keyring(path, KEK)
        assert caught.value.code in {"corrupt", "key"}, damaged


def test_values_can_not_be_swapped_or_changed(tmp_path: Path) -> None:
    filled(tmp_path)[0].close()
    with sqlite3.connect(tmp_path / "chain.sqlite") as db:
        db.execute("UPDATE blocks SET raw = (SELECT raw FROM blocks WHERE height = 2) WHERE height = 1")
        db.execute("UPDATE objects SET snapshot = submitted WHERE height = 1")
        (raw,) = db.execute("SELECT raw FROM blocks WHERE height = 3").fetchone()
        db.execute("UPDATE blocks SET raw = ? WHERE height = 3", (raw[:-1] + bytes([raw[-1] ^ 1]),))
        db.execute("UPDATE blocks SET raw = ? WHERE height = 4", (raw[:10],))
        db.execute("UPDATE blocks SET raw = ? WHERE height = 5", (bytes(4) + raw[4:],))
    db.close()
    store, _ = place(tmp_path)
    for height, code in ((1, "corrupt"), (3, "corrupt"), (4, "corrupt"), (5, "key")):
        with pytest.raises(StoreError) as caught:
            store.block(height)
        assert caught.value.code == code
    with pytest.raises(StoreError):
        store.version("o-1", 0)
    verify(store, 8, first=6)
    store.close()


def test_a_new_data_key_takes_over_while_blocks_are_committed(tmp_path: Path) -> None:
    store, keyring = filled(tmp_path)
    (old,) = keyring.numbers
    with pytest.raises(StoreError):  # what is not sealed yet under the new key opens only with the old one
        Keyring(tmp_path / "other", KEK).open(block_row(1), keyring.seal(block_row(1), BLOCK))
    reader = store.frozen()
    new = rekey.begin(store, keyring)
    assert keyring.current == new != old and set(keyring.numbers) == {old, new}
    work = rekey.Pass(store, keyring)
    height = 8
    while work.step():
        height += height < 12
        if height <= 12 and store.height() < height:
            store.commit(block(height))
        verify(store, store.height())
    rekey.end(store, keyring)
    assert keyring.numbers == (new,)
    assert work.done >= work.rows == 16
    verify(store, store.height())
    verify(reader, 8)  # who reads an older state is served to the end
    reader.close()
    store.close()
    again, keyring = place(tmp_path)
    assert keyring.numbers == (new,)
    verify(again, again.height())
    again.close()
    with sqlite3.connect(tmp_path / "chain.sqlite") as db:
        values = [row[0] for row in db.execute("SELECT raw FROM blocks")]
        values += [one for row in db.execute("SELECT snapshot, submitted FROM objects") for one in row]
    db.close()
    assert {int.from_bytes(value[:4], "big") for value in values} == {new}


def test_a_full_disk_leaves_no_row_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A step that was undone is done again: it has not been counted as done."""
    store, keyring = filled(tmp_path)
    rekey.begin(store, keyring)
    work = rekey.Pass(store, keyring)
    with monkeypatch.context() as full:
        full.setattr(keyring, "seal", lambda row, value: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            work.step()
    while work.step():
        pass
    rekey.end(store, keyring)
    store.close()
    verify(place(tmp_path)[0], 8)


def test_a_row_is_named_by_all_that_tells_it() -> None:
    rows = [
        block_row(1),
        block_row(11),
        *(object_row(c, i, v) for c in "ab" for i in ("1", "1 1") for v in (1, 11)),
    ]
    assert len(set(rows)) == len(rows)


def test_kill_9_at_any_moment_of_a_change_loses_nothing(tmp_path: Path) -> None:
    chance = random.Random(20261123)
    changes, height = set(), 0
    for _ in range(KILLS):
        child = subprocess.Popen(
            [sys.executable, HERE, tmp_path],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == b"ready\n"
            with pytest.raises(subprocess.TimeoutExpired):
                child.wait(chance.uniform(0.0, 0.15))
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait()
        told = [
            line.split() for line in child.stdout.read().splitlines(keepends=True) if line.endswith(b"\n")
        ]
        height = max([height, *(int(line[1]) for line in told if line[0] == b"block")])
        store, keyring = place(tmp_path)
        changes.add(keyring.current)
        assert store.height() >= height
        verify(store, store.height())
        store.close()
    assert len(changes) > KILLS // 2, "few changes were under way when the process was killed"
    store, keyring = place(tmp_path)
    work = rekey.Pass(store, keyring)
    while work.step():
        pass
    rekey.end(store, keyring)
    verify(store, store.height())
    store.close()


def test_a_backup_has_the_keys_of_its_store_though_they_change_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, keyring = filled(tmp_path)
    store.bind(bytes(32))
    copy = backup._copy
    changes: list[int] = []

    def change(*paths: Path) -> backup.Copied:
        if len(changes) < 2:
            changes.append(rekey.begin(store, keyring))
            store.commit(block(store.height() + 1))
        return copy(*paths)

    monkeypatch.setattr(backup, "_copy", change)
    backup.write_backup(tmp_path, tmp_path / "backup")
    assert len(changes) == 2
    (tmp_path / "to").mkdir()
    backup.unpack(tmp_path / "backup", tmp_path / "to")
    again, _ = place(tmp_path / "to")
    verify(again, 10)
    again.close()
    changes.clear()
    monkeypatch.setattr(backup, "_ATTEMPTS", 2)
    with pytest.raises(StoreError, match="the data key is being changed"):
        backup.write_backup(tmp_path, tmp_path / "backup2")
    assert not list(tmp_path.glob("backup2*"))
    store.close()
