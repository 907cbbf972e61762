"""How long a node takes to end after SIGTERM: idle, under load, while it catches up, while it joins.

    python bench/stop.py [--rounds 3] [--rate 300] [--behind 20] [--provider native]

Prints JSON. Four validators on loopback; one after the other is stopped and started again, and a fifth node
without anything joins by a snapshot. `cut_off` counts those that did
not end by themselves, see the log event `node.cut_off`. The verdict is "in time" when none took longer than
two seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from bench.loopback.provnode import Provnode
from bench.loopback.steady import Steady
from bench.machine import ROOT, environment
from provchain.provision.go import ensure_library

_MOST_SECONDS = 2.0
_POLL_SECONDS = 0.02
_PATIENCE_SECONDS = 120.0
_NEW = "n1"


@dataclass
class Stops:
    """What was measured in one situation."""

    seconds: list[float] = field(default_factory=list)
    cut_off: int = 0

    def add(self, network: Provnode, name: str) -> None:
        """Stop a node and measure."""
        self.seconds.append(network.processes.end(name))
        self.cut_off += "node.cut_off" in network.processes.said(name)

    def as_json(self) -> dict[str, object]:
        """In seconds."""
        found = {"median": statistics.median(self.seconds), "max": max(self.seconds)}
        rounded = {name: round(value, 2) for name, value in found.items()}
        return {"stops": len(self.seconds), "seconds": rounded, "cut_off": self.cut_off}


def _until(ready: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not ready():
        if time.monotonic() > end:
            raise RuntimeError(f"not within {_PATIENCE_SECONDS:g} s: {what}")
        time.sleep(_POLL_SECONDS)


def _turns(network: Provnode, rounds: int) -> Iterator[str]:
    """Each node `rounds` times; the one that was stopped is back and up to date before the next."""
    for _ in range(rounds):
        for name in network.names:
            yield name
            network.start_one(name)
            other = next(one for one in network.names if one != name)
            _reached(network, name, network.height(other))


def _reached(network: Provnode, name: str, height: int) -> None:
    _until(lambda: network.height(name) >= max(height, 0), f"height {height} of {name}")


def _running(network: Provnode, rounds: int) -> Stops:
    stops = Stops()
    for name in _turns(network, rounds):
        stops.add(network, name)
    return stops


def _catching_up(network: Provnode, rounds: int, behind: float) -> Stops:
    """A node that was away for `behind` seconds of load is stopped while it fetches blocks."""
    stops = Stops()
    for name in _turns(network, rounds):
        network.processes.end(name)
        time.sleep(behind)
        before = network.height(next(one for one in network.names if one != name))
        network.start_one(name)
        _reached(network, name, 0)
        if network.height(name) < before:
            stops.add(network, name)
        else:
            network.processes.end(name)  # it was too quick for us
    return stops


def _joining(network: Provnode, rounds: int) -> Stops:
    """A node without anything is stopped once it has begun to join by a snapshot."""
    stops = Stops()
    network.configure(_NEW, 'sync = "snapshot"')
    for _ in range(rounds):
        network.empty(_NEW)
        network.start_one(_NEW)
        _until(lambda: "join.begun" in network.processes.said(_NEW), f"{_NEW} joins")
        stops.add(network, _NEW)
    return stops


def main() -> None:
    """Measure, and print; 1 when it takes too long."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3, help="stops of each node in each situation")
    parser.add_argument("--rate", type=int, default=300, help="transactions a second, of the load")
    parser.add_argument("--behind", type=float, default=20, help="seconds that a node is away")
    parser.add_argument("--provider", default="native", choices=["native", "openssl"])
    options = parser.parse_args()
    about = environment()
    os.environ["PROVNODE_LIBPROVSM"] = str(ensure_library(ROOT / "node" / "packaging" / "provsm.py"))
    found: dict[str, Stops] = {}
    with tempfile.TemporaryDirectory(prefix="stop-") as folder:
        network = Provnode(
            root=Path(folder),
            count=4,
            size=256,
            interval_ms=1_000,
            in_flight=0,
            provider=options.provider,
            snapshot_interval=20,
            followers=(_NEW,),
        )
        network.start()
        try:
            found["idle"] = _running(network, options.rounds)
            load = Steady(network, options.rate)
            # a daemon: it goes on for as long as there is something to measure
            threading.Thread(target=lambda: asyncio.run(load.run(3_600)), daemon=True).start()
            time.sleep(5)
            found["under_load"] = _running(network, options.rounds)
            found["catching_up"] = _catching_up(network, options.rounds, options.behind)
            found["joining"] = _joining(network, options.rounds)
        finally:
            network.stop()
    in_time = all(max(one.seconds, default=0.0) <= _MOST_SECONDS for one in found.values())
    told = {name: one.as_json() for name, one in found.items() if one.seconds}
    result = {"bench": "stop", "environment": about, "rate": options.rate, **told}
    print(json.dumps(result | {"verdict": "in time" if in_time else "too late"}, ensure_ascii=False))
    sys.stdout.flush()
    # the load's thread is still at it
    os._exit(not in_time)


if __name__ == "__main__":
    main()
