"""kill -9 at any moment of a commit: nothing acknowledged is lost, and what is there is whole.

A kill tests the process's death, not the machine's: the page cache survives it. That the data is also synced
before a commit is acknowledged is what test_storage_store.py asserts of the connection's settings.
"""

from __future__ import annotations

import os
import random
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from provnode import wire
from provnode.crypto.hashing import pack
from provnode.ledger.app import Ledger
from provnode.ledger.canonical import encode
from provnode.light import Trust, verify_proof
from tests.ledger.ledgerkit import Chain, item

KILLS = 64
PER_BLOCK = 12
COMMITTER = Path(__file__).with_name("committer.py")
Plan = list[tuple[bytes, bytes]]


def prepare(chain: Chain, path: Path, count: int) -> Plan:
    """Blocks for a chain of `count`, each with creations and with updates of the block before."""
    ledger = chain.ledger(path)
    for height in range(count):
        bodies = [item(f"o-{height}-{n}", body={"title": "甲" * 300}) for n in range(PER_BLOCK)]
        if height:
            bodies += [item(f"o-{height - 1}-{n}", 1, "update", {"amount": height}) for n in range(4)]
            bodies.append(item(f"o-{height - 1}-0", 0, "overwrite", {"title": "改"}))
        chain.extend(ledger, *bodies)
    stored = (ledger.stored_block(height) for height in range(1, count + 1))
    plan = [(raw, wire.encode_certificate(certificate)) for raw, certificate in stored]
    ledger.store.close()
    return plan


def run_and_kill(store: Path, plan: Path, after: int, delay: float) -> tuple[int, int]:
    """Let the child commit `after` blocks and then live for `delay` seconds more.

    Gives the height it found on opening, and the last one that it acknowledged.
    """
    child = subprocess.Popen(
        [sys.executable, COMMITTER, store, plan],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert child.stdout is not None
    output = b""
    try:
        deadline = time.monotonic() + 60
        while output.count(b"\n") < after + 1 and time.monotonic() < deadline:
            if select.select([child.stdout], [], [], 1)[0]:
                got = os.read(child.stdout.fileno(), 65536)
                output += got
                if not got:
                    break
        time.sleep(delay)
    finally:
        child.send_signal(signal.SIGKILL)
        child.wait()
    output += child.stdout.read()
    child.stdout.close()
    lines = output.decode().splitlines()
    assert lines[:1], "the child did not open its store"
    word, opened = lines[0].split()
    assert word == "open"
    acknowledged = [int(line.split()[1]) for line in lines[1:]]
    return int(opened), max(acknowledged, default=int(opened))


@pytest.mark.parametrize("seed", [20240314])
def test_kill_9_at_random_moments(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    chain = Chain()
    blocks = prepare(chain, tmp_path / "reference.db", 400)
    plan = tmp_path / "plan"
    plan.write_bytes(pack([encode(chain.document), blocks]))
    store = tmp_path / "s.db"
    durable, hits = 0, 0
    for _ in range(KILLS):
        opened, last = run_and_kill(store, plan, rng.choice((0, 0, 1, 2, 3)), rng.random() * 0.012)
        # between two runs: what the run before acknowledged is there, at most one block beyond it
        assert durable <= opened <= durable + 1
        hits += last < len(blocks)
        durable = last
        check_whole(chain, store, durable, blocks)
        if durable >= len(blocks) - 30:
            for suffix in ("", "-wal", "-shm"):
                Path(f"{store}{suffix}").unlink(missing_ok=True)
            durable = 0
    assert hits == KILLS  # every kill met a child that still had work to do


def check_whole(chain: Chain, path: Path, acknowledged: int, blocks: Plan) -> None:
    """The store opens, has every acknowledged block, and state and blocks belong together."""
    # a copy: opening would itself repair what the next child is to find
    copy = path.with_name("copy.db")
    for suffix in ("", "-wal"):
        copied = Path(f"{copy}{suffix}")
        copied.unlink(missing_ok=True)
        if Path(f"{path}{suffix}").exists():
            copied.write_bytes(Path(f"{path}{suffix}").read_bytes())
    Path(f"{copy}-shm").unlink(missing_ok=True)
    ledger: Ledger = chain.ledger(copy)
    height = ledger.height
    assert acknowledged <= height <= acknowledged + 1
    ledger.store.check()
    for at in range(max(1, height - 3), height + 1):
        assert ledger.stored_block(at)[0] == blocks[at - 1][0]
        for entry in ledger.objects(at):
            object_id, version = str(entry["object_id"]), int(str(entry["version"]))
            proven = verify_proof(
                ledger.prove(object_id, version),
                Trust.of_genesis(chain.document, chain.provider),
                chain.provider,
            )
            assert proven.height == height
            assert ledger.transaction(bytes.fromhex(str(entry["txid"])))["height"] == at
    assert (ledger.store.block(height + 1), ledger.store.head(f"o-{height}-0")) == (None, None)
    ledger.store.close()
