"""A whole store is found whole; every damage is found and named."""

from __future__ import annotations

import shutil
import sqlite3
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from provnode import wire
from provnode.ledger import tree
from provnode.ledger.app import Ledger
from provnode.ledger.canonical import JsonObject
from provnode.ledger.fsck import Damage, fsck
from provnode.ledger.membership import Action
from provnode.ledger.snapshot import rebuild
from provnode.ledger.views import Views
from provnode.storage.store import Store
from tests.ledger.ledgerkit import item
from tests.ledger.test_snapshot import CHAIN, grow, make


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("whole") / "s.db"
    ledger = CHAIN.ledger(path)
    grow(ledger)
    CHAIN.enact(ledger, Action.SUSPEND, "v4")
    CHAIN.grow(ledger, CHAIN.tx(item("last")))
    ledger.store.close()
    return path


def check(path: Path) -> list[Damage]:
    store = Store(path)
    try:
        return fsck(store, CHAIN.genesis, CHAIN.provider)
    finally:
        store.close()


def test_a_whole_store_is_whole(whole: Path) -> None:
    assert check(whole) == []


def test_so_are_an_empty_one_and_one_that_was_joined(tmp_path: Path, whole: Path) -> None:
    CHAIN.ledger(tmp_path / "e.db").store.close()
    assert check(tmp_path / "e.db") == []
    made = make(Ledger(Store(whole), CHAIN.genesis, CHAIN.provider))
    rebuild(made.manifest, made.chunks, CHAIN.genesis, CHAIN.provider, tmp_path / "j.db")
    assert check(tmp_path / "j.db") == []


# a bit turned in the middle of a value, whatever its type
def flip(db: sqlite3.Connection, table: str, column: str, where: str) -> None:
    ((value,),) = db.execute(f"SELECT {column} FROM {table} WHERE {where}")  # noqa: S608 - names from below
    if isinstance(value, int):
        bad: object = value ^ 1
    elif isinstance(value, str):
        bad = value[:-1] + chr(ord(value[-1]) ^ 1)
    else:
        bad = value[: len(value) // 2] + bytes([value[len(value) // 2] ^ 1]) + value[len(value) // 2 + 1 :]
    db.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (bad,))  # noqa: S608


O3 = "object_id = 'o-3' AND version = 0"
BLOCK = "height = 3"
FLIPS = [
    ("meta", "value", "name = 'genesis'", "meta"),
    ("blocks", "block_id", BLOCK, "blocks"),
    ("blocks", "raw", BLOCK, "blocks"),
    ("blocks", "certificate", BLOCK, "blocks"),
    ("transactions", "txid", "height = 3 AND position = 0", "transactions"),
    ("transactions", "height", "height = 3 AND position = 0", "transactions"),
    ("transactions", "position", "height = 3 AND position = 0", "transactions"),
    ("heads", "type", "object_id = 'o-3'", "heads"),
    ("heads", "organisation", "object_id = 'o-3'", "objects"),
    ("heads", "latest", "object_id = 'o-3'", "heads"),
    ("heads", "deleted", "object_id = 'o-2'", "objects"),
    ("objects", "snapshot", O3, "objects"),
    ("objects", "submitted", O3, "objects"),
    ("objects", "writers", O3, "objects"),
    ("objects", "height", O3, "objects"),
    ("users", "organisation", "1", "users"),
    ("users", "public_key", "1", "users"),
    ("users", "height", "1", "users"),
    ("state", "value", "kind = 'membership'", "state"),
    ("handovers", "header", "height = (SELECT min(height) FROM handovers)", "handovers"),
    ("handovers", "certificate", "height = (SELECT min(height) FROM handovers)", "handovers"),
    ("handovers", "validators", "height = (SELECT min(height) FROM handovers)", "handovers"),
    ("nodes", "node", "place = (SELECT min(place) FROM nodes)", "nodes"),
    ("nodes", "place", "place = (SELECT min(place) FROM nodes)", "nodes"),
]


@pytest.mark.parametrize(("table", "column", "where", "named"), FLIPS)
def test_a_turned_bit_is_named(
    whole: Path, tmp_path: Path, table: str, column: str, where: str, named: str
) -> None:
    path = Path(shutil.copy(whole, tmp_path / "s.db"))
    with sqlite3.connect(path) as db:
        flip(db, table, column, where)
    db.close()
    damage = check(path)
    assert named in {one.table for one in damage}, damage


@pytest.mark.parametrize(
    ("table", "where", "named"),
    [
        ("blocks", BLOCK, "blocks"),
        ("blocks", "height = (SELECT max(height) FROM blocks)", "state root"),
        ("transactions", "height = 3 AND position = 0", "transactions"),
        ("heads", "object_id = 'o-3'", "heads"),
        ("objects", O3, "state tree"),
        ("objects", "object_id = 'o-1' AND version = 0", "objects"),
        ("users", "1", "state tree"),
        ("state", "kind = 'membership'", "state tree"),
        ("handovers", "height = (SELECT min(height) FROM handovers)", "blocks"),
        ("nodes", "place = (SELECT min(place) FROM nodes)", "nodes"),
        ("meta", "name = 'genesis'", "meta"),
    ],
)
def test_a_missing_row_is_named(whole: Path, tmp_path: Path, table: str, where: str, named: str) -> None:
    path = Path(shutil.copy(whole, tmp_path / "s.db"))
    with sqlite3.connect(path) as db:
        db.execute(f"DELETE FROM {table} WHERE {where}")  # noqa: S608 - names from above
    db.close()
    damage = check(path)
    assert named in {one.table for one in damage}, damage


@pytest.mark.parametrize(
    ("table", "key", "values", "rows", "named"),
    [
        ("blocks", "height", "raw", (2, 3), "blocks"),
        ("blocks", "height", "certificate", (2, 3), "blocks"),
        ("objects", "object_id", "snapshot", ("o-4", "o-5"), "objects"),
        ("heads", "object_id", "organisation, latest, deleted", ("o-2", "o-5"), "heads"),
    ],
)
def test_swapped_rows_are_named(
    whole: Path, tmp_path: Path, table: str, key: str, values: str, rows: tuple[object, object], named: str
) -> None:
    path = Path(shutil.copy(whole, tmp_path / "s.db"))
    with sqlite3.connect(path) as db:
        first, second = (
            db.execute(f"SELECT {values} FROM {table} WHERE {key} = ?", (row,)).fetchone()  # noqa: S608
            for row in rows
        )
        marks = ", ".join(f"{name} = ?" for name in values.split(", "))
        for row, found in ((rows[0], second), (rows[1], first)):
            db.execute(f"UPDATE {table} SET {marks} WHERE {key} = ?", (*found, row))  # noqa: S608
    db.close()
    damage = check(path)
    assert {str(row) in one.row for one in damage for row in rows if one.table == named} >= {True}, damage


def test_a_certificate_of_too_few_is_named(whole: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(whole, tmp_path / "s.db"))
    ledger = Ledger(Store(path), CHAIN.genesis, CHAIN.provider)
    raw = ledger.stored_block(2)[0]

    few = wire.encode_certificate(CHAIN.certificate(raw, ("v1", "v2")))
    ledger.store.close()
    with sqlite3.connect(path) as db:
        db.execute("UPDATE blocks SET certificate = ? WHERE height = 2", (few,))
    db.close()
    damage = check(path)
    assert [(one.table, one.row) for one in damage] == [("blocks", "2")]
    assert "power 2 signed" in damage[0].problem


def test_proofs_are_verified_by_the_light_client(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = tree.find

    def wrong(*asked: Any) -> tree.Path:  # noqa: ANN401 - passed on
        path = found(*asked)
        return replace(path, siblings=path.siblings[1:])

    monkeypatch.setattr(tree, "find", wrong)
    named = {one.row for one in check(whole) if one.table == "proofs"}
    assert {"o-3 version 0", "o-1 version 1", "user u1@zjex", "membership "} <= named
    assert len(named) > 30


def test_an_absence_is_proven_too(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proven = Views.prove_absence

    def wrong(self: Views, *asked: Any, **more: Any) -> JsonObject:  # noqa: ANN401 - passed on
        return proven(self, *asked, **more) | {"other_leaf": None}

    monkeypatch.setattr(Views, "prove_absence", wrong)
    assert [(one.table, one.row[:3]) for one in check(whole)] == [("proofs", "000")]
