"""What a network has on this machine, and its complete removal, whatever state a crash left it in."""

from __future__ import annotations

from pathlib import Path

from provchain.lab import cgroup, host, limits, names, netns
from provchain.paths import home


def leftovers(network: str) -> list[str]:
    """Name every process, control group, mount, namespace and host folder of a network, one line each.

    Empty after a complete removal. Bridges and cables live in namespaces and end with them.
    """
    found = []
    for name in sorted(cgroup.hosts(network)):
        found += [f"process {pid} of {name}" for pid in cgroup.processes(network, name)]
        found.append(f"control group of {name}")
    found += [f"mount {path}" for path in _mounts(network)]
    found += [f"namespace {name}" for name in netns.of_network(network)]
    found += [f"folder of {path.name}" for path in _folders(network)]
    return found


def remove(network: str) -> None:
    """Remove all that ``leftovers`` names; touches nothing of another network. Keys and logs stay."""
    for name in sorted(cgroup.hosts(network) | {path.name for path in _folders(network)}):
        host.remove(network, name)
    for namespace in netns.of_network(network):
        if namespace != names.lab_namespace(network):
            netns.delete(namespace)
    netns.delete(names.lab_namespace(network))
    limits.restore()


def _lab(network: str) -> Path:
    return home() / "networks" / network / "lab"


def _folders(network: str) -> list[Path]:
    lab = _lab(network)
    return sorted(lab.iterdir()) if lab.is_dir() else []


def _mounts(network: str) -> list[str]:
    rows = Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    prefix = f"{_lab(network)}/"
    return [row.split()[1] for row in rows if row.split()[1].startswith(prefix)]
