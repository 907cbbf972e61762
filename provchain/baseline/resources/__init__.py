"""The kinds of resources that a rule can be about. A new kind is a class and a place in ``Check``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from provchain.baseline.resources.base import Entry, Family, Fix, Resource, Step, Target
from provchain.baseline.resources.kernel import Sysctl
from provchain.baseline.resources.sshd import Sshd

__all__ = ["Check", "Entry", "Family", "Fix", "Resource", "Step", "Target"]

Check = Annotated[Sshd | Sysctl, Field(discriminator="resource")]
