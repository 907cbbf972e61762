"""Networks of processes on this machine's loopback, for the benches that compare them."""

import os
import sys
from pathlib import Path

from provchain.provision.go import ensure_library

_NODE = Path(__file__).resolve().parents[2] / "node"
# the node is a distribution of its own, which the environment of the benches does not install
sys.path.append(str(_NODE))
# nor is the package's library in the tree that the nodes run from
if "PROVNODE_LIBPROVSM" not in os.environ:
    os.environ["PROVNODE_LIBPROVSM"] = str(ensure_library(_NODE / "packaging" / "provsm.py"))
