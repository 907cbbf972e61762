"""Block sync under peers that answer late, short, wrongly, twice or not at all, in whatever order."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from provnode.core.types import Certificate, Validator, ValidatorSet
from provnode.net.sync import (
    BATCH_BYTES,
    PER_PEER,
    WINDOW_BLOCKS,
    WINDOW_BYTES,
    Answer,
    Block,
    BlockSync,
    Request,
)

NAMES = ("v1", "v2", "v3", "v4")
VALIDATORS = ValidatorSet(
    tuple(Validator(name, name, bytes([4, n]) * 32 + b"\0", 1) for n, name in enumerate(NAMES))
)
LARGEST = 9 * 1024 * 1024
# what an answer may take at most, however many blocks: two seconds, and an eighth of one for each
PATIENCE = 2.0 + 64 / 8


def block(height: int, *, good: bool = True, size: int = 20) -> Block:
    return (b"good" if good else b"evil") + bytes(size), Certificate(height, 0, bytes(32), ())


@dataclass
class Ledger:
    """Takes what is handed on as the consensus does: in order, each height once, nothing that is forged."""

    height: int = 0
    inbox: list[Answer] = field(default_factory=list)
    applied: list[int] = field(default_factory=list)

    def work(self, sync: BlockSync, now: float) -> None:
        for answer in self.inbox:
            for raw, certificate in answer.blocks:
                if certificate.height <= self.height:
                    continue
                if certificate.height != self.height + 1:
                    break
                if not raw.startswith(b"good"):
                    sync.failed(answer.peer, now)
                    break
                self.height += 1
                self.applied.append(self.height)
        self.inbox.clear()


class Syncing(RuleBasedStateMachine):
    """Peers are connected and lost, tell any heights, and answer anything; `sent` is what they were asked."""

    def __init__(self) -> None:
        super().__init__()
        self.sync = BlockSync(lambda: VALIDATORS)
        self.ledger = Ledger()
        self.now = 0.0
        self.sent: list[Request] = []
        self.since: dict[Request, float] = {}
        self.heard: dict[str, float] = {}
        self.worked = 0.0

    @property
    def stalled(self) -> bool:
        return self.now >= self.worked + 10.0

    def _turn(self) -> None:
        """What the gossip does at each tick and each answer."""
        inbox = self.ledger.inbox
        while answer := self.sync.ready(self.ledger.height):
            # unless what was handed on is given up, nothing comes twice
            assert answer.first == max([self.ledger.height, *(one.last for one in inbox)]) + 1 or self.stalled
            inbox.append(answer)
        for request in self.sync.requests(self.ledger.height, self.now):
            assert self.sync.oldest[request.peer] <= request.height
            assert request.last <= self.sync.heights[request.peer]
            assert self.ledger.height < request.height <= request.last <= self.ledger.height + WINDOW_BLOCKS
            self.sent.append(request)
            self.since[request] = self.now

    @rule(peer=st.sampled_from(NAMES), height=st.integers(0, 3000), oldest=st.sampled_from((1, 1, 1, 200)))
    def tell(self, peer: str, height: int, oldest: int) -> None:
        self.sync.note(peer, max(height, self.sync.heights.get(peer, 0)), oldest)
        self._turn()

    @rule(peer=st.sampled_from(NAMES))
    def lose(self, peer: str) -> None:
        self.sync.forget(peer)
        self.sent = [one for one in self.sent if one.peer != peer]
        self._turn()

    @rule(seconds=st.sampled_from((0.02, 0.02, 0.3, 1.1, 11.0)))
    def wait(self, seconds: float) -> None:
        self.now += seconds
        self._turn()

    @rule()
    def work(self) -> None:
        self.worked = self.now
        self.ledger.work(self.sync, self.now)
        self._turn()

    @precondition(lambda self: self.sent)
    @rule(
        data=st.data(),
        kind=st.sampled_from(("all", "all", "all", "short", "large", "none", "evil", "gap", "twice", "long")),
    )
    def answer(self, data: st.DataObject, kind: str) -> None:
        request = data.draw(st.sampled_from(self.sent))
        self.sent.remove(request)
        count = data.draw(st.integers(1, request.count)) if kind == "short" else request.count
        size = data.draw(st.integers(0, LARGEST)) if kind == "large" else 20
        heights = range(request.height, request.height + (1 if kind == "large" else count))
        given = [block(height, good=kind != "evil", size=size) for height in heights]
        if kind == "gap":
            given.append(block(request.last + 5))
        if kind == "long":
            given += [block(request.last + more) for more in range(1, 70)]
        for _ in range(2 if kind == "twice" else 1):
            self.sync.answered(request.peer, () if kind == "none" else tuple(given), self.now)
            self.heard[request.peer] = self.now
        self._turn()

    @invariant()
    def each_block_is_applied_once_in_order(self) -> None:
        assert self.ledger.applied == list(range(1, self.ledger.height + 1))

    @invariant()
    def the_window_bounds_what_is_outstanding(self) -> None:
        asked = self.sync.asked
        for name in NAMES:
            assert sum(one.peer == name for one in asked) <= PER_PEER
        heights = [height for one in asked for height in range(one.height, one.last + 1)]
        assert len(heights) == len(set(heights)), "one range is asked of two peers"
        # what everything waits for may come on top of it, and one request for it
        assert self.sync.held <= WINDOW_BYTES + LARGEST + 64
        assert self.sync.held + len(asked) * BATCH_BYTES <= 2 * (WINDOW_BYTES + LARGEST)

    @invariant()
    def nobody_is_waited_for_beyond_its_deadline(self) -> None:
        for one in self.sync.asked:
            assert self.now < max(self.since[one], self.heard.get(one.peer, 0.0)) + PATIENCE + 0.001


Syncing.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestSyncing = Syncing.TestCase


@pytest.mark.parametrize("seed", range(30))
def test_one_honest_peer_is_enough(seed: int) -> None:
    """Three peers do their worst for ever, at 20 ms to 5 s an answer; the fourth is honest."""
    chance = random.Random(seed)
    sync, ledger, now = BlockSync(lambda: VALIDATORS), Ledger(), 0.0
    due: list[tuple[float, Request]] = []
    for name in NAMES:
        sync.note(name, 2_000 if name == "v1" else chance.choice((2_000, 5_000)))
    while ledger.height < 2_000:
        now += 0.02
        assert now < 400.0, f"height {ledger.height} after {now:.0f} s"
        while answer := sync.ready(ledger.height):
            ledger.inbox.append(answer)
        due += [(now + chance.choice((0.02, 0.5, 5.0)), one) for one in sync.requests(ledger.height, now)]
        for at, request in list(due):
            if at > now:
                continue
            due.remove((at, request))
            heights = range(request.height, request.last + 1)
            if request.peer == "v1":
                sync.answered("v1", tuple(map(block, heights)), now)
                continue
            match chance.choice(("silent", "none", "evil", "short", "far")):
                case "none":
                    sync.answered(request.peer, (), now)
                case "evil":
                    sync.answered(request.peer, tuple(block(height, good=False) for height in heights), now)
                case "short":
                    sync.answered(request.peer, (block(request.height),), now)
                case "far":
                    sync.answered(request.peer, (block(request.last + 1),), now)
        ledger.work(sync, now)
    assert ledger.applied[:2_000] == list(range(1, 2_001))
