"""The kinds of resources that a rule can be about. A new kind is a class and a place in ``Check``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from provchain.baseline.resources.accounts import Accounts
from provchain.baseline.resources.base import Entry, Family, Fix, Resource, Step, Target
from provchain.baseline.resources.files import File
from provchain.baseline.resources.kernel import Sysctl
from provchain.baseline.resources.machine import Machine, Module, Mount, Stray
from provchain.baseline.resources.network import Firewall, Sockets
from provchain.baseline.resources.options import Option
from provchain.baseline.resources.pam import Pam
from provchain.baseline.resources.services import Packages, Service, UnitProperty
from provchain.baseline.resources.session import Banner, Session
from provchain.baseline.resources.sshd import Sshd
from provchain.baseline.resources.sudo import SudoDefault, SudoRights

__all__ = ["Check", "Entry", "Family", "Fix", "Resource", "Step", "Target"]

Check = Annotated[
    Accounts
    | Banner
    | File
    | Firewall
    | Machine
    | Module
    | Mount
    | Option
    | Packages
    | Pam
    | Service
    | Session
    | Sockets
    | Sshd
    | Stray
    | SudoDefault
    | SudoRights
    | Sysctl
    | UnitProperty,
    Field(discriminator="resource"),
]
