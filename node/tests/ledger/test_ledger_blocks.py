"""Blocks: built, validated and committed; nothing wrong gets in, nothing acknowledged changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from provnode import wire
from provnode.core.types import Certificate, CommitSig
from provnode.ledger import app, merkle, tree
from provnode.ledger.app import MAX_AHEAD_MS, Ledger
from provnode.ledger.errors import BlockError, GenesisError, NotFoundError
from provnode.storage.errors import StoreError
from provnode.storage.store import Store
from tests.ledger.ledgerkit import TIME_MS, Chain, item
from tests.storage.smalldisk import small_disk

CHAIN = Chain()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return CHAIN.ledger(tmp_path / "s.db")


def test_an_empty_chain_starts_at_the_genesis(ledger: Ledger) -> None:
    assert (ledger.height, ledger.last_block_id) == (0, CHAIN.genesis.hash)
    assert (ledger.last_time_ms, ledger.state_root) == (TIME_MS, tree.EMPTY)
    assert ledger.last_certificate is None
    assert ledger.validators.quorum == 3


def test_blocks_link_and_survive_reopening(tmp_path: Path) -> None:
    ledger = CHAIN.ledger(tmp_path / "s.db")
    for height in range(1, 6):
        done = CHAIN.extend(ledger, item(f"o-{height}"))
        assert (
            (done.height, done.block_id) == (ledger.height, ledger.last_block_id) == (height, done.block_id)
        )
    ledger.store.close()
    again = CHAIN.ledger(tmp_path / "s.db")
    assert (again.height, again.last_block_id) == (5, ledger.last_block_id)
    assert (again.state_root, again.last_certificate) == (ledger.state_root, ledger.last_certificate)
    assert again.last_time_ms == ledger.last_time_ms
    parent = CHAIN.genesis.hash
    for height in range(1, 6):
        raw, certificate = again.stored_block(height)
        block = wire.decode_block(raw)
        assert (block.header.parent, certificate.block_id) == (parent, block.block_id)
        parent = block.block_id
    CHAIN.extend(again)


def test_what_was_executed_is_kept_in_bounds_and_executed_again_where_it_is_decided(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "_MAX_PREPARED", 4_000)
    one, two = CHAIN.ledger(tmp_path / "1.db"), CHAIN.ledger(tmp_path / "2.db")
    blocks = [
        one.build_block(TIME_MS + 1_000 + n, "v1", [CHAIN.tx(item(f"o-{n}-{k}")) for k in range(3)])
        for n in range(8)
    ]
    for raw in blocks:
        two.validate_block(raw, TIME_MS + 2_000)
    for ledger in (one, two):
        held = list(ledger._prepared)
        assert held == blocks[-len(held) :] and 1 <= len(held) < len(blocks)
        assert sum(map(len, held)) <= 4_000
    # the first of them, which is held no more
    for ledger in (one, two):
        ledger.commit(blocks[0], CHAIN.certificate(blocks[0]))
        assert ledger.last_block_id == wire.decode_block(blocks[0]).block_id and not ledger._prepared
    large = one.build_block(TIME_MS + 9_000, "v1", [CHAIN.tx(item("big", body={"title": "x" * 9_000}))])
    assert len(large) > 4_000 and list(one._prepared) == [large]


def test_another_node_comes_to_the_same_state(tmp_path: Path) -> None:
    one, two = CHAIN.ledger(tmp_path / "1.db"), CHAIN.ledger(tmp_path / "2.db")
    for height in range(1, 8):
        CHAIN.extend(one, *(item(f"o-{height}-{n}") for n in range(height)))
        raw, certificate = one.stored_block(height)
        two.validate_block(raw, one.last_time_ms)
        two.commit(raw, certificate)
        assert two.state_root == one.state_root


def test_a_store_of_another_genesis_is_refused(tmp_path: Path) -> None:
    CHAIN.ledger(tmp_path / "s.db").store.close()
    with pytest.raises(GenesisError, match="belongs to genesis"):
        Chain(network="other").ledger(tmp_path / "s.db")


def test_a_store_that_lost_its_tree_is_refused(tmp_path: Path) -> None:
    ledger = CHAIN.ledger(tmp_path / "s.db")
    CHAIN.extend(ledger, item())
    ledger.store._db.execute("DELETE FROM nodes")
    with pytest.raises(StoreError) as error:
        Ledger(ledger.store, CHAIN.genesis, CHAIN.provider)
    assert error.value.code == "corrupt"


def test_a_stored_block_that_was_altered_is_refused(tmp_path: Path) -> None:
    ledger = CHAIN.ledger(tmp_path / "s.db")
    CHAIN.extend(ledger, item())
    raw, _ = ledger.stored_block(1)
    at = raw.index(b"zhejiang")
    ledger.store._db.execute("UPDATE blocks SET raw = ?", (raw[:at] + b"shanghai" + raw[at + 8 :],))
    with pytest.raises(StoreError) as error:
        ledger.block(1)
    assert error.value.code == "corrupt"


# --- building


def test_a_block_takes_what_applies_in_order_and_leaves_the_rest(ledger: Ledger) -> None:
    good = [CHAIN.tx(item("a")), CHAIN.tx(item("a", 1, "update")), CHAIN.tx(item("b"))]
    bad = [b"garbage", CHAIN.tx(item("a", 5, "update")), CHAIN.tx(item("c", kind="none"))]
    raw = ledger.build_block(0, "v1", [bad[0], good[0], bad[1], good[1], bad[2], good[2]])
    assert ledger.validate_block(raw, 2**50).txs == tuple(good)


def test_a_block_keeps_to_its_size(tmp_path: Path) -> None:
    chain = Chain(max_block_bytes=20_000, max_tx_bytes=10_000)
    ledger = chain.ledger(tmp_path / "s.db")
    left = [chain.tx(item(f"o-{n}", body={"title": "x" * 1500})) for n in range(30)]
    for _ in range(4):
        raw = ledger.build_block(0, "v1", left)
        assert 15_000 < len(raw) <= 20_000 or not left[10:]
        count = len(ledger.commit(raw, chain.certificate(raw, ("v1", "v2", "v3", "v4"))).txids)
        left = left[count:]
    assert left == []


def test_time_never_stands_still(ledger: Ledger) -> None:
    raw = ledger.build_block(0, "v1", [])
    assert wire.decode_block(raw).header.time_ms == TIME_MS + 1


# --- validating


def forge(ledger: Ledger, change: Callable[[wire.Block], wire.Block]) -> bytes:
    """The next block with one object, altered."""
    raw = ledger.build_block(ledger.last_time_ms + 1000, "v1", [CHAIN.tx(item("forged"))])
    return wire.encode_block(change(wire.decode_block(raw)))


def with_header(name: str, value: int | str | bytes) -> Callable[[wire.Block], wire.Block]:
    fields: dict[str, Any] = {name: value}
    return lambda block: replace(block, header=replace(block.header, **fields))


def with_txs(*txs: bytes) -> Callable[[wire.Block], wire.Block]:
    def change(block: wire.Block) -> wire.Block:
        root = merkle.root([merkle.leaf_hash(raw) for raw in txs])
        return replace(block, txs=txs, header=replace(block.header, tx_root=root, tx_count=len(txs)))

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (with_header("height", 1), "height: found 1, allowed: 3"),
        (with_header("height", 4), "height: found 4, allowed: 3"),
        (with_header("chain_id", "jiangsu"), "chain_id: found 'jiangsu'"),
        (with_header("network", "other"), "network: found 'other'"),
        (with_header("parent", bytes(32)), "parent: found 00"),
        (with_header("proposer", "v9"), "proposer: 'v9'"),
        (with_header("time_ms", TIME_MS), "time_ms"),
        (with_header("tx_root", bytes(32)), "tx_root"),
        (with_header("state_root", bytes(32)), "state_root"),
        (with_header("validators_hash", bytes(32)), "validators_hash"),
        (with_header("last_commit_hash", bytes(32)), "last_commit_hash"),
        (with_header("tx_count", 7), "tx_count"),
        (with_txs(), "state_root"),
        (with_txs(b"garbage"), "transaction 0: malformed"),
        (with_txs(CHAIN.tx(item("x")), CHAIN.tx(item("x"))), "transaction 1: duplicate"),
        (with_txs(CHAIN.tx(item("first"))), "transaction 0: exists"),
        (with_txs(CHAIN.tx(item("y", 1, "update"))), "transaction 0: missing"),
        (with_txs(CHAIN.tx(item("z", timestamp=TIME_MS // 1000 + 900))), "transaction 0: timestamp"),
        (lambda block: replace(block, last_commit=None), "last_commit"),
    ],
)
def test_a_wrong_block_is_refused_and_named(
    ledger: Ledger, change: Callable[[wire.Block], wire.Block], message: str
) -> None:
    CHAIN.extend(ledger, item("first"))
    CHAIN.extend(ledger)
    raw = forge(ledger, change)
    with pytest.raises(BlockError) as error:
        ledger.validate_block(raw, 2**50)
    assert message in str(error.value)
    with pytest.raises(BlockError):
        ledger.commit(raw, CHAIN.certificate(raw))
    assert ledger.height == 2


def test_garbage_and_oversized_blocks_are_refused(ledger: Ledger) -> None:
    for raw in (b"", b"\xc1" * 50, b"\x93\x01\x02\x03", bytes(1_000_001)):
        with pytest.raises(BlockError, match="block: "):
            ledger.validate_block(raw, 2**50)


def test_a_block_from_the_future_may_be_fine_later(ledger: Ledger) -> None:
    raw = ledger.build_block(TIME_MS + 60_000, "v1", [])
    with pytest.raises(BlockError, match="ahead of this node's clock"):
        ledger.validate_block(raw, TIME_MS + 60_000 - MAX_AHEAD_MS - 1)
    ledger.validate_block(raw, TIME_MS + 60_000 - MAX_AHEAD_MS)


def bad_certificates(raw: bytes) -> dict[str, Certificate]:
    good = CHAIN.certificate(raw)
    stranger = CommitSig("v9", good.signatures[0].signature)
    return {
        "too few": CHAIN.certificate(raw, ("v1", "v2")),
        "none": replace(good, signatures=()),
        "one twice": replace(good, signatures=(good.signatures[0], *good.signatures[:2])),
        "not in order": replace(good, signatures=good.signatures[::-1]),
        "a stranger": replace(good, signatures=(*good.signatures, stranger)),
        "another's signature": replace(
            good, signatures=(*good.signatures[:2], CommitSig("v3", good.signatures[0].signature))
        ),
        "a bad one beyond the quorum": replace(good, signatures=(*good.signatures, CommitSig("v4", b"x"))),
        "another round": replace(good, round=1),
        "another block": replace(good, block_id=bytes(32)),
        "another height": replace(good, height=good.height + 1),
    }


def test_a_block_without_a_good_certificate_is_not_committed(ledger: Ledger) -> None:
    CHAIN.extend(ledger)
    raw = ledger.build_block(0, "v1", [CHAIN.tx(item())])
    for name, certificate in bad_certificates(raw).items():
        with pytest.raises(BlockError, match="certificate"):
            ledger.commit(raw, certificate)
        assert ledger.height == 1, name
    ledger.commit(raw, CHAIN.certificate(raw, ("v2", "v3", "v4"), round_=3))


def test_a_block_with_a_bad_certificate_of_its_parent_is_refused(ledger: Ledger) -> None:
    CHAIN.extend(ledger)
    parent, _ = ledger.stored_block(1)
    for name, certificate in bad_certificates(parent).items():
        commit_hash = wire.certificate_hash(certificate)

        def change(block: wire.Block, c: Certificate = certificate, h: bytes = commit_hash) -> wire.Block:
            return replace(block, last_commit=c, header=replace(block.header, last_commit_hash=h))

        with pytest.raises(BlockError):
            ledger.validate_block(forge(ledger, change), 2**50)
        assert ledger.height == 1, name


def test_another_good_certificate_of_the_parent_is_accepted(ledger: Ledger) -> None:
    CHAIN.extend(ledger)
    parent, _ = ledger.stored_block(1)
    other = CHAIN.certificate(parent, ("v2", "v3", "v4"), round_=2)
    commit_hash = wire.certificate_hash(other)
    raw = forge(
        ledger,
        lambda b: replace(b, last_commit=other, header=replace(b.header, last_commit_hash=commit_hash)),
    )
    ledger.commit(raw, CHAIN.certificate(raw))


# --- committing


def test_committing_twice_is_one_commit(ledger: Ledger) -> None:
    raw = ledger.build_block(0, "v1", [CHAIN.tx(item())])
    first = ledger.commit(raw, CHAIN.certificate(raw))
    assert ledger.commit(raw, CHAIN.certificate(raw, ("v2", "v3", "v4"))) == first
    assert ledger.height == 1
    other = forge(ledger, with_header("height", 1))
    with pytest.raises(BlockError, match="decided before"):
        ledger.commit(other, CHAIN.certificate(other))


def test_a_disk_that_runs_full_changes_nothing_and_a_retry_succeeds(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 900) as place:
        ballast = place / "ballast"
        ballast.write_bytes(bytes(200_000))
        ledger = Ledger(Store(place / "s.db"), CHAIN.genesis, CHAIN.provider)
        with pytest.raises(StoreError) as error:
            for n in range(100):
                CHAIN.extend(ledger, item(f"o-{n}", body={"title": "x" * 9000}))
        assert error.value.code == "disk_full"
        height, root = ledger.height, ledger.state_root
        assert 0 < height < 60
        raw = ledger.build_block(0, "v1", [CHAIN.tx(item("after", body={"title": "x" * 9000}))])
        with pytest.raises(StoreError):
            ledger.commit(raw, CHAIN.certificate(raw))
        assert (ledger.height, ledger.state_root, ledger.store.height()) == (height, root, height)
        with pytest.raises(NotFoundError):
            ledger.object("after")
        assert ledger.prove(f"o-{height - 1}")
        ballast.unlink()
        ledger.commit(raw, CHAIN.certificate(raw))
        assert ledger.object("after")["height"] == height + 1
        ledger.store.check()
        ledger.store.close()
