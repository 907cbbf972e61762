"""How long a fresh node takes to join a long chain by a state snapshot, and validators to start on it.

    python -m bench.statesync [--blocks 100000] [--provider native] [--out FILE]

Processes on loopback, with TLS between them and a disk under each. A chain of blocks of one small object
each is made beforehand; four validators start on it, make the next blocks and, at a height that is a multiple
of `--blocks`, a snapshot. Then a fifth node starts with an empty folder and `sync = "snapshot"`, and
`provnode wait` says when it follows the chain: from the start of its process, told in seconds of the clock on
the wall and of its processor time. JSON on standard output.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from bench.loopback.history import History
from bench.loopback.http import UnixRpc
from bench.loopback.provnode import NODE, Provnode
from bench.machine import ROOT, environment
from provchain.provision.go import ensure_library

# blocks that the validators make before the one with the snapshot
_BEFORE = 3
_WAIT_SECONDS = 300


def measure(folder: Path, blocks: int, provider: str) -> dict[str, Any]:
    """The times in seconds."""
    network = Provnode(
        folder,
        4,
        256,
        1000,
        0,
        provider,
        snapshot_interval=blocks,
        followers=("n1",),
        age_seconds=blocks // 1000 + 60,
    )
    history = History(network)
    made = history.grow(blocks - _BEFORE)
    for name in network.names:
        history.give(folder / name / "data")
    try:
        began = time.monotonic()
        for name in network.names:
            network.start_one(name)
        network.processes.wait_for(lambda: all(network.height(one) > 0 for one in network.names), "answer")
        answered = time.monotonic() - began
        network.processes.wait_for(lambda: network.height() > blocks - _BEFORE, "next block")
        went_on = time.monotonic() - began
        manifests = [
            folder / name / "data" / "snapshots" / str(blocks) / "manifest" for name in network.names
        ]
        network.processes.wait_for(lambda: network.height() >= blocks, "block of the snapshot")
        reached = time.monotonic()
        network.processes.wait_for(lambda: all(map(Path.exists, manifests)), "snapshot of each")
        snapshot_made = time.monotonic() - reached
        network.configure("n1", 'sync = "snapshot"')
        joined = _join(network)
    finally:
        network.stop()
    return {
        "blocks": blocks,
        "store_bytes": (folder / "history.sqlite").stat().st_size,
        "chain_made_seconds": round(made, 1),
        "validators_answer_after_seconds": round(answered, 2),
        "validators_make_a_block_after_seconds": round(went_on, 2),
        "snapshot_of_each_made_seconds": round(snapshot_made, 2),
        "snapshot_chunks": len(list((folder / "v1" / "data" / "snapshots" / str(blocks)).iterdir())) - 1,
        **joined,
    }


def _join(network: Provnode) -> dict[str, Any]:
    socket = str(network.socket("n1"))
    began, started = time.monotonic(), time.time()
    network.start_one("n1")
    argv = [sys.executable, "-m", "provnode", "wait", "--seconds", str(_WAIT_SECONDS), "--socket", socket]
    # refused at once while there is no socket yet, which the command itself takes for a node that starts
    subprocess.run(argv, cwd=NODE, check=True)
    seconds = time.monotonic() - began
    network.processes.check()
    status = UnixRpc.ask(network.socket("n1"), "node_status")
    log = [json.loads(line) for line in (network.root / "n1.log").read_text(encoding="utf-8").splitlines()]
    at = {
        line["event"]: datetime.fromisoformat(line["time"]).timestamp() - started
        for line in reversed(log)
        if line["event"] in {"join.begun", "join.done", "node.started"}
    }
    return {
        "joined_seconds": round(seconds, 2),
        "joined_cpu_seconds": round(network.processes.cpu_seconds("n1"), 2),
        "joined_steps": {event: round(when, 2) for event, when in at.items()},
        "joined_at_height": status["height"],
        "oldest_height": status["oldest_height"],
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=100_000)
    parser.add_argument("--provider", choices=("native", "openssl"), default="native")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    ran_on = environment()
    if given.provider == "native":
        os.environ["PROVNODE_LIBPROVSM"] = str(ensure_library(ROOT / "node" / "packaging" / "provsm.py"))
    with tempfile.TemporaryDirectory(prefix="statesync-") as folder:
        found = measure(Path(folder), given.blocks, given.provider)
    text = json.dumps({"bench": "statesync", **found, "environment": ran_on})
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
