"""A fleet that provchain never touched: a YAML file of hosts, strictly checked, and its ssh files."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated

from pydantic import Field

from provchain.audit import connectors
from provchain.audit.connectors import CONNECTOR, Connected, Connector
from provchain.audit.ssh import Reach
from provchain.audit.subjects import Subject
from provchain.baseline.resources import Target
from provchain.baseline.values import Record
from provchain.document import Document, DocumentError, Wording, check, parse, read
from provchain.spec.model import NodeRole

NAME = r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$"
ADDRESS = r"^([0-9a-fA-F:]{2,39}|[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?)$"
USER = r"^[a-z_][a-z0-9_-]{0,31}$"
HOST_KEY = r"^(ssh-ed25519|ecdsa-sha2-nistp(256|384|521)|rsa-sha2-512|ssh-rsa) [A-Za-z0-9+/]{60,800}={0,2}$"
KEY_FILE = r"^/[A-Za-z0-9_./@+-]{1,200}$"

_WORDING = Wording(
    {
        NAME: "a name of lower-case letters, digits, dots and hyphens",
        ADDRESS: "an IP address or a host's name",
        USER: "the name of an account",
        HOST_KEY: "a host's public key as ssh-keyscan prints it: type, space, base64",
        KEY_FILE: "the absolute path of a private key",
        CONNECTOR: connectors.WORDING,
    }
)

Name = Annotated[str, Field(pattern=NAME)]


class Place(Record):
    """What may be said of any machine."""

    name: Name
    port: Annotated[int, Field(ge=1, le=65_535)] = 22
    user: Annotated[str, Field(pattern=USER)] | None = None
    """The account to log in with; the fleet's ``user`` if not given."""
    jump: Name | None = None
    """The bastion or host through which it is reached; for a host, the fleet's ``jump`` if not given."""


class Door(Place):
    """Where and how ssh reaches a machine."""

    address: Annotated[str, Field(pattern=ADDRESS)]
    host_key: Annotated[str, Field(pattern=HOST_KEY)]
    """Its public host key: never accepted unseen."""


class FleetHost(Place):
    """A host that is audited: ssh leads there, or a connector."""

    address: Annotated[str, Field(pattern=ADDRESS)] | None = None
    host_key: Annotated[str, Field(pattern=HOST_KEY)] | None = None
    connector: Connector | None = None
    """In place of all that is ssh's: this machine, an image's folder, a running container."""
    roles: tuple[NodeRole, ...] = ()
    zone: Name | None = None
    admins: tuple[Annotated[str, Field(pattern=USER)], ...] = ()
    """The accounts by which people log in, beside the auditor's; the fleet's ``admins`` if not given."""

    @property
    def door(self) -> Door | None:
        """Return where ssh reaches it; None where it does not."""
        if self.address is None or self.host_key is None:
            return None
        place = Place(name=self.name, port=self.port, user=self.user, jump=self.jump)
        return Door(**place.model_dump(), address=self.address, host_key=self.host_key)


class Fleet(Record):
    """Hosts to audit, and the bastions that lead to them."""

    fleet: Name
    """The fleet's name, in reports."""
    user: Annotated[str, Field(pattern=USER)] | None = None
    """The auditor's account, where ssh leads."""
    key: Annotated[str, Field(pattern=KEY_FILE)] | None = None
    """The auditor's private key; the agent's keys if not given."""
    jump: Name | None = None
    """The host or bastion through which the others are reached; a host may name another."""
    admins: tuple[Annotated[str, Field(pattern=USER)], ...] = ()
    """The accounts by which people log in, on hosts that name none."""
    bastions: tuple[Door, ...] = ()
    """Machines that lead to hosts and are not audited themselves."""
    hosts: Annotated[tuple[FleetHost, ...], Field(min_length=1, max_length=2_000)]

    @property
    def doors(self) -> tuple[Door, ...]:
        """Return all that ssh reaches."""
        return (*self.bastions, *(door for door in (host.door for host in self.hosts) if door))


def load(path: Path) -> Fleet:
    """Read a fleet's file. Raises DocumentError with every problem."""
    document = parse(read(path, "file of a fleet"), str(path))
    fleet = check(document, Fleet, _WORDING)
    if fleet is not None:
        if fleet.jump in (None, *(door.name for door in fleet.doors)):
            fleet = _filled(fleet)
            _fitting(document, fleet)
        else:
            document.refuse(("jump",), fleet.jump or "", "the name of a bastion or host that ssh reaches")
    if document.problems or fleet is None:
        raise DocumentError(tuple(document.problems))
    return fleet


def _filled(fleet: Fleet) -> Fleet:
    """Return the fleet with what stands for all of its hosts given to each that says nothing else."""
    hosts = []
    for host in fleet.hosts:
        more: dict[str, object] = {"admins": host.admins or fleet.admins}
        if host.connector is None and host.name != fleet.jump:
            more["jump"] = host.jump or fleet.jump
        hosts.append(host.model_copy(update=more))
    return fleet.model_copy(update={"hosts": tuple(hosts)})


def at(connector: str) -> Fleet:
    """Return the fleet of the one host to which a connector leads, named after it."""
    name = re.sub("[^a-z0-9]+", "-", connector.lower())[:60].strip("-")
    return Fleet(fleet=f"at-{name}", hosts=(FleetHost(name=name, connector=connector),))


def _fitting(document: Document, fleet: Fleet) -> None:
    names: set[str] = set()
    doors = {door.name: door for door in fleet.doors}
    for list_, some in (("bastions", fleet.bastions), ("hosts", fleet.hosts)):
        for number, place in enumerate(some):
            if place.name in names:
                document.refuse((list_, number, "name"), place.name, "a name of its own")
            names.add(place.name)
            seen = [place.name]
            here: Place = place
            while here.jump is not None:
                if here.jump not in doors or here.jump in seen:
                    allowed = "the name of a bastion or host that ssh reaches, and no circle"
                    document.refuse((list_, number, "jump"), here.jump, allowed)
                    break
                seen.append(here.jump)
                here = doors[here.jump]
    for number, host in enumerate(fleet.hosts):
        _one_way(document, ("hosts", number), host)
    if fleet.user is None and any(door.user is None for door in fleet.doors):
        document.refuse(("user",), "nothing", "this key is required where ssh leads to a host")


def _one_way(document: Document, path: tuple[str, int], host: FleetHost) -> None:
    """Refuse a host to which neither ssh nor a connector leads, or both."""
    if host.connector is None:
        for key in ("address", "host_key"):
            if getattr(host, key) is None:
                document.refuse((*path, key), "nothing", "this key is required, or a connector in its place")
        return
    for key in ("address", "host_key", "port", "user", "jump"):
        if key in host.model_fields_set:
            document.refuse((*path, key), str(getattr(host, key)), f"no such key beside {host.connector}")


def subjects(fleet: Fleet) -> tuple[Subject, ...]:
    """Return the hosts of a fleet."""
    return tuple(
        Subject(
            Target(host.name, None, False, frozenset(host.roles), None, _roster(fleet, host)),
            host.zone or "",
            host.connector,
        )
        for host in fleet.hosts
    )


def _roster(fleet: Fleet, host: FleetHost) -> tuple[str, ...]:
    """Return who may log in, the auditor by ssh among them; nobody where the file names nobody."""
    auditor = host.user or fleet.user if host.connector is None else None
    return tuple(dict.fromkeys((*host.admins, *([auditor] if auditor else [])))) if host.admins else ()


def write(fleet: Fleet, folder: Path) -> tuple[Reach | Connected, ...]:
    """Write the fleet's ssh configuration and known hosts into a private folder. Raises OSError."""
    config, known = folder / "config", folder / "known_hosts"
    doors = fleet.doors
    known.write_text("".join(f"{door.name} {door.host_key}\n" for door in doors), encoding="utf-8")
    config.write_text(ssh_config(fleet, doors, known), encoding="utf-8")
    return tuple(
        Connected(host.name, host.connector)
        if host.connector is not None
        else Reach(host.name, config, host.jump or "")
        for host in fleet.hosts
    )


def ssh_config(fleet: Fleet, doors: Iterable[Door], known: Path) -> str:
    """Return the configuration; every value was checked against its pattern, so none can add a line."""
    blocks = [
        [
            f"Host {door.name}",
            f"HostName {door.address}",
            f"Port {door.port}",
            f"User {door.user or fleet.user}",
            f"HostKeyAlias {door.name}",
            *([f"ProxyJump {door.jump}"] if door.jump else []),
        ]
        for door in doors
    ]
    keys = [f"IdentityFile {fleet.key}", "IdentitiesOnly yes"] if fleet.key else []
    common = [
        "Host *",
        *keys,
        f"UserKnownHostsFile {known}",
        "GlobalKnownHostsFile none",
        "StrictHostKeyChecking yes",
        "UpdateHostKeys no",
        "CheckHostIP no",
        "PreferredAuthentications publickey",
    ]
    return "\n".join("\n  ".join(block) + "\n" for block in [*blocks, common])
