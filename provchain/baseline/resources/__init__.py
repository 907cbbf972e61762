"""The kinds of resources that a rule can be about. A new kind is a class and a place in ``Check``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from provchain.baseline.resources.accounts import Accounts
from provchain.baseline.resources.audit import (
    AuditControl,
    AuditPrivileged,
    AuditRules,
    AuditState,
    BootWord,
)
from provchain.baseline.resources.base import Entry, Family, Fix, Plan, Resource, Step, Target
from provchain.baseline.resources.clock import Clock
from provchain.baseline.resources.files import File
from provchain.baseline.resources.identity import Certificate, Toml
from provchain.baseline.resources.kernel import Sysctl
from provchain.baseline.resources.logs import LogAge, Logrotate
from provchain.baseline.resources.machine import Machine, Module, Mount, Stray
from provchain.baseline.resources.network import Firewall, Sockets
from provchain.baseline.resources.options import Option
from provchain.baseline.resources.pam import Pam
from provchain.baseline.resources.plan import PlanCheck
from provchain.baseline.resources.rsyslog import Rsyslog
from provchain.baseline.resources.services import AnyService, Packages, Service, UnitProperty
from provchain.baseline.resources.session import Banner, Session
from provchain.baseline.resources.sshd import Sshd, SshOffer
from provchain.baseline.resources.sudo import SudoDefault, SudoRights
from provchain.baseline.resources.systemd import SystemdOption
from provchain.baseline.resources.upkeep import Intact, Kernel, NothingAt, Recent, Repositories, Updates

__all__ = ["Check", "Entry", "Family", "Fix", "Plan", "Resource", "Step", "Target"]

Check = Annotated[
    Accounts
    | AnyService
    | AuditControl
    | AuditPrivileged
    | AuditRules
    | AuditState
    | Banner
    | BootWord
    | Certificate
    | Clock
    | File
    | Firewall
    | Intact
    | Kernel
    | LogAge
    | Logrotate
    | Machine
    | Module
    | Mount
    | NothingAt
    | Option
    | Packages
    | Pam
    | PlanCheck
    | Recent
    | Repositories
    | Rsyslog
    | Service
    | Session
    | Sockets
    | Sshd
    | SshOffer
    | Stray
    | SudoDefault
    | SudoRights
    | Sysctl
    | SystemdOption
    | Toml
    | UnitProperty
    | Updates,
    Field(discriminator="resource"),
]
