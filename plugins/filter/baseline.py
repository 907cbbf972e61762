"""From the catalog and one host to what ``roles/baseline`` applies."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from ansible.errors import AnsibleFilterError

from provchain.baseline import catalog, fixes
from provchain.baseline.resources import Family, Target
from provchain.document import DocumentError


@cache
def _catalog() -> catalog.Catalog:
    return catalog.load()


def baseline_settings(
    host: dict[str, Any],
    facts: dict[str, Any],
    profile: str,
    rules: Iterable[str] = (),
    points: Iterable[str] = (),
    without: Iterable[str] = (),
    beside: Iterable[str] = (),
    applied: Iterable[str] | None = None,
) -> dict[str, list[dict[str, Any]]]:
    """Return a host's settings for the module ``converge``: ``plain`` ones, and ``access`` ones for a trial.

    ``rules`` and ``points`` (control points such as ``8.1.4.1``) limit it to some rules; empty means all.
    ``beside`` are rules that were applied before and stay: their lines in files that rules share. ``applied``
    limits it to rules that a host has recorded; one that has since left the catalog has nothing to set.
    """
    try:
        resolved = _catalog().profiles[profile]
    except KeyError:
        raise AnsibleFilterError(f"profile {profile!r}; there are {', '.join(_catalog().profiles)}") from None
    except DocumentError as error:
        raise AnsibleFilterError("\n".join(error.lines())) from error
    known = None if applied is None else set(applied)
    wanted, left, near = set(rules), set(without), tuple(f"22239.{point}." for point in points)
    unknown = sorted((wanted | left) - set(_catalog().rules))
    if unknown:
        raise AnsibleFilterError(f"the catalog has no rule {', '.join(unknown)}")
    chosen = {
        rule.id
        for rule in resolved.rules
        if (not wanted or rule.id in wanted)
        and (known is None or rule.id in known)
        and (not near or any(clause.startswith(near) for clause in rule.clauses))
        and rule.id not in left
    }
    family: Family = "debian" if "debian" in facts["os_family"] else "rpm"
    target = Target(
        host["name"], family, facts["container"], frozenset(host["roles"]), arch=facts["architecture"]
    )
    settings = fixes.plan(resolved, target, chosen, beside)
    return {
        name: [{**one.item(), "rules": list(one.rules)} for one in settings if one.access == access]
        for name, access in (("plain", False), ("access", True))
    }


class FilterModule:
    """The filters of this file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return them by name."""
        return {"baseline_settings": baseline_settings}
