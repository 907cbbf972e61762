"""What only a kernel of its own shows: its parameters, modules and audit, on one emulated machine.

It is a bare host of the lab like others, hardened, broken, mended and brought back by the same commands.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from provchain.baseline.judge import CARRIED
from provchain.baseline.resources import Target
from tests.system import breaks
from tests.system.bare import RESOLVED, Audited, Bare
from tests.system.lifecycle import Lifecycle, recap
from tests.system.machine import Machine

NAME = "v1"
LEFT = {
    # comes with what is deployed; a file system is for a person to lay out
    "integrity-database", "backup-timer", "backup-lately", "mount-tmp",
}  # fmt: skip
"""What hardening leaves red."""
UNSEEN = {"machine-secure-boot"}
"""An emulated machine has no firmware that could tell."""
BOOTED = {"audit-loaded"}
"""What the boot mended for good: rules that it loaded."""
ETC = r"cd /etc; find . -type f -exec sha256sum {} + ; find . -printf '%m %u %g %p %l\n'"
"""Tells all of a host's configuration."""
BOOKS = "./audit/audit.rules"
"""What augenrules(8) makes of the files, and what it made before."""
_SECONDS = 900
OWN = {
    rule
    for rule, why in breaks.left(RESOLVED, Target(NAME, "debian", True, frozenset({"validator"}))).items()
    if why == CARRIED
}
"""The rules that containers leave to their machine."""


@dataclass(frozen=True)
class Hardened:
    """The machine, hardened and booted again, and what was seen on the way."""

    machine: Machine
    stock: Audited
    at_once: Audited
    booted: Audited

    @property
    def bare(self) -> Bare:
        """Return the network that it belongs to."""
        return self.machine.bare


@pytest.fixture(scope="module")
def hardened(life: Lifecycle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hardened]:
    """Start a bare host as a machine, audit, harden and boot it."""
    folder = tmp_path_factory.mktemp("machine")
    folder.chmod(0o700)
    bare = Bare(Lifecycle(f"{life.network}k"), folder)
    machine = Machine(bare, NAME, folder)
    try:
        bare.make()
        with machine.running():
            stock = bare.audit("--limit", NAME)
            bare.play("harden", "--limit", NAME, seconds=_SECONDS)
            at_once = bare.audit("--limit", NAME)
            machine.reboot()
            yield Hardened(machine, stock, at_once, bare.audit("--limit", NAME))
    finally:
        bare.life.down()
        bare.life.forget()
        bare.forget()


def test_hardening_a_machine_leaves_only_what_people_do(hardened: Hardened) -> None:
    """At once, and after the next boot: with its audit running, its rules loaded and locked."""
    assert hardened.stock.unreached == frozenset()
    assert {"module-udf", "journal-audit", "audit-loaded"} <= hardened.stock.red(NAME)
    assert hardened.at_once.red(NAME) == LEFT
    assert hardened.booted.red(NAME) == LEFT
    assert {rule for rule in OWN if hardened.booted.verdict(NAME, rule) != "compliant"} <= UNSEEN
    said = hardened.bare.shell(NAME, "auditctl -s; systemctl is-active auditd.service").splitlines()
    assert {"enabled 2", "active"} <= set(said)


def test_hardening_by_one_rule_leaves_what_others_have_set(hardened: Hardened) -> None:
    one = json.dumps({"baseline_rules": ["journal-audit", "kernel-log"]})
    said = recap(hardened.bare.play("harden", "--limit", NAME, "-e", one, seconds=_SECONDS))
    assert said[NAME]["changed"] == 0


def _etc(bare: Bare) -> set[str]:
    return {line for line in bare.shell(NAME, ETC).splitlines() if BOOKS not in line}


def test_rules_of_the_kernel_are_broken_found_fixed_and_taken_back(hardened: Hardened) -> None:
    bare = hardened.bare
    target = Target(NAME, "debian", False, frozenset(bare.life.spec.host(NAME).roles))
    chosen = {rule: one for rule, one in breaks.breaks(RESOLVED, target).items() if rule in OWN}
    red = {rule for one in chosen.values() for rule in one.red}
    assert set(chosen) <= red
    bare.shell(NAME, breaks.script(chosen))
    etc = _etc(bare)
    assert bare.audit("--limit", NAME).red(NAME) == red | LEFT
    bare.play("harden", "--limit", NAME, seconds=_SECONDS)
    hardened.machine.reboot()
    assert bare.audit("--limit", NAME).red(NAME) == LEFT
    bare.play("unharden", "--limit", NAME, seconds=_SECONDS)
    assert bare.audit("--limit", NAME).red(NAME) == red - BOOTED | LEFT
    assert _etc(bare) ^ etc == set()
