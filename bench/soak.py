"""Four validators under a steady load: whether memory, files and threads stay what they are. Prints JSON.

    python bench/soak.py --minutes 60 --rate 250 [--warm-up 15] [--snapshots BLOCKS]
    python bench/soak.py --judge bench/results/soak.json

A network of processes on loopback takes `--rate` transactions a second, spread over its nodes; an object with
its proof is read and the metrics are fetched meanwhile. Every five seconds each node's memory, open files,
threads and folder are looked at (proc(5): anonymous memory is the process's own; file pages, what it maps).

The verdict, and the rule that it follows, are those of `bench.loopback.flat`; `--judge FILE` gives it anew
for a result that is there already, whose minutes it tells.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.loopback.flat import LEAST_MINUTES, judge
from bench.loopback.http import UnixRpc
from bench.loopback.provnode import Provnode
from bench.loopback.steady import Minute, Steady
from bench.loopback.vitals import Vitals, look
from bench.machine import ROOT, environment
from provchain.provision.go import ensure_library

_LOOK_SECONDS = 5.0
_READ_SECONDS = 1.0
_MIB = 2**20
_VITALS = ("anonymous", "file", "descriptors", "threads", "disk")


@dataclass
class Watched:
    """A node and what was seen of it in this minute."""

    name: str
    socket: Path
    pid: int
    folder: Path
    seen: list[Vitals] = field(default_factory=list)


@dataclass
class Soak:
    """One run."""

    nodes: list[Watched]
    load: Steady
    minutes: list[dict[str, object]] = field(default_factory=list)

    async def run(self, seconds: float) -> None:
        """Load and look. Raises OSError when a node is gone."""
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(one) for one in (self._look(), self._read(), self._tell())]
            await self.load.run(seconds)
            for task in beside:
                task.cancel()

    async def _look(self) -> None:
        while True:
            for node in self.nodes:
                found = await asyncio.to_thread(look, node.pid, node.folder)
                node.seen.append(found)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _read(self) -> None:
        """What operators and readers ask for, all the while."""
        asked = [await UnixRpc.connect(node.socket) for node in self.nodes]
        while True:
            await asyncio.sleep(_READ_SECONDS)
            for rpc in asked:
                if self.load.committed:
                    number = self.load.committed // 2
                    # one that is refused or not committed yet is no object: the answer is an error
                    with contextlib.suppress(OSError):
                        await rpc.call("object", object_id=f"{number:x}", proof=True)
                await rpc.metrics()

    async def _tell(self) -> None:
        before = await self._height()
        while True:
            began = time.monotonic()
            await asyncio.sleep(60)
            height = await self._height()
            minute, self.load.minute = self.load.minute, Minute()
            interval = (time.monotonic() - began) / max(1, height - before)
            self.minutes.append(_minute(minute, height, interval, self.nodes))
            print(json.dumps({"minute": len(self.minutes), **self.minutes[-1]}), file=sys.stderr, flush=True)
            before = height

    async def _height(self) -> int:
        found: dict[str, int] = await asyncio.to_thread(UnixRpc.ask, self.nodes[0].socket, "node_status")
        return found["height"]


def _minute(minute: Minute, height: int, interval: float, nodes: list[Watched]) -> dict[str, object]:
    p50, p99 = minute.percentile(50), minute.percentile(99)
    # the most that was seen
    seen = {name: [max(getattr(one, name) for one in node.seen) for node in nodes] for name in _VITALS}
    for node in nodes:
        node.seen.clear()
    return {
        "height": height,
        "committed": minute.committed,
        "refused": minute.refused,
        "late": minute.late,
        "left_out": minute.left_out,
        "block_interval_seconds": round(interval, 3),
        "latency_seconds": {"p50": round(p50, 3), "p99": round(p99, 3)},
        "latency_intervals": {"p50": round(p50 / interval, 2), "p99": round(p99 / interval, 2)},
        "anonymous_mib": [round(size / _MIB, 1) for size in seen["anonymous"]],
        "file_mib": [round(size / _MIB, 1) for size in seen["file"]],
        "descriptors": seen["descriptors"],
        "threads": seen["threads"],
        "disk_mib": [round(size / _MIB) for size in seen["disk"]],
    }


def _soak(network: Provnode, options: argparse.Namespace, warm_up: float) -> dict[str, Any]:
    load = Steady(network, options.rate)
    pids = network.processes.pids
    nodes = [Watched(name, network.socket(name), pids[name], network.root / name) for name in network.names]
    soak = Soak(nodes, load)
    asyncio.run(soak.run(options.minutes * 60))
    network.processes.check()
    return {
        "minutes": options.minutes,
        "warm_up_minutes": warm_up,
        "rate": options.rate,
        "provider": options.provider,
        "snapshot_interval": options.snapshots,
        "committed": load.committed,
        **judge(soak.minutes, warm_up, options.most),
        "each_minute": soak.minutes,
    }


def main() -> None:
    """Run, and print; 1 when it grows."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=int, default=250, help="transactions a second")
    parser.add_argument("--warm-up", type=float, help="minutes that don't count; a quarter if not given")
    parser.add_argument("--most", type=float, default=16, help="MiB an hour that count as flat")
    parser.add_argument("--size", type=int, default=256, help="least bytes of a transaction")
    parser.add_argument("--interval", type=int, default=1_000, help="block interval in milliseconds")
    parser.add_argument("--provider", default="native", choices=["native", "openssl"])
    parser.add_argument("--snapshots", type=int, default=0, help="blocks between state snapshots; 0: none")
    parser.add_argument("--judge", type=Path, metavar="FILE", help="judge this result instead of a new run")
    options = parser.parse_args()
    if options.judge is not None:
        told = json.loads(options.judge.read_text(encoding="utf-8"))
        found = judge(told["each_minute"], told["warm_up_minutes"], options.most)
        print(json.dumps(found, ensure_ascii=False))
        sys.exit(found["verdict"] != "flat")
    about = environment()
    warm_up = options.minutes / 4 if options.warm_up is None else options.warm_up
    if int(options.minutes) - warm_up <= LEAST_MINUTES:
        parser.error(f"--minutes: too few, needed: more than {LEAST_MINUTES} after the warm-up")
    os.environ["PROVNODE_LIBPROVSM"] = str(ensure_library(ROOT / "node" / "packaging" / "provsm.py"))
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        network = Provnode(
            root=Path(folder),
            count=4,
            size=options.size,
            interval_ms=options.interval,
            in_flight=0,
            provider=options.provider,
            snapshot_interval=options.snapshots,
        )
        network.start()
        try:
            found = _soak(network, options, warm_up)
        finally:
            network.stop()
    print(json.dumps({"bench": "soak", "environment": about, **found}, ensure_ascii=False))
    sys.exit(found["verdict"] != "flat")


if __name__ == "__main__":
    main()
