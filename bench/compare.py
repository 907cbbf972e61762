"""The chain's speed beside CometBFT's kvstore, on the same machine in the same run. Prints one JSON object.

    python bench/compare.py --provider native [--nodes 4] [--size 256] [--seconds 20] [--rounds 2] [--alone]

Both are networks of processes on loopback and take turns: saturated, and then once each at four fifths of the
rate that it reached, handed in as it is due. At saturation the time that a transaction takes is what waits
divided by the rate (Little's law), so `--in-flight` says more of it than the system does.

CometBFT has its default configuration and its own load generator, and checks no signature; provnode verifies
the SM2 signature of every transaction on every node. Objects of JR/T 0314 carry a header of their own: a
transaction of provnode is at least as long as its smallest object, whatever `--size` asks for; its real
length is told.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path
from typing import Any

from bench.loopback.cometbft import CometBft
from bench.loopback.measure import Watch, figures
from bench.loopback.phases import phases
from bench.loopback.provnode import Provnode
from bench.machine import environment

_WARM_UP = 4.0
# of the rate at saturation
_OPEN = 0.8
# transactions signed in advance for each second of load: more than are committed
_MOST = {"openssl": 1_500, "native": 7_000}


def _round(system: Provnode | CometBft, seconds: int, rate: float | None = None) -> dict[str, Any]:
    """One load on a new chain: all that it takes, or so many transactions a second."""
    load_before = os.getloadavg()[0]
    system.start()
    try:
        used = system.processes.cpu_seconds()
        with Watch(system.height) as watch, system.load(seconds, *([] if rate is None else [rate])) as sent:
            pass
        used = system.processes.cpu_seconds() - used
        system.processes.check()
    finally:
        system.stop()
    found = figures(watch.seen, sent[0], _WARM_UP)
    committed = sum(height is not None for height, _ in sent[0].sent)
    found["node_cpu_us_per_tx"] = round(used / max(committed, 1) / system.count * 1e6, 1)
    found["client_cpu_seconds"] = round(sent[0].client_cpu_seconds, 1)
    asked = {} if rate is None else {"asked_per_second": round(rate, 1)}
    return {"system": system.name, "load_1min_before": round(load_before, 2), **asked, **found}


def _compare(options: argparse.Namespace, ours: Provnode, theirs: CometBft | None) -> dict[str, Any]:
    rounds: list[dict[str, Any]] = []
    systems: list[Provnode | CometBft] = [ours] if theirs is None else [theirs, ours]
    for _ in range(options.rounds):
        rounds += [_round(system, options.seconds) for system in systems]
    found: dict[str, Any] = {}
    for key in ("tx_per_second", "node_cpu_us_per_tx"):
        means = {
            system.name: round(statistics.mean(one[key] for one in rounds if one["system"] == system.name), 1)
            for system in systems
        }
        # of the rates provnode's by CometBFT's; of the costs, which depend less on what else runs, likewise
        ratio = None if theirs is None else round(means["provnode"] / means["cometbft"], 3)
        found[key] = {**means, "ratio": ratio}
    open_loop = [
        _round(system, options.seconds, _OPEN * found["tx_per_second"][system.name]) for system in systems
    ]
    return {**found, "rounds": rounds, "open_loop": open_loop}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--nodes", type=int, default=4)
    parser.add_argument("--size", type=int, default=256, help="least bytes of a transaction")
    parser.add_argument("--seconds", type=int, default=20, help="length of each load")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--interval", type=int, default=1_000, help="block interval in milliseconds")
    parser.add_argument("--in-flight", type=int, default=8_000, help="transactions that wait at a time")
    parser.add_argument("--provider", default="openssl", choices=sorted(_MOST), help="of cryptography")
    parser.add_argument("--alone", action="store_true", help="leave CometBFT out")
    parser.add_argument("--signed", type=int, help="transactions signed in advance for a second of load")
    options = parser.parse_args()
    about = environment()
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        roots = [Path(folder) / name for name in ("ours", "theirs")]
        for root in roots:
            root.mkdir()
        ours = Provnode(
            roots[0], options.nodes, options.size, options.interval, options.in_flight, options.provider
        )
        length = ours.sign(options.in_flight + (options.signed or _MOST[options.provider]) * options.seconds)
        found = {
            "bench": "compare",
            "environment": about,
            "nodes": options.nodes,
            "bytes_per_transaction": {"asked": options.size, "provnode": length},
            "provider": options.provider,
            "configured_interval_ms": options.interval,
            "in_flight": options.in_flight,
        }
        theirs = None if options.alone else CometBft(roots[1], options.nodes, options.size)
        for _ in range(2):  # the first time maps memory and loads code, which a running node has behind it
            found["phases_us_per_tx"] = phases(roots[0], options.provider, options.nodes)
        found |= _compare(options, ours, theirs)
    print(json.dumps(found, ensure_ascii=False))


if __name__ == "__main__":
    main()
