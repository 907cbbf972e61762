"""Blocks as names of transactions: put together, asked for, and refused where they are a lie."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest
from provnode import wire
from provnode.core.types import Proposal
from provnode.ledger import merkle
from provnode.ledger.blockform import check_named
from provnode.ledger.errors import OtherBlockError
from provnode.net.compact import PATIENCE_SECONDS, CompactBlocks
from provnode.wire import MAX_TXS, NAME_BYTES
from tests.net.test_net_sync import machine

TXS = tuple(bytes([number]) * (100 + number) for number in range(7))


def root(txs: Sequence[bytes]) -> bytes:
    return merkle.root([merkle.leaf_hash(tx) for tx in txs])


def block(txs: Sequence[bytes] = TXS, height: int = 5) -> wire.Block:
    none = bytes(32)
    last = wire.certificate_hash(None)
    header = wire.Header("chain", "net", height, 1, none, "v1", root(txs), none, none, none, last, len(txs))
    return wire.Block(header, tuple(txs), None)


BLOCK = block()
RAW = wire.encode_block(BLOCK)
PROPOSAL = Proposal(5, 0, -1, BLOCK.block_id, "v1", b"signature")


@dataclass
class Pool:
    """A node's waiting transactions, and the proposals that it was offered."""

    held: list[bytes] = field(default_factory=list)
    height: int = 4
    offered: list[tuple[str, Proposal, bytes]] = field(default_factory=list)
    looked_up: int = 0

    def find_txs(self, names: Sequence[bytes]) -> list[bytes]:
        self.looked_up += len(names)
        known = {merkle.leaf_hash(tx)[:NAME_BYTES]: tx for tx in self.held}
        return [known.get(name, b"") for name in names]

    def leaves(self, txs: Sequence[bytes]) -> list[bytes]:
        return [merkle.leaf_hash(tx) for tx in txs]

    def offer_proposal(self, peer: str, proposal: Proposal, block: bytes) -> None:
        self.offered.append((peer, proposal, block))


SENDER = CompactBlocks(Pool())
MESSAGE = SENDER.shorten(PROPOSAL, RAW)


def test_what_waits_here_makes_the_block_whole() -> None:
    pool = Pool([*TXS, b"another"])
    blocks = CompactBlocks(pool)
    blocks.take("v1", MESSAGE, 0.0)
    assert pool.offered == [("v1", PROPOSAL, RAW)]
    assert blocks.tick(9.0) == []
    assert len(MESSAGE.bare) + len(MESSAGE.names) < len(RAW) / 2


def test_what_is_on_its_way_is_waited_for_and_not_asked() -> None:
    pool = Pool(list(TXS[:5]))
    blocks = CompactBlocks(pool)
    blocks.take("v1", MESSAGE, 0.0)
    assert not pool.offered
    assert blocks.tick(PATIENCE_SECONDS / 2) == []
    pool.held += TXS[5:]
    assert blocks.tick(PATIENCE_SECONDS) == []
    assert pool.offered == [("v1", PROPOSAL, RAW)]


@pytest.mark.parametrize("held", [TXS[:6], TXS[:4], TXS[2:3], ()])
def test_what_is_missing_is_asked_of_the_proposer(held: Sequence[bytes]) -> None:
    pool = Pool(list(held))
    blocks = CompactBlocks(pool)
    blocks.take("v1", MESSAGE, 0.0)
    ((peer, request),) = blocks.tick(PATIENCE_SECONDS)
    assert peer == "v1"
    # few are named, most are asked for together
    assert len(request.places) == (7 - len(held) if len(held) > 3 else 0)
    assert blocks.tick(2 * PATIENCE_SECONDS) == []
    found = CompactBlocks(Pool()).answer("v2", request, {BLOCK.block_id: RAW}, 10.0)
    assert found is not None
    blocks.fill("v1", found)
    assert pool.offered == [("v1", PROPOSAL, RAW)]


def test_an_answer_that_was_not_asked_for_is_ignored() -> None:
    pool = Pool()
    blocks = CompactBlocks(pool)
    whole = wire.BlockTxs(BLOCK.block_id, TXS)
    blocks.fill("v1", whole)
    blocks.take("v1", MESSAGE, 0.0)
    blocks.fill("v1", whole)
    assert blocks.tick(PATIENCE_SECONDS)
    for answer in (replace_id(whole), wire.BlockTxs(BLOCK.block_id, TXS[:3])):
        blocks.fill("v1", answer)
    blocks.fill("v2", whole)
    assert not pool.offered
    blocks.fill("v1", whole)
    assert pool.offered == [("v1", PROPOSAL, RAW)]


def replace_id(answer: wire.BlockTxs) -> wire.BlockTxs:
    return wire.BlockTxs(bytes(32), answer.txs)


def test_without_an_answer_the_block_is_given_up_and_asked_of_all() -> None:
    here = machine()
    proposer = here.validators.proposer(here.height, 0)
    blocks = CompactBlocks(Pool(height=here.height - 1))
    message = replace(MESSAGE, proposal=replace(PROPOSAL, height=here.height))
    # another one than the proposer can't make this node wait for what there is not
    blocks.take("v9", message, 0.0)
    assert not blocks.awaits(here)
    blocks.take(proposer, message, 0.0)
    assert blocks.awaits(here)
    assert blocks.tick(PATIENCE_SECONDS)
    assert blocks.awaits(here)
    assert blocks.tick(2.0) == []
    assert not blocks.awaits(here)


def test_a_block_of_a_past_height_is_forgotten() -> None:
    pool = Pool()
    blocks = CompactBlocks(pool)
    blocks.take("v1", MESSAGE, 0.0)
    pool.height = 5
    assert blocks.tick(PATIENCE_SECONDS) == []
    for height in (4, 5, 8):
        blocks.take("v1", replace(MESSAGE, proposal=replace(PROPOSAL, height=height)), 1.0)
        assert pool.looked_up == len(TXS)


def test_a_lying_proposer_gets_no_further_than_the_check_of_its_block() -> None:
    other = tuple(tx + b"!" for tx in TXS)
    lies = {
        "other transactions": (replace(MESSAGE, names=b"".join(name(tx) for tx in other)), other),
        "another order": (replace(MESSAGE, names=b"".join(name(tx) for tx in TXS[::-1])), TXS),
        "another header": (SENDER.shorten(PROPOSAL, wire.encode_block(block(other))), other),
    }
    for lie, (message, held) in lies.items():
        pool = Pool(list(held))
        CompactBlocks(pool).take("v3", message, 0.0)
        ((peer, proposal, raw),) = pool.offered
        assert (peer, proposal) == ("v3", PROPOSAL), lie
        with pytest.raises(OtherBlockError):
            check_named(raw, proposal.block_id, root)
    check_named(RAW, PROPOSAL.block_id, root)


def name(tx: bytes) -> bytes:
    return merkle.leaf_hash(tx)[:NAME_BYTES]


@pytest.mark.parametrize(
    "message",
    [
        replace(MESSAGE, bare=b"\x90"),
        replace(MESSAGE, bare=RAW),
        replace(MESSAGE, names=MESSAGE.names[:-1]),
        replace(MESSAGE, names=MESSAGE.names[:-NAME_BYTES]),
        replace(MESSAGE, names=MESSAGE.names[:NAME_BYTES] * 7),
    ],
    ids=["no block", "a whole block", "a broken name", "too few names", "one name again and again"],
)
def test_what_is_no_compact_block_is_a_violation(message: wire.CompactMsg) -> None:
    pool = Pool(list(TXS))
    with pytest.raises(wire.WireError):
        CompactBlocks(pool).take("v1", message, 0.0)
    assert not pool.offered


def test_a_peer_can_have_only_so_many_names_looked_up() -> None:
    pool = Pool()
    blocks = CompactBlocks(pool)
    many = [number.to_bytes(NAME_BYTES, "big") for number in range(MAX_TXS)]
    header = replace(BLOCK.header, tx_count=MAX_TXS)
    bare = wire.encode_block(wire.Block(header, (), None))
    for _ in range(50):
        blocks.take("v3", wire.CompactMsg(PROPOSAL, bare, b"".join(many)), 0.0)
    assert pool.looked_up <= 2 * MAX_TXS
    # which is that peer's affair alone
    pool.held = list(TXS)
    blocks.take("v1", MESSAGE, 0.0)
    assert pool.offered == [("v1", PROPOSAL, RAW)]


def test_no_block_longer_than_all_is_put_together() -> None:
    pool = Pool([bytes([number]) * (wire.MAX_TX_BYTES - 10) for number in range(5)])
    names = b"".join(name(tx) for tx in pool.held)
    bare = wire.encode_block(wire.Block(replace(BLOCK.header, tx_count=5), (), None))
    CompactBlocks(pool).take("v1", wire.CompactMsg(PROPOSAL, bare, names), 0.0)
    assert not pool.offered


def test_requests_are_answered_only_so_often() -> None:
    request = wire.TxRequest(BLOCK.block_id, (0, 6, 131_072))
    blocks = CompactBlocks(Pool())
    held = {BLOCK.block_id: RAW}
    assert blocks.answer("v3", wire.TxRequest(bytes(32), ()), held, 1.0) is None
    first = blocks.answer("v3", request, held, 1.0)
    assert first == wire.BlockTxs(BLOCK.block_id, (TXS[0], TXS[6]))
    assert blocks.answer("v3", request, held, 1.1) is None
    assert blocks.answer("v2", request, held, 1.1) is not None
    assert blocks.answer("v3", request, held, 1.2) is not None


def test_a_whole_proposal_is_not_sent_twice_in_a_moment() -> None:
    blocks = CompactBlocks(Pool())
    assert blocks.may_send("v2", PROPOSAL, 1.0)
    assert not blocks.may_send("v2", PROPOSAL, 1.5)
    assert blocks.may_send("v3", PROPOSAL, 1.5)
    assert blocks.may_send("v2", replace(PROPOSAL, round=1), 1.6)
    assert blocks.may_send("v2", replace(PROPOSAL, round=1), 2.7)
