"""What every kind of resource has in common: which probes it needs, how it judges, what fixes it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel

from provchain.baseline.facts import Facts, Probe
from provchain.baseline.observation import Observation
from provchain.baseline.values import THRESHOLD, Expect, Record, Threshold, Values

Family = Literal["debian", "rpm"]


@dataclass(frozen=True, slots=True)
class Plan:
    """What a network's description promises, seen from one of its hosts (``baseline.plan.plan_of``).

    ``zones`` are kinds, ``own`` that of the host's zone; ``faults`` validators may be down or lie;
    ``together`` is the most validators that share a failure domain; ``copies`` hosts keep the whole ledger;
    in so many failure domains (``supervised``) the supervisor reaches an RPC; ``ssh_from`` are the kinds of
    zones from which hosts may be administered.
    """

    zones: frozenset[str]
    own: str
    faults: int
    together: int
    copies: int
    supervised: int
    ssh_from: frozenset[str]


@dataclass(frozen=True, slots=True)
class Target:
    """What is known of a host before it is looked at, and what its first facts say of it.

    ``listeners`` are the ends that the network's description allows to listen, as (protocol, port); None
    for a host that no description names, where nothing can be said of them.
    """

    name: str
    family: Family | None
    container: bool
    roles: frozenset[str] = frozenset()
    listeners: frozenset[tuple[str, int]] | None = None
    admins: tuple[str, ...] = ()
    """The accounts by which people log in."""
    unit: str | None = None
    """The engine's systemd unit, where one runs."""
    plan: Plan | None = None
    """What the network's description promises; None for a host that no description names."""
    arch: str = "x86_64"
    """Its architecture as ``uname -m`` tells it, for fixes that differ by it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A line of a drop-in file that many rules share: ``dropin`` names the file in ``fixes.DROPINS``."""

    dropin: str
    key: str
    value: str


@dataclass(frozen=True, slots=True)
class Step:
    """A setting of the module ``converge``: its kind and parameters."""

    kind: str
    parameters: Mapping[str, Any]


Fix = Entry | Step
LOADED_NOW = Step("audit_loaded", {})
"""The kernel has the audit rules of the files, and the audit daemon its configuration."""


class Resource(Record):
    """A typed check of one thing on a host. Subclasses name themselves in ``resource``.

    ``judge`` may raise UnknownError; it never guesses. ``fixes`` gives what makes the same check pass,
    from the same parameters; an empty tuple says that a person has to do it.
    """

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        """Return the looks that ``judge`` needs: they depend on family, container and unit alone."""
        raise NotImplementedError

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        """Compare what was seen with what the rule wants. Raises UnknownError."""
        raise NotImplementedError

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        """Return what makes this check pass."""
        return ()

    def thresholds(self) -> dict[str, type]:
        """Return the thresholds that it names, without the ``$``, with the type that each must have."""
        return dict(_named(self))


def _named(record: BaseModel) -> Iterator[tuple[str, type]]:
    for name, field in type(record).model_fields.items():
        value = getattr(record, name)
        if isinstance(value, Expect):
            yield from value.thresholds().items()
        elif isinstance(value, BaseModel):
            yield from _named(value)
        elif isinstance(value, tuple):
            for one in value:
                if isinstance(one, BaseModel):
                    yield from _named(one)
        elif isinstance(value, str) and _is_threshold(field.metadata, field.annotation):
            yield value[1:], tuple if "list" in str(field.metadata) else int


def _is_threshold(metadata: list[Any], annotation: object) -> bool:
    """Tell whether a field was declared as Threshold, optional or not."""
    if any(getattr(one, "pattern", None) == THRESHOLD for one in metadata):
        return True
    return any(part == Threshold for part in get_args(annotation))


Listed = Annotated[Threshold, "list"]
"""A field that names a threshold which is a list of text."""
