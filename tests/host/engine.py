"""What the proof suite needs to know of an engine, and where it learns it.

One adapter an engine, ``engines/<name>.py`` with its ``ENGINE``, is all that knows an engine's inner
shape. How to ask an engine (its verbs, unit and user) stands in /etc/provchain/engine.json on each host.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
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


class Ask(Protocol):
    """Asks a node's service for clients; AssertionError if it refuses."""

    def __call__(self, method: str, **parameters: object) -> Any:  # noqa: ANN401 - each has its own result
        """Return the answer."""


@dataclass(frozen=True)
class Proven:
    """A block that certificates prove, and what is believed from it on."""

    height: int
    block: str
    signed: tuple[str, ...]
    """The validators whose signatures are in its certificate."""
    trust: Any
    """The light client's own."""


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

    backups: str
    """The folder where each node leaves backups of its own, names in the order of time."""
    backup_unit: str
    """The unit that makes one; a timer of that name starts it."""

    def opens(self, backup: str, folder: str) -> str:
        """Return a shell script for root that restores a backup into a folder, on the host it is of."""

    credential: tuple[str, str]
    """The name and the encrypted file of the systemd credential that opens the private keys."""

    def sealed(self, host: Host) -> Mapping[str, str]:
        """Return the files of its private keys, each with what a sealed one begins with."""

    def kept(self, host: Host) -> Sequence[Kept]:
        """Return its files on a host: keys, configuration, data."""

    def serves(self, session: Session) -> bool:
        """Say whether the service rpc answers a request in a session that was negotiated."""

    floor: str
    """The file in which a restored validator keeps from which height on it may sign."""

    def silent_below(self, text: str) -> int | None:
        """Return the least height that a restored validator may sign, None while it is not known."""

    def begin(self, genesis: Path) -> Proven:
        """Return where a light client begins: at the genesis."""

    def asking(self, session: Session) -> Ask:
        """Return how to ask a node in a session that was negotiated."""

    def proven(self, ask: Ask, last: Proven, height: int) -> Proven:
        """Return the node's block at a height, proven from the last one on; raises if it is not."""

    def object_height(self, ask: Ask, last: Proven, object_id: str, version: int) -> int | None:
        """Return at which height an object's proof holds, None if the node has no such object."""

    def accused(self, ask: Ask) -> list[str]:
        """Return the validators of whom the node has recorded that they misbehaved."""

    def samples(self, count: int, label: str) -> list[dict[str, Any]]:
        """Return that many new objects to submit, unlike those of any other label."""


def load(name: str) -> Engine:
    """Return the adapter of an engine; raises ImportError if the suite has none."""
    return cast(Engine, importlib.import_module(f"tests.host.engines.{name.replace('-', '_')}").ENGINE)
