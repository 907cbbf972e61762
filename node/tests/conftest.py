"""The native library, compiled once for each content of its sources, for this run and what it starts."""

from __future__ import annotations

import os
from pathlib import Path

from provchain.provision.go import ensure_library

_COMPILE = Path(__file__).resolve().parents[1] / "packaging" / "provsm.py"

os.environ["PROVNODE_LIBPROVSM"] = str(ensure_library(_COMPILE))
