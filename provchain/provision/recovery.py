"""What a killed engine leaves: a lock on the stack and operations of unknown outcome."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from provchain.errors import ProvchainError
from provchain.paths import home
from pulumi import automation

_PROJECT = "provchain"  # the name in pulumi/Pulumi.yaml; the file backend's folders have it
_WAIT_SECONDS = 60.0


def has_state(network: str) -> bool:
    """Return whether the network has a stack."""
    return _checkpoint(network).is_file()


def clear_lock(network: str, progress: Callable[[str], None]) -> None:
    """Remove locks on the network's stack that no running engine holds.

    An engine that still runs, such as the orphan of a killed command, is given 60 s to end.
    Raises ProvchainError if it does not, or if the lock was taken on another machine.
    """
    deadline = time.monotonic() + _WAIT_SECONDS
    for lock in _locks(network):
        while (holder := _holder(lock)) is not None:
            if holder["hostname"] != socket.gethostname():
                raise ProvchainError(
                    f"network {network} is locked by an engine on {holder['hostname']}",
                    remedy=f"if it has ended, remove {lock}",
                )
            if not _is_engine(int(holder["pid"])):
                progress("clearing the lock of an engine that was killed")
                lock.unlink(missing_ok=True)
                break
            if time.monotonic() > deadline:
                raise ProvchainError(
                    f"network {network} is being worked on by an engine, process {holder['pid']}",
                    remedy="wait for it, or interrupt it",
                )
            progress(f"waiting for the engine that still runs, process {holder['pid']}")
            time.sleep(0.5)


def clear_pending(stack: automation.Stack, network: str, progress: Callable[[str], None]) -> None:
    """Forget operations that a killed engine began: making a thing adopts whatever is left of it."""
    state = json.loads(_checkpoint(network).read_text(encoding="utf-8"))
    if not (state["checkpoint"].get("latest") or {}).get("pending_operations"):
        return
    progress("clearing operations that an engine began and did not end")
    exported = stack.export_stack()
    deployment = {**(exported.deployment or {}), "pending_operations": []}
    stack.import_stack(automation.Deployment(version=exported.version, deployment=deployment))


def _state(network: str) -> Path:
    return home() / "networks" / network / "pulumi" / ".pulumi"


def _checkpoint(network: str) -> Path:
    return _state(network) / "stacks" / _PROJECT / f"{network}.json"


def _locks(network: str) -> list[Path]:
    folder = _state(network) / "locks" / "organization" / _PROJECT / network
    return sorted(folder.glob("*.json")) if folder.is_dir() else []


def _holder(lock: Path) -> dict[str, Any] | None:
    """Return who holds a lock, or None if it was given back meanwhile."""
    try:
        holder: dict[str, Any] = json.loads(lock.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except json.JSONDecodeError:  # killed while writing it
        return {"pid": 0, "hostname": socket.gethostname()}
    return holder


def _is_engine(pid: int) -> bool:
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")[0]
    except OSError:
        return False
    return Path(command.decode(errors="replace")).name == "pulumi"
