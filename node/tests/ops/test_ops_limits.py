"""Each limit that docs/node.md states, tried at its figure: what is at it passes, one more does not."""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Callable, Coroutine
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from provnode import wire
from provnode.core.events import Params, VoteReceived
from provnode.core.machine import Machine
from provnode.core.types import Proposal, Vote, VoteType
from provnode.ledger.checks import CheckedTx
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.mempool import Mempool
from provnode.ledger.misconduct import evidence_transaction
from provnode.net import connection
from provnode.net.connection import Connection, PeerLimits, read_frame
from provnode.net.errors import StreamError
from provnode.net.peers import PeerSet
from provnode.ops.evidence import EvidencePool
from provnode.ops.inbox import BlocksFrom, Inbox, ProposalFrom, VoteFrom
from tests.core.story import FOUR
from tests.ledger.evidencekit import Liar
from tests.ledger.ledgerkit import Chain
from tests.ops import rpclimits
from tests.support import virtual

DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "node.md"
MIB = 1024 * 1024
LIMITS = PeerLimits()


class Slow:
    """A stream whose bytes are zeros and each read of which takes so many seconds; `head` comes first."""

    def __init__(self, head: bytes = b"", seconds: float = 0.0, most: int = 10**9) -> None:
        self._head, self._seconds, self._most = head, seconds, most
        self.peer = SimpleNamespace(name="v2", organisation="o", expires=None)
        self.own_certificate = b""
        self.sizes: list[int] = []

    async def read_exactly(self, size: int) -> bytes:
        await asyncio.sleep(self._seconds)
        if len(self.sizes) >= self._most:
            raise StreamError("cut_off", "closed")
        self.sizes.append(size)
        return self._head if size == len(self._head) else b""

    async def write(self, data: bytes) -> None:
        pass


def stream(*args: Any, **named: Any) -> Any:  # noqa: ANN401 - in place of a Stream
    return Slow(*args, **named)


def length(size: int) -> bytes:
    return size.to_bytes(4, "big")


def refused(work: Coroutine[Any, Any, object]) -> bool:
    """Whether a stream's limit refuses it."""
    try:
        virtual.run(work)
    except StreamError:
        return True
    return False


def frames(_: Path) -> None:
    for size, wrong in ((17 * MIB, False), (17 * MIB + 1, True)):
        assert refused(read_frame(stream(length(size)), LIMITS)) is wrong


def received(size: int, count: int, monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long a connection waits in between, at one moment, for so many frames of so many bytes."""
    waits: list[float] = []

    async def sleep(seconds: float) -> None:
        waits.append(seconds)

    async def take(*_: object) -> None:
        pass

    body = bytes(size)

    async def next_frame(*_: object) -> bytes:
        nonlocal count
        count -= 1
        if count < 0:
            raise StreamError("cut_off", "closed")
        return body

    monkeypatch.setattr(connection, "read_frame", next_frame)
    monkeypatch.setattr(connection, "asyncio", SimpleNamespace(sleep=sleep, Event=asyncio.Event))
    monkeypatch.setattr("provnode.net.connection.time.monotonic", lambda: 1.0)
    one = Connection(stream(), LIMITS, dialer="v2")
    with pytest.raises(StreamError):
        virtual.run(one._receive_all(take))
    monkeypatch.undo()
    return waits


def messages_a_second(_: Path) -> None:
    # two seconds' worth at once; the next one waits until it is earned
    with pytest.MonkeyPatch.context() as patch:
        assert received(1, 2_000, patch) == []
        assert received(1, 2_001, patch) == [pytest.approx(1 / 1_000)]


def bytes_a_second(_: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        assert received(MIB, 64, patch) == []
        assert received(MIB, 65, patch) == [pytest.approx(1 / 64)]


def hello(_: Path) -> None:
    greeted = SimpleNamespace(
        _limits=LIMITS, _handshake=SimpleNamespace(hello=lambda: b"", check_hello=lambda *_: None)
    )
    # head and body come one after the other: both together within the time
    for seconds, wrong in ((2.4, False), (2.6, True)):
        source = stream(length(9), seconds)
        assert refused(PeerSet._greet(cast(PeerSet, greeted), source)) is wrong


def seconds_a_frame(_: Path) -> None:
    async def late(seconds: float) -> bytes:
        source = stream(length(9))
        plain = source.read_exactly

        async def read_exactly(size: int) -> bytes:
            await asyncio.sleep(0 if size == 4 else seconds)
            return bytes(await plain(size))

        source.read_exactly = read_exactly
        return await read_frame(source, LIMITS)

    for seconds, wrong in ((29.9, False), (30.1, True)):
        assert refused(late(seconds)) is wrong


def queue(_: Path) -> None:
    one = Connection(stream(), LIMITS, dialer="v2")
    assert one.send(bytes(48 * MIB), urgent=False)
    assert not one.send(b"x", urgent=True)


def ban(_: Path) -> None:
    shut = SimpleNamespace(_banned={}, _limits=LIMITS, connected={})
    with pytest.MonkeyPatch.context() as patch:
        for now, out in ((100.0, None), (129.9, True), (130.1, False)):
            patch.setattr("provnode.net.peers.time.monotonic", itertools.repeat(now).__next__)
            if out is None:
                PeerSet.ban(cast(PeerSet, shut), "v2", StreamError("malformed", "x"))
            else:
                assert PeerSet.is_banned(cast(PeerSet, shut), "v2") is out


def inbox(_: Path) -> None:
    box = Inbox()
    for number in range(20_001):
        box.put_vote(VoteFrom("v2", Vote(VoteType.PREVOTE, 1, number, None, "v2")))
    for number in range(65):
        box.put_proposal(ProposalFrom(f"peer-{number}", Proposal(1, number, -1, b"", "v2"), b"b"))
    for _number in range(5):
        box.put_blocks(BlocksFrom("v2", ()))
    assert (len(box.votes), len(box.proposals), len(box.blocks)) == (20_000, 64, 4)


def proposals_of_peer(_: Path) -> None:
    box = Inbox()
    for number in range(9):
        box.put_proposal(ProposalFrom("v2", Proposal(1, number, -1, b"", "v2"), b"b"))
    assert len(box.proposals) == 8


def proposals_bytes(_: Path) -> None:
    box = Inbox()
    for number, size in enumerate([16 * MIB] * 4 + [1]):
        box.put_proposal(ProposalFrom(f"peer-{number}", Proposal(1, number, -1, b"", "v2"), bytes(size)))
    assert len(box.proposals) == 4


def rounds_ahead(_: Path) -> None:
    machine = Machine(FOUR, "v1", 1, Params(1, 1, 1))
    for round_ in range(20):
        machine.handle(VoteReceived(Vote(VoteType.PREVOTE, 1, round_, None, "v2", b"s")))
    assert max(machine.rounds()) == 16


def pool(folder: Path) -> None:
    chain = Chain()
    state = SimpleNamespace(
        height=99, validators_at=lambda _: chain.genesis.validators, has_evidence=lambda _: False
    )
    kept = EvidencePool(folder / "evidence", cast(Any, state), chain.genesis.hash, chain.provider)
    # each piece of a validator of its own, as far as there are such; who signed is not asked here
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wire, "check_evidence", lambda *_: None)
        votes = [Vote(VoteType.PRECOMMIT, 9, 0, bytes([n]) * 32, "v1", b"s") for n in (1, 2)]
        for number in range(65):
            named = [Vote(v.type, 9, 0, v.block_id, f"n-{number}", b"s") for v in votes]
            assert kept.add(wire.make_evidence(*named)) is (number < 64)


def of_one(folder: Path) -> None:
    chain = Chain()
    state = SimpleNamespace(
        height=99, validators_at=lambda _: chain.genesis.validators, has_evidence=lambda _: False
    )
    kept = EvidencePool(folder / "evidence", cast(Any, state), chain.genesis.hash, chain.provider)
    liar = Liar("v4", chain.keys["v4"], chain.genesis.hash, chain.provider)
    assert [kept.add(liar.double_vote(9, round_)) for round_ in range(9)] == [True] * 8 + [False]


def evidence_bytes(_: Path) -> None:
    for size, longer in ((1_280, False), (1_281, True)):
        with pytest.raises(wire.WireError) as error:
            wire.decode_evidence(bytes(size))
        assert ("allowed: 1280" in str(error.value)) is longer


def evidence_a_block(folder: Path) -> None:
    chain = Chain()
    ledger = chain.ledger(folder / "s.db")
    liar = Liar("v4", chain.keys["v4"], chain.genesis.hash, chain.provider)
    found = [evidence_transaction(chain.genesis.hash, liar.double_vote(1, round_)) for round_ in range(17)]
    raw = ledger.build_block(ledger.last_time_ms + 1, "v1", found)
    assert wire.decode_block(raw).txs == tuple(found[:16])


class Anything:
    """A ledger that takes every transaction."""

    def screen(self, raws: list[bytes]) -> list[CheckedTx | TxError]:
        return [self._checked(raw) for raw in raws]

    def fit(self, transactions: list[CheckedTx], _: int) -> list[TxError | None]:
        return [None] * len(transactions)

    def __init__(self) -> None:
        self._count = 0

    def _checked(self, raw: bytes) -> Any:  # noqa: ANN401 - in place of a CheckedTx
        self._count += 1
        txid = self._count.to_bytes(32, "big")
        return SimpleNamespace(txid=txid, tx=SimpleNamespace(raw=raw, leaf=txid), content=None)


def waiting(raw: bytes, count: int) -> None:
    """So many of these may wait, and not one more."""
    pool = Mempool(cast(Any, Anything()))
    outcomes = pool.add_many([raw] * (count + 1))
    assert len(pool) == count
    last = outcomes[-1]
    assert isinstance(last, TxError)
    assert last.code is TxCode.POOL_FULL


def transaction_bytes(_: Path) -> None:
    whole = wire.TxMsg((bytes(4 * MIB),))
    assert wire.decode_message(wire.encode_message(whole)) == whole
    with pytest.raises(wire.WireError):
        wire.decode_message(wire.encode_message(wire.TxMsg((bytes(4 * MIB + 1),))))


def block_bytes(_: Path) -> None:
    # `test_wire_decoding` has a block of just this size
    for size, longer in ((16 * MIB, False), (16 * MIB + 1, True)):
        with pytest.raises(wire.WireError) as error:
            wire.decode_block(bytes(size))
        assert ("allowed: 16777216" in str(error.value)) is longer


# the document's words, and what shows them
STATED: dict[str, Callable[[Path], None]] = {
    "frames of 17 MiB": frames,
    "1,000 messages": messages_a_second,
    "64 MiB a second": bytes_a_second,
    "5 s to say hello": hello,
    "30 s a frame": seconds_a_frame,
    "queue of 48 MiB": queue,
    "shut out for 30 s": ban,
    "20,000 votes, 64 proposals and 4 answers of blocks": inbox,
    "of proposals 8 a peer": proposals_of_peer,
    "64 MiB with their blocks": proposals_bytes,
    "votes of up to 16 rounds ahead": rounds_ahead,
    "64 pieces": pool,
    "8 of one validator": of_one,
    "1,280 bytes each": evidence_bytes,
    "16 a block": evidence_a_block,
    "20,000 transactions, ": lambda _: waiting(b"t", 20_000),
    "64 MiB; ": lambda _: waiting(bytes(4 * MIB), 16),
    "4 MiB a transaction": transaction_bytes,
    "16 MiB a block": block_bytes,
    "128 TLS connections": rpclimits.tls_connections,
    "500 requests a second": rpclimits.requests_a_second,
    "15 s a request": rpclimits.seconds_a_request,
    "32 levels of JSON": rpclimits.levels,
    "twice a transaction's size": rpclimits.body_bytes,
    "at least 1 MiB": rpclimits.least_body_bytes,
    "requests of 128 MiB together": rpclimits.bodies_together,
}


def table() -> str:
    return DOCUMENT.read_text("utf-8").partition("## Limits at the borders")[2].partition("\n## ")[0]


@pytest.mark.parametrize("words", STATED)
def test_a_limit_holds_at_its_figure(words: str, tmp_path: Path) -> None:
    assert words in table(), f"docs/node.md no longer states {words!r}: change STATED with it"
    STATED[words](tmp_path)


def test_every_figure_that_is_stated_is_tried() -> None:
    left = table()
    for words in STATED:
        left = left.replace(words, "")
    untried = re.findall(r"[^|,;]*\d[^|,;]*", left)
    assert untried == [], "say in STATED how these are tried"
