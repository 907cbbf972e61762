"""Every rule that hardening fixes is broken on a lab host, by what it refuses, or says why it can't be."""

from __future__ import annotations

from dataclasses import replace

import pytest

from provchain.baseline.judge import CARRIED
from provchain.baseline.resources import Entry, Target
from provchain.baseline.resources.options import Option
from provchain.baseline.resources.systemd import SystemdOption
from provchain.paths import spec_file
from provchain.spec import load
from tests.system import breaks
from tests.unit.baseline.casekit import STRICT

LAB = Target("v1", "debian", True, frozenset({"validator"}), admins=("ops",))
MACHINES = {
    "audit-service", "audit-loaded", "audit-locked-now", "journal-audit", "kernel-aslr", "kernel-pointers",
    "kernel-log", "kernel-ptrace", "kernel-suid-dump", "kernel-hardlinks", "kernel-symlinks", "kernel-bpf",
    "kernel-sysrq", "module-cramfs", "module-hfs", "module-hfsplus", "module-jffs2", "module-udf",
    "module-usb-storage", "module-dccp", "module-sctp", "module-rds", "module-tipc",
}  # fmt: skip
"""Settings of the kernel and its audit, which a container shares with its machine."""
UNBREAKABLE = {"audit-no-manual-stop", "ssh-public-key"}
MACHINE = replace(LAB, container=False)
UNBREAKABLE_ON_MACHINES = {"audit-locked-now", "ssh-public-key"}
OTHER_ROLES = {
    "bastion": {"ssh-bastion-forwarding"},
    "logs": {"log-collected-files", "log-collected-folder", "logrotate-collected"},
}
OTHERS = set().union(*OTHER_ROLES.values())


def test_what_is_not_broken_is_known() -> None:
    """Whoever adds a rule that is not proven on a lab host has to add it here, and think about it."""
    fixed = {rule.id for rule in STRICT.rules if rule.fix == "machine"}
    left = {rule: why for rule, why in breaks.left(STRICT, LAB).items() if rule in fixed}
    assert {rule for rule, why in left.items() if why == CARRIED} == MACHINES
    assert {rule for rule, why in left.items() if why == breaks.ELSEWHERE} == OTHERS
    assert set(left) == MACHINES | OTHERS | UNBREAKABLE
    assert set(breaks.breaks(STRICT, LAB)) == fixed - set(left)


def test_a_host_with_a_kernel_of_its_own_breaks_the_rest() -> None:
    """One machine is emulated for it: only what no break could show is left."""
    left = breaks.left(STRICT, MACHINE)
    fixed = {rule.id for rule in STRICT.rules if rule.fix == "machine"}
    assert {rule for rule in left if rule in fixed} == OTHERS | UNBREAKABLE_ON_MACHINES
    assert set(breaks.breaks(STRICT, MACHINE)) >= MACHINES - UNBREAKABLE_ON_MACHINES


def test_hosts_of_other_roles_break_what_is_their_own() -> None:
    """One host of the lab has all these roles, and the proof breaks on it what no other has."""
    host = next(one for one in load(spec_file("lab")).hosts if set(OTHER_ROLES) <= set(one.roles))
    target = Target(host.name, "debian", True, frozenset(host.roles))
    assert set(breaks.breaks(STRICT, target)) >= OTHERS


@pytest.mark.parametrize("rule", breaks.breaks(STRICT, LAB))
def test_what_is_written_instead_is_refused(rule: str) -> None:
    """The value, or what the program takes if the line goes."""
    check = next(one for one in STRICT.rules if one.id == rule).check_for("debian")
    expect = getattr(check, "expect", None)
    if expect is None:
        return
    (entry,) = (one for one in check.fixes(STRICT.values, LAB) if isinstance(one, Entry))
    wrong = breaks.contradicted(entry, expect, STRICT.values)
    if wrong is None and isinstance(check, Option | SystemdOption):
        wrong = check.default
    assert not expect.fits(wrong.removesuffix("M") if wrong else wrong, STRICT.values)


def test_those_that_share_a_setting_turn_red_together() -> None:
    found = breaks.breaks(STRICT, LAB)
    assert found["lockout-before"].red == {"lockout-before", "lockout-after", "lockout-account"}
    assert found["ssh-max-tries"].red == {"ssh-max-tries"}
