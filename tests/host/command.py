"""The operator's command on the network under test."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from provchain.paths import REPOSITORY
from tests.host.network import Network

_COMMAND = Path(sys.executable).with_name("provchain")
_SECONDS = 300


def run(network: Network, *words: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end, whatever that is."""
    argv = [str(_COMMAND), *words, "--network", network.spec.network, "--json"]
    return subprocess.run(argv, cwd=REPOSITORY, capture_output=True, text=True, timeout=_SECONDS, check=False)


def provchain(network: Network, *words: str) -> dict[str, Any]:
    """Run it and return what it says as JSON; AssertionError if it fails."""
    done = run(network, *words)
    assert done.returncode == 0, f"provchain {' '.join(words)}: {done.stderr[-4000:]}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found
