"""The environment in which the Pulumi engine works on a network, by hand as well as from provchain."""

from __future__ import annotations

import os
import secrets
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from provchain.paths import REPOSITORY, home, network_dir
from provchain.provision.engine import PLUGINS, ensure_engine

PROGRAM = REPOSITORY / "pulumi"


def environment(network: str, progress: Callable[[str], None] = lambda _: None) -> dict[str, str]:
    """Return the variables under which ``pulumi -C pulumi preview`` works on the network's stack.

    State stays in the network's folder; the passphrase that encrypts its secrets is named by its file,
    never by its text. Raises ProvchainError if there is no engine and none can be built.
    """
    state = state_dir(network)
    engine = ensure_engine(progress)
    return {
        "PATH": os.pathsep.join([str(engine.parent), str(PLUGINS), os.environ.get("PATH", os.defpath)]),
        "PROVCHAIN_HOME": str(home()),
        "PROVCHAIN_PYTHON": sys.executable,
        "PYTHONPATH": str(REPOSITORY),
        "PULUMI_BACKEND_URL": f"file://{state}",
        "PULUMI_CONFIG_PASSPHRASE_FILE": str(passphrase_file(network)),
        "PULUMI_HOME": str(home() / "pulumi"),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_STACK": network,
    }


def state_dir(network: str) -> Path:
    """Return the folder of the network's Pulumi state."""
    path = network_dir(network) / "pulumi"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def passphrase_file(network: str) -> Path:
    """Return the file (0600) with the passphrase of the network's state, generated on first use."""
    path = network_dir(network) / "passphrase"
    if not path.exists():
        handle, temporary = tempfile.mkstemp(prefix=".passphrase-", dir=path.parent)  # mode 0600
        with os.fdopen(handle, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32))
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, path)  # fails, rather than replaces, if another was quicker
        except FileExistsError:
            pass
        finally:
            Path(temporary).unlink()
    return path
