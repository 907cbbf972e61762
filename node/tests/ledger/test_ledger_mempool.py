"""The mempool: bounded, in order, each transaction once, nothing dead kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from provnode import wire
from provnode.ledger.app import Ledger
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.mempool import Mempool
from tests.ledger.ledgerkit import TIME_MS, Chain, item
from tests.support.holdings import holdings

CHAIN = Chain()


class Clock:
    """Milliseconds, moved by hand."""

    def __init__(self) -> None:
        self.now = TIME_MS

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return CHAIN.ledger(tmp_path / "s.db")


def pool_of(ledger: Ledger, **limits: int) -> tuple[Mempool, Clock]:
    clock = Clock()
    return Mempool(ledger, clock_ms=clock, **limits), clock


def code_of(pool: Mempool, raw: bytes) -> TxCode:
    with pytest.raises(TxError) as error:
        pool.add(raw)
    return error.value.code


def test_first_in_first_out_within_the_bytes_asked_for(ledger: Ledger) -> None:
    pool, _ = pool_of(ledger)
    raws = [CHAIN.tx(item(f"o-{n}")) for n in range(5)]
    ids = [pool.add(raw) for raw in raws]
    assert len(pool) == 5
    assert pool.size == sum(map(len, raws))
    assert pool.reap(10**6) == raws
    assert pool.reap(sum(map(len, raws[:3]))) == raws[:3]
    assert pool.reap(len(raws[0]) - 1) == raws[:1]  # one at least
    pool.remove([ids[0], ids[2], b"unknown"])
    assert pool.reap(10**6) == [raws[1], raws[3], raws[4]]
    assert ids[1] in pool
    assert ids[0] not in pool


def test_each_transaction_once_however_often_it_is_signed(ledger: Ledger) -> None:
    pool, _ = pool_of(ledger)
    pool.add(CHAIN.tx(item()))
    assert code_of(pool, CHAIN.tx(item())) == TxCode.DUPLICATE
    CHAIN.extend(ledger, item("o-2"))
    assert code_of(pool, CHAIN.tx(item("o-2"))) == TxCode.DUPLICATE
    assert len(pool) == 1


def test_it_is_bounded_in_number_and_in_bytes(ledger: Ledger) -> None:
    pool, _ = pool_of(ledger, max_count=3)
    for n in range(3):
        pool.add(CHAIN.tx(item(f"o-{n}")))
    assert code_of(pool, CHAIN.tx(item("o-3"))) == TxCode.POOL_FULL
    size = len(CHAIN.tx(item("o-0")))
    pool, _ = pool_of(ledger, max_bytes=size * 2 + size // 2)
    pool.add(CHAIN.tx(item("o-0")))
    first = pool.add(CHAIN.tx(item("o-1")))
    assert code_of(pool, CHAIN.tx(item("o-2"))) == TxCode.POOL_FULL
    pool.remove([first])
    pool.add(CHAIN.tx(item("o-2")))


def test_what_can_never_apply_is_not_taken(ledger: Ledger) -> None:
    pool, _ = pool_of(ledger)
    CHAIN.extend(ledger, item())
    assert code_of(pool, b"garbage") == TxCode.MALFORMED
    assert code_of(pool, CHAIN.tx(item(body={"title": "x"}))) == TxCode.EXISTS
    assert code_of(pool, CHAIN.tx(item("o-2", kind="none"))) == TxCode.UNKNOWN_TYPE
    assert code_of(pool, CHAIN.tx(item("o-2", timestamp=TIME_MS // 1000 + 700))) == TxCode.TIMESTAMP
    assert (len(pool), pool.size) == (0, 0)


def test_several_at_once_get_a_verdict_each(ledger: Ledger) -> None:
    pool, _ = pool_of(ledger)
    good, again = CHAIN.tx(item()), CHAIN.tx(item())
    verdicts = pool.add_many([good, b"", again, CHAIN.tx(item("o-2"))])
    assert [v.code if isinstance(v, TxError) else "in" for v in verdicts] == [
        "in",
        TxCode.MALFORMED,
        TxCode.DUPLICATE,
        "in",
    ]


def test_refusals_leave_no_circles_for_the_collector(ledger: Ledger) -> None:
    pool, _ = pool_of(ledger)
    CHAIN.extend(ledger, item())
    committed = ledger.stored_block(1)[0]
    refused = pool.add_many([CHAIN.tx(item(body={"title": "x"})), b"", *wire.decode_block(committed).txs])
    codes = [one.code for one in refused if isinstance(one, TxError)]
    assert codes == [TxCode.EXISTS, TxCode.MALFORMED, TxCode.DUPLICATE]
    assert [one.__traceback__ for one in refused if isinstance(one, TxError)] == [None, None, None]


def test_a_reason_is_kept_and_nothing_that_was_there_when_it_arose(ledger: Ledger) -> None:
    pool, _ = pool_of(ledger)
    raws = [CHAIN.tx(item(f"o-{n}", body={"title": "x" * 500})) for n in range(20)]
    pool.add_many(raws)
    dropped = pool.add(CHAIN.tx(item("o-0", body={"title": "another"})))
    pool.remove(CHAIN.extend(ledger, raws=raws).txids)
    first, second = pool.refusal(dropped), pool.refusal(dropped)
    assert first is not None and second is not None and first is not second
    assert (first.code, first.message) == (second.code, second.message) and first.code == TxCode.EXISTS
    held = holdings(pool._reasons, "reasons")
    assert held["reasons"] == 1 and held.total() < 500, held


def test_an_update_that_came_early_waits_for_its_creation(ledger: Ledger) -> None:
    pool, clock = pool_of(ledger, patience_ms=1000)
    update = CHAIN.tx(item(version=1, operation="update", body={"amount": 1}))
    txid = pool.add(update)
    clock.now += 900
    CHAIN.extend(ledger, item("unrelated"))
    pool.remove([])
    assert txid in pool
    CHAIN.extend(ledger, item())
    clock.now += 900  # the patience is over, but now it applies
    pool.remove([])
    assert pool.reap(10**6) == [update]
    CHAIN.extend(ledger, raws=pool.reap(10**6))
    pool.remove([txid])
    assert pool.refusal(txid) is None


def test_what_waited_too_long_leaves_and_the_reason_is_kept(ledger: Ledger) -> None:
    pool, clock = pool_of(ledger, patience_ms=1000)
    txid = pool.add(CHAIN.tx(item(version=1, operation="update")))
    clock.now += 1000
    pool.remove([])
    assert (len(pool), pool.size) == (0, 0)
    refusal = pool.refusal(txid)
    assert refusal is not None
    assert refusal.code == TxCode.MISSING


def test_what_another_block_made_impossible_leaves(ledger: Ledger) -> None:
    pool, _ = pool_of(ledger)
    one, two = CHAIN.tx(item(body={"title": "先"})), CHAIN.tx(item(body={"title": "后"}))
    loser = pool.add(two)
    CHAIN.extend(ledger, raws=[one])
    pool.remove([])
    refusal = pool.refusal(loser)
    assert refusal is not None
    assert refusal.code == TxCode.EXISTS


def test_a_committed_transaction_that_was_missed_leaves_too(ledger: Ledger) -> None:
    pool, _ = pool_of(ledger)
    raw = CHAIN.tx(item())
    pool.add(raw)
    CHAIN.extend(ledger, raws=[raw])
    pool.remove([])
    assert len(pool) == 0
