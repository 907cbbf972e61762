"""kill -9 of a validator at random moments, again and again: nothing acknowledged is lost, nothing forks."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
from pathlib import Path

from tests.support.network import LocalNetwork, local_network

NODE = Path(__file__).parents[2]
ROUNDS = 8
Ack = tuple[bytes, int]


async def run_and_kill(net: LocalNetwork, round_: int, chance: random.Random) -> list[Ack]:
    """Start v4 as a process, let it acknowledge, kill it at a random moment: what was acknowledged."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.process", str(net.export("v4")), f"r{round_}"),
        cwd=NODE,
        env={**os.environ, "PYTHONPATH": str(NODE)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    try:
        async with asyncio.timeout(40):
            lines = [await process.stdout.readline()]
        assert lines[0], (await process.stderr.read()).decode()
        await asyncio.sleep(chance.uniform(0.0, 0.6))
    finally:
        process.send_signal(signal.SIGKILL)
        await process.wait()
    lines += (await process.stdout.read()).splitlines(keepends=True)
    complete = [line.split() for line in lines if line.endswith(b"\n")]
    return [(bytes.fromhex(txid.decode()), int(height)) for _, txid, height in complete]


def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    chance = random.Random(20261123)

    async def scenario() -> None:
        # v3 stays away: every decision needs v4, which therefore dies in the middle of its own votes
        async with local_network(tmp_path, start=False) as net:
            await net.start("v1", "v2")
            acks = [ack for n in range(ROUNDS) for ack in await run_and_kill(net, n, chance)]
            assert len(acks) >= ROUNDS
            await net.start("v3", "v4")
            _, height = await net.commit_one("v4", seconds=40.0)
            await net.reach(height, seconds=40.0)
            net.same_chain()
            for txid, height in acks:
                for node in net.nodes.values():
                    assert node.ledger.transaction(txid)["height"] == height
            for node in net.nodes.values():
                status = node.status()
                assert (status.evidence_pending, status.evidence_committed) == (0, {})

    asyncio.run(scenario())
