"""Pulumi's dynamic providers of the lab: thin, they only translate to ``provchain.lab``.

Each resource carries an output ``problems``: what the last look found to differ from what was made.
Reading looks again, and any problem makes the next update repair it. Pulumi stores these classes by
reference to this module, so their code may change without a change of state.
"""

from __future__ import annotations

from typing import Any

from pulumi.dynamic import (
    CreateResult,
    DiffResult,
    ReadResult,
    ResourceProvider,
    UpdateResult,
)

from provchain.lab import host, root, router, zone
from provchain.lab.rules import Pass

Properties = dict[str, Any]
_INTERNAL = "__provider"


class _LabProvider(ResourceProvider):
    """The part that all three have in common; a subclass says how its thing is made, seen and removed."""

    replacing: frozenset[str] = frozenset({"network"})
    """Inputs that can't change on a thing that exists."""

    def make(self, props: Properties) -> Properties:
        """Bring the thing to the state described, whatever is there, and return its further outputs."""
        raise NotImplementedError

    def look(self, props: Properties) -> list[str] | None:
        """Return what differs, or None if the thing is gone."""
        raise NotImplementedError

    def remove(self, props: Properties) -> None:
        """Remove the thing; must not fail if it is gone."""
        raise NotImplementedError

    def create(self, props: Properties) -> CreateResult:
        """Make the thing, or adopt what an interrupted run left of it."""
        name = f"{props['network']}/{props.get('name', 'router')}"
        return CreateResult(name, self._outputs(props))

    def read(self, id_: str, props: Properties) -> ReadResult:
        """Return the live state; no id if the thing is gone."""
        problems = self.look(props)
        if problems is None:
            return ReadResult("", {})
        return ReadResult(id_, {**props, "problems": problems})

    def diff(self, _id: str, olds: Properties, news: Properties) -> DiffResult:
        """Compare inputs, and count every problem as a change."""
        changed = {key for key in news if key != _INTERNAL and olds.get(key) != news[key]}
        replaced = sorted(changed & self.replacing)
        return DiffResult(
            changes=bool(changed or olds.get("problems")), replaces=replaced, delete_before_replace=True
        )

    def update(self, _id: str, _olds: Properties, news: Properties) -> UpdateResult:
        """Bring the thing to the new state in place, which also repairs it."""
        return UpdateResult(self._outputs(news))

    def delete(self, _id: str, props: Properties) -> None:
        """Remove the thing."""
        self.remove(props)

    def _outputs(self, props: Properties) -> Properties:
        return {**props, **self.make(props), "problems": []}


class RouterProvider(_LabProvider):
    """The network's namespace and the packet filter between its zones."""

    def make(self, props: Properties) -> Properties:
        """Load the rules."""
        router.ensure(props["network"], _passes(props))
        return {}

    def look(self, props: Properties) -> list[str] | None:
        """Compare the kernel's rules."""
        return router.problems(props["network"], _passes(props)) if router.exists(props["network"]) else None

    def remove(self, props: Properties) -> None:
        """Remove the namespace."""
        router.remove(props["network"])


class ZoneProvider(_LabProvider):
    """A zone's bridge."""

    replacing = frozenset({"network", "name"})

    def make(self, props: Properties) -> Properties:
        """Make the bridge."""
        zone.ensure(_zone(props))
        return {}

    def look(self, props: Properties) -> list[str] | None:
        """Compare the bridge, its address and the station."""
        return zone.problems(_zone(props)) if zone.exists(_zone(props)) else None

    def remove(self, props: Properties) -> None:
        """Remove the bridge."""
        zone.remove(_zone(props))


class HostProvider(_LabProvider):
    """A host. Its first login can't change later: hardening has since taken over."""

    replacing = frozenset({"network", "name", "user", "port"})

    def make(self, props: Properties) -> Properties:
        """Start the host and return its public SSH key."""
        return {"host_key": host.ensure(_host(props))}

    def read(self, id_: str, props: Properties) -> ReadResult:
        """Return the live state, the key that the host has now included."""
        found = super().read(id_, props)
        if found.id:
            found.outs = {**(found.outs or {}), "host_key": root.host_key(props["network"], props["name"])}
        return found

    def look(self, props: Properties) -> list[str] | None:
        """Compare whether it runs and where it is plugged in."""
        return host.problems(_host(props)) if host.exists(props["network"], props["name"]) else None

    def remove(self, props: Properties) -> None:
        """Remove the host and its data."""
        host.remove(props["network"], props["name"])


def _passes(props: Properties) -> list[Pass]:
    return [
        Pass(p["source"], p["address"], p["protocol"], int(p["port"]), p["purpose"]) for p in props["passes"]
    ]


def _zone(props: Properties) -> zone.Zone:
    return zone.Zone(props["network"], props["name"], props["cidr"], props["router"], props.get("station"))


def _host(props: Properties) -> host.Host:
    return host.Host(
        network=props["network"],
        name=props["name"],
        zone=props["zone"],
        interface=props["interface"],
        gateway=props["gateway"],
        user=props["user"],
        port=int(props["port"]),
        neighbours=dict(props["neighbours"]),
    )
