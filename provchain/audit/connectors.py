"""Hosts that no ssh leads to, named as pyinfra names them, and what can be seen of them. Pure."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from provchain.baseline.facts import SSH_OFFERS, Facts, Output, Status

CONNECTOR = (
    r"^@(local|chroot//?[A-Za-z0-9_][A-Za-z0-9_./@+-]{0,200}"
    r"|(docker|podman)/[A-Za-z0-9][A-Za-z0-9_.-]{0,127})$"
)
Connector = Annotated[str, Field(pattern=CONNECTOR)]
WORDING = (
    "@local, @chroot/ and a folder's absolute path, @docker/ or @podman/ and the name of a running container"
)
NO_SSH = "no ssh leads to it"
STANDS = "it is an image, which does not run: only a running host tells"

_FILED = tuple(
    f"run:{program} "
    for program in (
        "/bin/bash",
        "/usr/bin/apt-config",
        "/usr/bin/apt-get",
        "/usr/bin/cut",
        "/usr/bin/cvtsudoers",
        "/usr/bin/dnf",
        "/usr/bin/dpkg",
        "/usr/bin/dpkg-query",
        "/usr/bin/find",
        "/usr/bin/getent",
        "/usr/bin/grep",
        "/usr/bin/openssl",
        "/usr/bin/passwd",
        "/usr/bin/readlink",
        "/usr/bin/rpm",
        "/usr/bin/systemd-analyze",
        "/usr/bin/uname -m",
        "/usr/sbin/sshd",
    )
)
"""Commands that tell of an image by its files alone. Whatever else is asked for tells of what runs."""
_LIVE = tuple(f"{kind}:/{top}/" for kind in ("file", "stat") for top in ("dev", "proc", "run", "sys", "var"))
"""What a kernel shows, and what running programs leave behind: an image has none of it yet."""
_BORN = ("stat:/etc/ssh/ssh_host_", "stat:/etc/provchain/")
"""What a host gets of its own, from its first boot on."""


@dataclass(frozen=True, slots=True)
class Connected:
    """A host and the connector by which a shell is reached there; the pattern is ``CONNECTOR``."""

    name: str
    connector: str

    def argv(self) -> list[str]:
        """Return the program that becomes the connector's command, in an interpreter of its own."""
        return [sys.executable, "-I", "-m", "provchain.audit.become", self.connector]


def is_image(connector: str) -> bool:
    """Tell whether it leads to a folder in which nothing runs."""
    return connector.startswith("@chroot/")


def container(connector: str | None) -> bool | None:
    """Tell whether a host is a container, where the way to it says so; else the host itself is asked."""
    if connector is None or connector == "@local":
        return None
    return not is_image(connector)


def seen(connector: str, facts: Facts) -> Facts:
    """Return the facts without what can't be seen that way, each with the reason why it is unknown."""
    if facts.unreachable:
        return facts
    outputs = dict(facts.outputs)
    if is_image(connector):
        outputs = {
            name: one if _of_files(name) else Output(Status.DENIED, 0, STANDS)
            for name, one in outputs.items()
        }
    return replace(facts, outputs={**outputs, SSH_OFFERS.id: Output(Status.DENIED, 0, NO_SSH)})


def _of_files(name: str) -> bool:
    if name.startswith("run:"):
        return f"{name} ".startswith(_FILED)
    return not name.startswith((*_LIVE, *_BORN))
