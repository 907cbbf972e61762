"""How fast a fresh node fetches and verifies blocks, from one peer and from three, near and far. Prints JSON.

    python -m bench.blocksync [--blocks 6000] [--rounds 3] [--latency 50 1000] [--out FILE]

Processes on loopback: three of four validators hold a chain of blocks with one small object each; a follower
with an empty folder is connected to one of them, or to all three, by itself or through a relay that adds
`--latency` milliseconds to each question with its answer. Every block's certificate and transaction are
verified, and it is synced to the disk before the next. Told is the median of the rounds, in blocks a second
between the first 200 and the last, and the follower's processor time a block.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench.loopback.history import History
from bench.loopback.provnode import Provnode
from bench.loopback.relay import start_relay
from bench.machine import ROOT, environment
from provchain.provision.go import ensure_library

_WARM = 200


def _measure(network: Provnode, blocks: int, peers: list[str], latency: float) -> tuple[float, float]:
    """Blocks a second, and processor milliseconds a block."""
    processes = network.processes
    shutil.rmtree(network.root / "n1" / "data", ignore_errors=True)
    through: Mapping[str, int] = {name: network.members[name].p2p_port for name in peers}
    if latency:
        through = start_relay(processes, latency, through)
    network.configure("n1", through=through)
    network.start_one("n1")
    try:
        processes.wait_for(lambda: network.height("n1") >= _WARM, "start of the sync")
        first, began, spent = network.height("n1"), time.monotonic(), processes.cpu_seconds("n1")
        processes.wait_for(lambda: network.height("n1") >= blocks, "end of the sync")
        seconds, used = time.monotonic() - began, processes.cpu_seconds("n1") - spent
        done = blocks - first
        return done / seconds, 1000 * used / done
    finally:
        processes.stop("n1", *(["relay"] if latency else []))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--blocks", type=int, default=6_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--latency", type=float, nargs="+", default=[50.0, 1000.0], help="milliseconds")
    parser.add_argument("--provider", choices=("native", "openssl"), default="native")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    ran_on = environment()
    if given.provider == "native":
        os.environ["PROVNODE_LIBPROVSM"] = str(ensure_library(ROOT / "node" / "packaging" / "provsm.py"))
    cases = {f"{n}_peers_{ms:g}_ms": (n, ms) for ms in (0.0, *given.latency) for n in (1, 3)}
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    with tempfile.TemporaryDirectory(prefix="blocksync-") as folder:
        network = Provnode(Path(folder), 4, 256, 1000, 0, given.provider, followers=("n1",), age_seconds=3600)
        history = History(network)
        history.grow(given.blocks)
        serving = network.names[:3]
        for name in serving:
            history.give(network.root / name / "data")
            network.start_one(name)
        try:
            network.processes.wait_for(lambda: network.height() > given.blocks, "next block")
            for _ in range(given.rounds):
                for name, (count, latency) in cases.items():
                    found[name].append(_measure(network, given.blocks, serving[:count], latency))
        finally:
            network.stop()
    told = {
        name: {
            "blocks_per_second": round(statistics.median(rate for rate, _ in rounds)),
            "of": sorted(round(rate) for rate, _ in rounds),
            "cpu_ms_per_block": round(statistics.median(cost for _, cost in rounds), 2),
        }
        for name, rounds in found.items()
    }
    text = json.dumps({"bench": "blocksync", "blocks": given.blocks, **told, "environment": ran_on})
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
