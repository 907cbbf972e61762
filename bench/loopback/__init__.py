"""Networks of processes on this machine's loopback, for the benches that compare them."""

import sys
from pathlib import Path

# the node is a distribution of its own, which the environment of the benches does not install
sys.path.append(str(Path(__file__).resolve().parents[2] / "node"))
