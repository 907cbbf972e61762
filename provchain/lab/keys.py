"""The operator's SSH key of a network: born here on first use, known to no other network."""

from __future__ import annotations

import fcntl
from pathlib import Path

from provchain.lab.shell import run
from provchain.paths import network_dir


def folder(network: str) -> Path:
    """Return the private folder (mode 0700) of a network's SSH key, configuration and known hosts."""
    path = network_dir(network) / "ssh"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def private_key(network: str) -> Path:
    """Return the path of the network's private key, made first if there is none yet."""
    path = folder(network) / "id_ed25519"
    with (path.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        make(path, f"operator@{network}")
    return path


def make(path: Path, comment: str) -> None:
    """Make an Ed25519 key pair without passphrase at ``path`` (mode 0600), unless a whole one is there."""
    if path.is_file() and path.with_name(f"{path.name}.pub").is_file():
        return
    path.unlink(missing_ok=True)  # half of a pair: an interrupted run
    run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path))
