"""How long a network takes to come and go: cold, warm, with nothing to do, and down. Prints JSON.

    python bench/lab.py --network bench [--no-cold]

Cold: nothing of provchain's own is there (an empty PROVCHAIN_HOME), so the engine, the image and the node's
package are made; what package managers and Go's compiler keep elsewhere stays. Warm: those are there, the
network is not. The network is removed before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import tempfile
import time

from bench.machine import ROOT, environment, provchain


def _timed(verb: str, network: str, *options: str, home: str | None = None) -> dict[str, object]:
    """Run a command and return its seconds, and those of its steps."""
    began = time.monotonic()
    if home:  # what the command itself needs is not there either
        subprocess.run(["tools/bootstrap"], cwd=ROOT, env={**os.environ, "PROVCHAIN_HOME": home}, check=True)
    said = provchain(verb, network, *options, home=home)
    seconds = round(time.monotonic() - began, 1)
    steps = re.findall(r"^(\w+): .*\((\d+\.\d) s\)$", said, re.MULTILINE)
    return {"seconds": seconds, "steps": {step: float(taken) for step, taken in steps}}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--network", required=True, help="a network of the bench's own; it is removed")
    parser.add_argument("--no-cold", action="store_true", help="leave out the cold start")
    options = parser.parse_args()
    network = options.network
    about = environment()
    found: dict[str, object] = {}
    provchain("down", network, "--yes")
    if not options.no_cold:
        with tempfile.TemporaryDirectory(prefix="provchain-bench-") as home:
            found["cold_up"] = _timed("up", network, home=home)
            found["down_after_cold"] = _timed("down", network, "--yes", home=home)
    found["prepare"] = _timed("up", network)  # makes what is missing in the usual place
    provchain("down", network, "--yes")
    found["warm_up"] = _timed("up", network)
    found["noop_up"] = _timed("up", network)
    found["down"] = _timed("down", network, "--yes")
    del found["prepare"]
    print(json.dumps({"bench": "lab", "network": network, "environment": about, **found}, ensure_ascii=False))


if __name__ == "__main__":
    main()
