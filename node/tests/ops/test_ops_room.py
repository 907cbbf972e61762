"""Blocks shrink where they were too much for a round, and grow again; none is too small for what waits."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provnode import wire
from provnode.core.events import ProposalReceived
from provnode.core.types import Proposal
from provnode.ops import room
from provnode.ops.node import Node
from provnode.ops.room import LEAST, BlockRoom
from tests.ops.test_ops_memory import certify, driven
from tests.support.network import LocalNetwork

MOST = 8 * 1024 * 1024


def test_a_block_that_missed_its_round_halves_the_next_and_quiet_heights_bring_it_back() -> None:
    rooms = BlockRoom(MOST)
    rooms.settle([])
    assert rooms.bytes == MOST
    rooms.settle([1_000_000, 4_000_000])
    assert rooms.bytes == 500_000
    heights = 0
    while rooms.bytes < MOST:
        rooms.settle([])
        heights += 1
    assert heights == 13  # 1.25 ** 13 is the first above 16.8


@given(
    most=st.integers(1, MOST),
    heights=st.lists(st.lists(st.integers(0, MOST), max_size=3), max_size=30),
)
def test_it_stays_in_its_bounds(most: int, heights: list[list[int]]) -> None:
    rooms = BlockRoom(most)
    for missed in heights:
        rooms.settle(missed)
        assert min(LEAST, most) <= rooms.bytes <= most


async def one_height(network: LocalNetwork, node: Node, rounds: int) -> list[int]:
    """Propose a block in `rounds` rounds that pass, and decide it; the sizes of its transactions."""
    consensus = node._consensus
    height, machine = node.height + 1, consensus.machine
    await consensus._build(height, 0)
    ((block_id, raw),) = consensus.blocks.items()
    for round_ in range(rounds):
        proposer = machine.validators.proposer(height, round_)
        machine.handle(ProposalReceived(Proposal(height, round_, -1, block_id, proposer, b""), valid=True))
    await consensus._commit(raw, certify(network, block_id, height, rounds))
    return [len(tx) for tx in wire.decode_block(raw).txs]


def test_after_a_round_that_passed_the_next_block_is_smaller_but_never_too_small_for_what_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "LEAST", 2_000)

    async def scenario() -> None:
        network = LocalNetwork(tmp_path)
        async with driven(network) as node:
            await node.submit_many([network.transaction(size=300) for _ in range(40)])
            first = await one_height(network, node, 1)
            assert len(first) == 40
            await node.submit_many([network.transaction(size=300) for _ in range(60)])
            second = await one_height(network, node, 0)
            assert 15 <= len(second) <= 21
            third = await one_height(network, node, 0)
            assert len(second) < len(third) < 60 - len(second)
            while len(node.mempool):
                await one_height(network, node, 3)
            await node.submit_many([network.transaction(size=30_000)])
            assert len(await one_height(network, node, 0)) == 1

    asyncio.run(scenario())
