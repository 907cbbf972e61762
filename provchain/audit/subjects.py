"""Whom the audit is about: hosts with what is known of them, and what their first facts tell. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from provchain.audit import connectors
from provchain.audit.assessment import Described, HostState, PlanState
from provchain.baseline.catalog import Resolved
from provchain.baseline.facts import Facts, Probe, Status, command, file
from provchain.baseline.plan import plan_of
from provchain.baseline.resources import Family, Plan, Target
from provchain.spec import ChainSpec, listeners

RELEASE = file("/etc/os-release")
CONTAINER = command("/usr/bin/systemd-detect-virt", "--container")
HOSTNAME = file("/proc/sys/kernel/hostname")
FIRST = (RELEASE, CONTAINER, HOSTNAME)
"""What tells which rules apply; it comes with all else in the one round trip."""

_NODES = {"validator", "full", "rpc"}
"""Roles of hosts on which the engine runs."""
_FAMILIES: dict[str, Family] = {
    **dict.fromkeys(("debian", "ubuntu", "deepin", "uos"), "debian"),
    **dict.fromkeys(
        ("rhel", "fedora", "centos", "openeuler", "anolis", "kylin", "rocky", "almalinux", "openanolis"),
        "rpm",
    ),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """A host as its inventory describes it; ``zone`` is empty where nobody said."""

    target: Target
    zone: str = ""
    connector: str | None = None
    """The way to it, where no ssh leads there."""

    @property
    def name(self) -> str:
        """Return the host's name."""
        return self.target.name


def of_network(spec: ChainSpec) -> tuple[Subject, ...]:
    """Return the hosts of a network that provchain describes."""
    return tuple(
        Subject(
            Target(
                host.name,
                None,
                False,
                frozenset(host.roles),
                frozenset((one.protocol, one.port) for one in listeners(spec, host)),
                (spec.ssh.user, *(one.name for one in spec.administrators)),
                f"{spec.engine.name}.service" if _NODES & set(host.roles) else None,
                plan_of(spec, host),
            ),
            host.zone,
        )
        for host in spec.hosts
    )


def described(subject: Subject) -> Described:
    """Return what the inventory says of a host, as it stands in an assessment."""
    target = subject.target
    ends = target.listeners
    return Described(
        listeners=None if ends is None else tuple(sorted(f"{protocol}/{port}" for protocol, port in ends)),
        admins=target.admins,
        unit=target.unit,
        plan=_planned(target.plan) if target.plan else None,
        connector=subject.connector,
    )


def _planned(plan: Plan) -> PlanState:
    return PlanState(
        zones=tuple(sorted(plan.zones)),
        own=plan.own,
        faults=plan.faults,
        together=plan.together,
        copies=plan.copies,
        supervised=plan.supervised,
        ssh_from=tuple(sorted(plan.ssh_from)),
    )


def of_state(state: HostState) -> Subject:
    """Return the host of an assessment as its inventory described it, without what facts tell.

    Raises ValueError if the assessment doesn't say, or says what no inventory could.
    """
    said = state.described
    if said is None:
        raise ValueError(f"{state.name} is not described")
    words = [one.partition("/") for one in said.listeners or ()]
    ends = frozenset((protocol, int(port)) for protocol, _, port in words)
    target = Target(
        state.name,
        None,
        False,
        frozenset(state.roles),
        None if said.listeners is None else ends,
        said.admins,
        said.unit,
        _plan(said.plan) if said.plan else None,
    )
    return Subject(target, state.zone, said.connector)


def _plan(state: PlanState) -> Plan:
    return Plan(
        frozenset(state.zones),
        state.own,
        state.faults,
        state.together,
        state.copies,
        state.supervised,
        frozenset(state.ssh_from),
    )


def everything(profile: Resolved, targets: Iterable[Target]) -> tuple[Probe, ...]:
    """Return all that a profile could ask of these hosts, whatever system they turn out to run.

    So one round trip is enough, and the sudo list is the same for all of them.
    """
    kinds: tuple[tuple[Family | None, bool], ...] = tuple(
        (family, container) for family in ("debian", "rpm", None) for container in (False, True)
    )
    # nothing else of a target says what is asked of it, so that of many hosts few are different
    different = {
        Target("", family, container, unit=unit)
        for unit in {target.unit for target in targets}
        for family, container in kinds
    }
    wanted = {
        probe
        for target in different
        for rule in profile.rules
        for probe in rule.check_for(target.family).probes(target, profile.values)
    }
    return tuple(sorted({*wanted, *FIRST}))


def known(subject: Subject, facts: Facts) -> Subject:
    """Return the subject with what its first facts tell: family, and container or machine.

    A way that leads into a container, or to no system that runs, knows better than what is found there.
    """
    release = facts.outputs.get(RELEASE.id)
    container = facts.outputs.get(CONTAINER.id)
    inside = (
        container is not None
        and container.status == Status.SEEN
        and container.text.strip() not in ("", "none")
    )
    known_so = connectors.container(subject.connector)
    told = family(release.text) if release and release.status == Status.SEEN else None
    target = replace(subject.target, family=told, container=inside if known_so is None else known_so)
    return replace(subject, target=target)


def family(release: str) -> Family | None:
    """Return the family that an os-release(5) tells, ID_LIKE before ID: Kylin has versions of both."""
    fields = dict(re.findall(r"""^(ID|ID_LIKE)=["']?([A-Za-z0-9._ -]{1,80})["']?$""", release, re.M))
    for word in [*fields.get("ID_LIKE", "").split(), fields.get("ID", "")]:
        found = _FAMILIES.get(word.lower())
        if found:
            return found
    return None
