"""Where provchain keeps what does not belong in the repository: caches, state, keys, logs."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent


def home() -> Path:
    """Return the root of all state, ``$PROVCHAIN_HOME`` or ``/var/lib/provchain``."""
    return Path(os.environ.get("PROVCHAIN_HOME", "/var/lib/provchain"))


def cache() -> Path:
    """Return the folder of content-addressed builds that every network shares."""
    return _made(home() / "cache", 0o755)


def network_dir(network: str) -> Path:
    """Return the private folder (mode 0700) of one network's state, keys and logs."""
    return _made(home() / "networks" / network, 0o700)


def backup_dir(network: str) -> Path:
    """Return where a network's backups are kept, which stay when the network goes; makes nothing."""
    return home() / "backups" / network


def runtime_dir(network: str) -> Path:
    """Return the folder of one network's sockets; short, as a socket's path holds 108 bytes."""
    return _made(Path("/run/provchain") / network, 0o700)


def spec_file(network: str) -> Path:
    """Return the chain.yml of a network by its name."""
    return REPOSITORY / "inventories" / network / "chain.yml"


def _made(path: Path, mode: int) -> Path:
    path.mkdir(parents=True, exist_ok=True, mode=mode)
    return path
