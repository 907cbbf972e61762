"""What four validators commit under saturation, and how quickly one that was away is back. Prints JSON.

    python bench/chain.py --network bench [--seconds 20] [--in-flight 1500]

The network is brought up first if it is not there, and left running. All its hosts, the client and this
program share one machine's processors. Transactions carry whole JR/T 0314 objects, are checked against their
schema, signed by SM2 and verified on every node. The load generator of an engine is ``load/<engine>.py``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any, cast

from bench.machine import environment, provchain
from provchain.paths import spec_file
from provchain.spec import load as load_spec
from tests.host import engine as engines
from tests.host import network as networks
from tests.host.network import Network

_CATCH_UP_SECONDS = 300.0


def _load(network: Network, seconds: float, in_flight: int) -> dict[str, Any]:
    """Saturate the network through its entrance, and return what the generator measured."""
    name = network.spec.engine.name
    script = (Path(__file__).parent / "load" / f"{name}.py").read_text(encoding="utf-8")
    entrance = next(
        host.name for host in network.spec.hosts if "rpc" in host.roles and "validator" not in host.roles
    )
    (sample,) = engines.load(name).samples(1, "bench")
    asked = {
        "object": sample,
        "label": f"bench-{time.time_ns()}",
        "in_flight": in_flight,
        "seconds": seconds,
    }
    # in place of the engine's own command, with what that is given to open its keys
    argv = network.verb_argv(entrance, "submit", {})[:-2]
    argv += ["/usr/bin/python3", "-I", "-c", script, json.dumps(asked)]
    done = network.host(entrance).run(shlex.join(argv))
    if done.rc != 0:
        sys.exit(f"{entrance}: the load generator failed: {done.stderr}")
    return {"entrance": entrance, "in_flight": in_flight, **cast(dict[str, Any], json.loads(done.stdout))}


def _blocks(network: Network, first: int, last: int) -> dict[str, object]:
    """Return what the blocks of the load themselves say."""
    node = network.nodes[0]
    sizes = [network.ask(node, "block", height=str(h))["transactions"] for h in range(first + 1, last + 1)]
    counts = [size if isinstance(size, int) else len(size) for size in sizes]
    return {"blocks": len(counts), "transactions": sum(counts), "largest": max(counts, default=0)}


def _catch_up(network: Network, unit: str, seconds: float, in_flight: int) -> dict[str, object]:
    """Stop a validator during a load, start it again, and measure until it has the others' height."""
    away = network.spec.validators[-1].name
    others = [name for name in network.nodes if name != away]
    stopping = time.monotonic()
    network.run(away, "systemctl", "stop", unit)
    stopped = time.monotonic() - stopping
    before = max(network.heights(others).values())
    loaded = _load(network, seconds, in_flight)
    target = max(network.heights(others).values())
    began = time.monotonic()
    network.run(away, "systemctl", "start", unit)
    while _height(network, away) < target:
        if time.monotonic() - began > _CATCH_UP_SECONDS:
            sys.exit(f"{away} did not catch up within {_CATCH_UP_SECONDS:g} s")
    taken = time.monotonic() - began
    return {
        "validator": away,
        "blocks_behind": target - before,
        "transactions_behind": loaded["committed"],
        "seconds": round(taken, 2),
        "stop_seconds": round(stopped, 2),
        "with_three_of_four": loaded,
    }


def _height(network: Network, name: str) -> int:
    try:
        return network.heights([name])[name]
    except AssertionError:  # not up yet
        return -1


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--network", required=True)
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each load")
    parser.add_argument("--in-flight", type=int, default=1500, help="transactions that wait at a time")
    options = parser.parse_args()
    about = environment()
    provchain("up", options.network)
    network = networks.load(load_spec(spec_file(options.network)))
    unit = engines.load(network.spec.engine.name).unit
    first = max(network.heights().values())
    saturated = _load(network, options.seconds, options.in_flight)
    blocks = _blocks(network, first, max(network.heights().values()))
    alone = _load(network, options.seconds / 2, 1)
    away = _catch_up(network, unit, options.seconds, options.in_flight)
    result = {
        "bench": "chain",
        "network": options.network,
        "environment": about,
        "saturated": saturated | blocks,
        "one_at_a_time": alone,
        "restart_catch_up": away,
    }
    print(json.dumps(result, ensure_ascii=False))


if __name__ == "__main__":
    main()
