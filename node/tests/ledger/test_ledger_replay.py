"""No transaction is applied twice, whatever the node has kept of the chain's past."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from provnode import wire
from provnode.ledger import lifecycle, merkle
from provnode.ledger.app import Ledger
from provnode.ledger.canonical import JsonObject
from provnode.ledger.errors import BlockError, TxCode, TxError
from provnode.ledger.transactions import KIND_REGISTER_USER, registration_body
from tests.ledger.ledgerkit import Chain, item

CHAIN = Chain()
USER = CHAIN.provider.generate()


def register() -> bytes:
    body = registration_body(CHAIN.provider, USER, "u1@zjex", CHAIN.genesis.hash)
    return CHAIN.tx(body, kind=KIND_REGISTER_USER)


def of(version: int = 0, operation: str = "create", body: JsonObject | None = None) -> Callable[[], bytes]:
    return lambda: CHAIN.tx(item("o-1", version, operation, body))


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return CHAIN.ledger(tmp_path / "s.db")


def forget_the_past(ledger: Ledger) -> None:
    """As on a node that joined by a snapshot: the index knows none of the earlier transactions."""
    with sqlite3.connect(ledger.store.path) as db:
        db.execute("DELETE FROM transactions")


def refusal(ledger: Ledger, raw: bytes) -> TxCode:
    """By the check before the mempool; a block must leave it out as well."""
    block = ledger.build_block(ledger.last_time_ms + 1, "v1", [raw])
    assert ledger.validate_block(block, 2**50).txs == ()
    with pytest.raises(TxError) as error:
        ledger.check_tx(raw)
    return error.value.code


@pytest.mark.parametrize(
    ("make", "code"),
    [
        (of(), TxCode.EXISTS),
        (of(1, "update", {"amount": 1}), TxCode.STALE_VERSION),
        (of(0, "overwrite", {"title": "二"}), TxCode.DUPLICATE),
        (of(1, "delete", {}), TxCode.DELETED),
        (register, TxCode.USER_EXISTS),
    ],
    ids=["create", "update", "overwrite", "delete", "registration"],
)
@pytest.mark.parametrize("forgotten", [False, True])
def test_each_operation_once(
    ledger: Ledger, make: Callable[[], bytes], code: TxCode, forgotten: bool
) -> None:
    raw = make()
    if code is not TxCode.EXISTS:
        CHAIN.extend(ledger, item())
    CHAIN.extend(ledger, raws=[raw])
    if forgotten:
        forget_the_past(ledger)
    assert refusal(ledger, raw) == (code if forgotten else TxCode.DUPLICATE)
    CHAIN.extend(ledger, item("o-2"))
    assert refusal(ledger, raw) == (code if forgotten else TxCode.DUPLICATE)


def test_an_overwrite_does_not_come_back_after_another(ledger: Ledger) -> None:
    first, second = (CHAIN.tx(item("o-1", 1, "overwrite", {"title": title})) for title in "二三")
    CHAIN.extend(ledger, item(), item("o-1", 1, "update", {"amount": 1}))
    CHAIN.extend(ledger, raws=[first])
    CHAIN.extend(ledger, raws=[second, CHAIN.tx(item("o-1", 0, "overwrite", {"title": "四"}))])
    forget_the_past(ledger)
    assert refusal(ledger, first) == refusal(ledger, second) == TxCode.DUPLICATE
    row = ledger.store.version("o-1", 1)
    assert row is not None
    assert (len(row.writers), row.txid) == (3, row.writers[-1])


def test_a_block_with_a_replay_is_refused_by_old_and_new_nodes_alike(ledger: Ledger) -> None:
    raw = CHAIN.tx(item("o-1", 0, "overwrite", {"title": "二"}))
    CHAIN.extend(ledger, item())
    CHAIN.extend(ledger, raws=[raw])
    empty = wire.decode_block(ledger.build_block(ledger.last_time_ms + 1, "v1", []))
    header = replace(empty.header, tx_root=merkle.root([merkle.leaf_hash(raw)]), tx_count=1)
    block = wire.encode_block(replace(empty, header=header, txs=(raw,)))
    with pytest.raises(BlockError, match="transaction 0: duplicate") as full:
        ledger.validate_block(block, 2**50)
    forget_the_past(ledger)
    with pytest.raises(BlockError) as joined:
        ledger.validate_block(block, 2**50)
    assert str(full.value) == str(joined.value)


def test_a_version_is_written_so_many_times(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lifecycle, "MAX_WRITERS", 2)
    CHAIN.extend(ledger, item())
    CHAIN.extend(ledger, item("o-1", 0, "overwrite", {"title": "二"}))
    assert refusal(ledger, CHAIN.tx(item("o-1", 0, "overwrite", {"title": "三"}))) == TxCode.TOO_MANY_VERSIONS
