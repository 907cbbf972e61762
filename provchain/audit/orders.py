"""Where the hosts of an audit come from: a network of provchain's, or a fleet's file; and the last audit."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from provchain import paths
from provchain.audit import fleet as fleets
from provchain.audit import subjects as about
from provchain.audit.assessment import Assessment, read, sm3
from provchain.audit.connectors import Connected
from provchain.audit.ssh import Reach
from provchain.audit.subjects import Subject
from provchain.errors import ProvchainError
from provchain.spec import load

PROFILE = "mlps3"


@dataclass(frozen=True)
class Source:
    """Hosts, how each is reached, and what the inventory says of the audit."""

    network: str
    subjects: tuple[Subject, ...]
    reaches: tuple[Reach | Connected, ...]
    folder: Path
    """Where ``baseline.yml`` would lie."""
    profile: str


def of_network(network: str, user: str = "") -> Source:
    """Return the hosts of a network, reached as its operators reach it, or as another user there.

    Raises ProvchainError where it is not up.
    """
    path = paths.spec_file(network)
    spec = load(path)
    config = paths.home() / "networks" / network / "ssh" / "config"
    if not config.is_file():
        raise ProvchainError(
            f"the hosts of network {network} can't be reached",
            cause=f"there is no {config}: it is not up",
            remedy=f"provchain up --network {network}",
        )
    bastion = spec.ssh.bastion
    reaches = tuple(
        Reach(host.name, config, "" if host.name == bastion else bastion, user) for host in spec.hosts
    )
    return Source(network, about.of_network(spec), reaches, path.parent, spec.baseline.profile)


def of_fleet(path: Path, private: Path) -> Source:
    """Return the hosts of a fleet's file; its ssh files go into a private folder. Raises DocumentError."""
    fleet = fleets.load(path)
    return _of(fleet, path.resolve().parent, private)


def of_connector(connector: str, private: Path) -> Source:
    """Return the one host to which a connector leads; its waivers lie where one is."""
    return _of(fleets.at(connector), Path.cwd(), private)


def _of(fleet: fleets.Fleet, folder: Path, private: Path) -> Source:
    reaches = fleets.write(fleet, private)
    return Source(fleet.fleet, fleets.subjects(fleet), reaches, folder, PROFILE)


def last(network: str) -> tuple[Assessment, str] | None:
    """Return the network's last whole audit and its digest, or None: there is none that can be read."""
    try:
        found = read(_kept(network).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValidationError):
        return None  # there is none, or one of another version
    return found, sm3(found.canonical().encode())


def remember(network: str, text: str) -> None:
    """Keep a whole audit, in its canonical form, as the network's last one. Raises OSError."""
    path = _kept(network)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(text)
    Path(temporary).replace(path)


def _kept(network: str) -> Path:
    return paths.home() / "audits" / f"{network}.json"
