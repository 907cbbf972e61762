"""What the proof suite needs to know of an engine, and where it learns it.

One adapter an engine, ``engines/<name>.py`` with its ``ENGINE``, is all that knows an engine's inner
shape. How to ask an engine (its verbs, unit and user) stands in /etc/provchain/engine.json on each host.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

from provchain.spec import Host
from tests.host.tls import Session


@dataclass(frozen=True)
class Kept:
    """A file or folder as it must be on a host."""

    path: str
    owner: str
    group: str
    mode: str
    """Four octal digits."""
    kind: str = "file"


class Engine(Protocol):
    """The inner shape of an engine's installation."""

    unit: str
    """Its systemd unit on nodes."""
    user: str
    """The account that it runs as."""
    data: str
    """The folder of its ledger and logs on nodes."""
    services: Sequence[str]
    """The services of the description that speak its TLS."""
    sandbox: Mapping[str, str]
    """Properties of the unit as ``systemctl show`` reports them, each with its only allowed value."""
    families: frozenset[str]
    """Address families that it may use at most."""

    credential: tuple[str, str]
    """The name and the encrypted file of the systemd credential that opens the private keys."""

    def sealed(self, host: Host) -> Mapping[str, str]:
        """Return the files of its private keys, each with what a sealed one begins with."""

    def kept(self, host: Host) -> Sequence[Kept]:
        """Return its files on a host: keys, configuration, data."""

    def serves(self, session: Session) -> bool:
        """Say whether the service rpc answers a request in a session that was negotiated."""

    def samples(self, count: int, label: str) -> list[dict[str, Any]]:
        """Return that many new objects to submit, unlike those of any other label."""


def load(name: str) -> Engine:
    """Return the adapter of an engine; raises ImportError if the suite has none."""
    return cast(Engine, importlib.import_module(f"tests.host.engines.{name.replace('-', '_')}").ENGINE)
