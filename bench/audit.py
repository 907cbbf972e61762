"""What an audit costs, by the number of hosts: simulated ones that replay one recorded answer. Prints JSON.

    python bench/audit.py [--hosts 8 50 100 200] [--rounds 3] [--profile mlps3]
    python bench/audit.py --network lab [--rounds 5]        a network that is up, for real
    python bench/audit.py --compare --network bench         eight hosts made for it, beside Lynis and OpenSCAP

The answer is recorded first: the audit's own script, run by this machine's shell. A simulated host is a
process in place of ssh that reads the script and plays the answer with this connection's nonce, so all that
the auditor's side does is real: processes, pipes, parsing, judging, and the report's JSON. Times are of this
process and its children; what hosts would do themselves is not in them. The ratio is that of the cost per
host at the largest number to that at the smallest: 1 is linear.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench import scanners
from bench.machine import environment
from provchain.audit import looks, orders
from provchain.audit.orders import Source
from provchain.audit.run import Order, audit
from provchain.audit.ssh import Reach
from provchain.audit.subjects import Subject
from provchain.baseline import catalog
from provchain.baseline.catalog import Catalog
from provchain.baseline.model import SiteFile
from provchain.baseline.resources import Target

_RECORDED = "@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@"
# n=… is the second line of the script; the rest is read to its end, as a host would
_REPLAY = """\
#!/bin/sh
read -r _; read -r n; n=${n#n=}; /usr/bin/cat >/dev/null
/usr/bin/sed "s/@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@/$n/" "${0%/*}/err" >&2
exec /usr/bin/sed "s/@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@@/$n/" "${0%/*}/out"
"""


def _record(folder: Path, order: Order) -> dict[str, object]:
    """Run the script here once, with short time limits, and lay a simulated ssh into the folder."""
    before, looks.SECONDS = looks.SECONDS, 2
    asked = looks.plan(order.asked)
    script = looks.script(asked, _RECORDED)
    looks.SECONDS = before
    done = subprocess.run(["/bin/sh", "-s"], input=script.encode(), capture_output=True, check=True)
    (folder / "out").write_bytes(done.stdout)
    (folder / "err").write_bytes(done.stderr)
    (folder / "ssh").write_text(_REPLAY)
    (folder / "ssh").chmod(0o755)
    probes = sum(len(look.probes) for look in asked)
    return {"commands": len(asked), "probes": probes, "answer_bytes": len(done.stdout)}


def _order(found: Catalog, profile: str, count: int) -> Order:
    names = [f"h{number}" for number in range(count)]
    subjects = tuple(Subject(Target(name, None, False), "inner") for name in names)
    reaches = tuple(Reach(name, Path("/dev/null")) for name in names)
    source = Source("bench", subjects, reaches, Path("/"), profile)
    return Order(source, found, found.profiles[profile], SiteFile(), Path("/"))


def _cpu() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def _measure(order: Order, rounds: int) -> dict[str, Any]:
    walls, costs, code, reached = [], [], 0, 0
    for _ in range(rounds):
        began, used = time.monotonic(), _cpu()
        found = audit(order)
        found.canonical()
        walls.append(time.monotonic() - began)
        costs.append(_cpu() - used)
        reached, code = sum(not host.unreachable for host in found.hosts), found.exit_code
    count = len(order.source.subjects)
    if reached != count:
        sys.exit(f"{count - reached} of {count} hosts were not reached")
    return {
        "hosts": count,
        "wall_s": round(statistics.median(walls), 3),
        "cpu_ms_per_host": round(statistics.median(costs) / count * 1000, 1),
        "results": len(found.results),
        "exit_code": code,
    }


def _simulated(counts: Sequence[int], profile: str, rounds: int) -> dict[str, Any]:
    began = _cpu()
    found = catalog.load()
    loaded = _cpu() - began
    with tempfile.TemporaryDirectory(prefix="pc-bench-") as folder:
        recorded = _record(Path(folder), _order(found, profile, 1))
        os.environ["PATH"] = f"{folder}:{os.environ['PATH']}"
        runs = [_measure(_order(found, profile, count), rounds) for count in counts]
    return {
        "catalog_cpu_ms": round(loaded * 1000, 1),
        "recorded": recorded,
        "runs": runs,
        "cost_per_host_ratio": round(runs[-1]["cpu_ms_per_host"] / runs[0]["cpu_ms_per_host"], 2),
    }


def _real(network: str, rounds: int) -> dict[str, Any]:
    source = orders.of_network(network)
    found = catalog.load()
    order = Order(source, found, found.profiles[source.profile], SiteFile(), source.folder)
    command = [str(Path(sys.executable).parent / "provchain"), "audit", network, "--json"]
    began = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
    return {"network": network, "command_s": round(time.monotonic() - began, 2), **_measure(order, rounds)}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, nargs="+", default=[8, 50, 100, 200])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", default=orders.PROFILE)
    parser.add_argument("--network", help="a network that is up; with --compare one that is not")
    parser.add_argument(
        "--compare", action="store_true", help="with Lynis and OpenSCAP, see bench/scanners.py"
    )
    options = parser.parse_args()
    about = environment()
    if options.compare:
        measured = scanners.compare(
            options.network or parser.error("--compare needs --network"), options.rounds
        )
    elif options.network:
        measured = _real(options.network, options.rounds)
    else:
        measured = _simulated(options.hosts, options.profile, options.rounds)
    name = "audit-compare" if options.compare else "audit"
    print(json.dumps({"bench": name, "environment": about, **measured}, ensure_ascii=False))


if __name__ == "__main__":
    main()
