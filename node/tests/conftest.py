"""The native library, compiled once for each content of its sources, for this run and what it starts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from provchain.paths import cache
from provchain.provision.go import ensure_go

_COMPILE = Path(__file__).resolve().parents[1] / "packaging" / "provsm.py"
_ARGUMENTS = ("--go", ensure_go(), "--cache", cache() / "provsm")

os.environ["PROVNODE_LIBPROVSM"] = subprocess.run(
    [sys.executable, _COMPILE, *_ARGUMENTS], stdout=subprocess.PIPE, text=True, check=True
).stdout.strip()
