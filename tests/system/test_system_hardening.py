"""The catalog on real hosts: bare ones are audited, hardened, broken rule by rule, mended, and brought back.

Every rule that hardening fixes is broken, found, fixed and taken back, all of them in one go: the rules have
numbers, and each host breaks those whose number has its bit. Any two rules differ on some host, so a break
that turned another rule red instead of its own would show there.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from provchain.baseline.resources import Target
from provchain.paths import REPOSITORY
from tests.host.waiting import until
from tests.system import breaks
from tests.system.bare import BY_ITSELF, RESOLVED, Audited, Bare
from tests.system.lifecycle import Lifecycle, recap
from tests.system.other_means import BACK, KEEP, OTHER_MEANS

STOCK, OTHER = "v1", "a1"
"""A host that is brought back to what it was, and one that somebody else has hardened before."""
UNDESCRIBED = {
    # a fleet's file does not say what may listen; the engine is not there; nor is a mirror of packages
    "sockets-declared", "certificate-national", "certificate-lasts", "certificate-short", "updates-security",
    "log-oldest-record",
}  # fmt: skip
DEPLOYED = {"integrity-database"}
"""What comes with what is to be remembered: playbooks/deploy.yml brings it."""
KEPT = {"backup-timer", "backup-lately"}
"""The same, on hosts that have a ledger."""
OTHERS = {"file-nftables", "time-config", "time-service", "rsyslog-service", "log-collected-folder"}
"""Rules whose settings other roles of harden.yml see to as well, which unharden does not take back."""
OTHERS_FILES = re.compile(r"^etc/(nftables\.conf|chrony/|rc.\.d/.*chrony|systemd/system/.*(chrony|syslog))")
"""Theirs on the disk."""
LOST = {rule.id for rule in RESOLVED.rules if rule.check.resource == "packages"}
"""Packages that were removed: unharden says that a person has to install them again."""
_LIMITS = ("--limit", STOCK, "--limit", OTHER)
PATIENCE = 120
_JOURNAL = "/var/backups/provchain/baseline"


@dataclass(frozen=True)
class Hardened:
    """Hosts that are hardened now, and what was seen of them on the way."""

    bare: Bare
    stock: Audited
    other: Audited
    """OTHER, once it was hardened by other means."""
    before: Audited
    """STOCK and OTHER before the baseline came, with provchain's accounts and firewall already."""
    after: Audited
    again: Audited
    """STOCK and OTHER when it was taken back."""
    changed: Mapping[str, Mapping[str, tuple[Any, Any]]]
    """What was then otherwise on their disks than before it came."""


@pytest.fixture(scope="module")
def bare(life: Lifecycle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bare]:
    """Make bare hosts, and remove them in the end."""
    folder = tmp_path_factory.mktemp("fleet")
    folder.chmod(0o700)
    made = Bare(Lifecycle(f"{life.network}h"), folder)
    try:
        made.make()
        yield made
    finally:
        made.life.down()
        made.life.forget()
        made.forget()


@pytest.fixture(scope="module")
def hardened(bare: Bare) -> Hardened:
    """Audit the hosts, have one hardened by other means, and harden them all."""
    untouched = bare.each(bare.disk)
    stock = bare.audit()
    assert bare.each(bare.disk) == untouched, "an audit changed something"
    bare.shell(OTHER, "\n".join([KEEP, *OTHER_MEANS]))
    other = bare.audit("--limit", OTHER)
    points = yaml.safe_load((REPOSITORY / "roles/baseline/tasks/main.yml").read_text("utf-8"))[0]["tags"]
    pair = ("--limit", f"{STOCK},{OTHER}")
    bare.play("harden", *pair, "--skip-tags", ",".join(points))
    before, disks = bare.audit(*_LIMITS), {host: bare.disk(host) for host in (STOCK, OTHER)}
    bare.play("harden")
    after = bare.audit()
    bare.play("unharden", *pair)
    again = bare.audit(*_LIMITS)
    changed = {host: bare.changed(host, disk) for host, disk in disks.items()}
    bare.shell(OTHER, BACK)
    bare.play("harden", *pair)
    return Hardened(bare, stock, other, before, after, again, changed)


def test_a_stock_host_is_audited_as_it_is(hardened: Hardened) -> None:
    """Nothing of provchain is on it; the audit shows what is wrong, without changing anything."""
    stock = hardened.stock
    assert (stock.code, stock.unreached) == (1, frozenset())
    for host in hardened.bare.hosts:
        assert {"ssh-max-tries", "lockout-before", "audit-identity", "session-umask"} <= stock.red(host)
        assert len(stock.red(host)) > 80


def test_a_host_that_was_hardened_by_other_means_is_compliant_where_it_is(hardened: Hardened) -> None:
    """In other files, in main files, in another notation, by hand: exactly what is right is found right."""
    mended = hardened.stock.red(OTHER) - hardened.other.red(OTHER)
    assert mended == set().union(*OTHER_MEANS.values())
    assert hardened.other.red(OTHER) < hardened.stock.red(OTHER)


def test_hardening_leaves_only_what_people_do(hardened: Hardened) -> None:
    """What fails is waived with a reason, or comes when more is deployed; no bare host shows the rest."""
    after = hardened.after
    for host in hardened.bare.hosts:
        nodes = KEPT if host in {node.name for node in hardened.bare.life.spec.nodes} else set()
        assert after.red(host) == DEPLOYED | nodes, host
        unknown = {rule for rule in after.results[host] if after.verdict(host, rule) == "unknown"}
        assert unknown - BY_ITSELF == UNDESCRIBED, host


def test_unharden_brings_hosts_back_to_what_they_were(hardened: Hardened) -> None:
    for host in (STOCK, OTHER):
        assert hardened.again.red(host) == hardened.before.red(host), host
    assert hardened.changed == {STOCK: {}, OTHER: {}}


DEAF_SSHD = "/etc/ssh/sshd_config.d/00-proof.conf"
_SSHD: list[dict[str, Any]] = [
    {"kind": "file", "path": DEAF_SSHD, "content": "DenyUsers ops\n", "validate": "/usr/sbin/sshd -t -f %s"},
    {"kind": "unit", "name": "ssh.service", "restart_on": [DEAF_SSHD]},
]
_ACCOUNTS = {"kind": "file", "path": "/etc/pam.d/common-account", "content": "account required pam_deny.so\n"}
_RIGHTS = {
    "kind": "file",
    "path": "/etc/sudoers.d/99-proof",
    "mode": "0440",
    "content": "ops ALL=(ALL:ALL) !ALL\n",
    "validate": "/usr/sbin/visudo -cf %s",
}
TRIALS = {"v2": _SSHD, "v3": _SSHD, "v4": [_ACCOUNTS], "v6": [_RIGHTS]}
"""A server that refuses its operators, accounts that may not log in, and rights that are gone."""
FILTERED = "v5"
DEAF = """\
flush ruleset
table inet filter {
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
  }
}
"""
NEVER, SOON = 3600, 15


def _may_log_in(bare: Bare, host: str) -> bool:
    return bare.ssh(host, "sudo -n true", fresh=True).returncode == 0


def _comes_back(bare: Bare, host: str, disk: Mapping[str, tuple[Any, ...]]) -> None:
    until(lambda: _may_log_in(bare, host), bool, f"{host} lets its operators in", PATIENCE)
    until(lambda: bare.changed(host, disk), lambda one: not one, f"{host} as it was", PATIENCE)


def test_what_locks_operators_out_is_taken_back_by_the_host_itself(hardened: Hardened) -> None:
    """By a timer where no fresh login confirms it in time, and by a reboot while it is on trial."""
    bare, rebooted = hardened.bare, next(iter(TRIALS))
    locked = {"plain": [], "access": "{{ proof_trials[inventory_hostname] }}"}
    told = {
        "proof_trials": TRIALS,
        "baseline_settings": locked,
        "baseline_revert_seconds": f"{{{{ {NEVER} if inventory_hostname == '{rebooted}' else {SOON} }}}}",
    }
    filtered = {"host_firewall_rules": DEAF, "host_firewall_revert_seconds": SOON}
    rules = bare.shell(FILTERED, "nft --stateless list ruleset")
    before = {host: bare.disk(host) for host in (*TRIALS, FILTERED)}
    for hosts, variables, task in (
        (tuple(TRIALS), told, "Become root over a fresh connection"),
        ((FILTERED,), filtered, "Reach the host by a fresh connection"),
    ):
        options = ("--limit", ",".join(hosts), "-e", json.dumps(variables))
        done = bare.life.playbook("harden", bare.life.inventory, *options)
        assert done.returncode != 0
        last = done.stdout.split("TASK [")[-1]
        assert task in last, done.stdout[-3000:]
        assert [host for host in hosts if f"fatal: [{host} -> localhost]: FAILED!" not in last] == [], last
    assert not _may_log_in(bare, rebooted), "it was not locked out"
    bare.reboot(rebooted)
    for host, disk in before.items():
        _comes_back(bare, host, disk)
    assert bare.shell(FILTERED, "nft --stateless list ruleset") == rules


def _target(bare: Bare, host: str) -> Target:
    described = bare.life.spec.host(host)
    return Target(host, "debian", True, frozenset(described.roles))


@pytest.fixture(scope="module")
def broken(hardened: Hardened) -> dict[str, dict[str, breaks.Break]]:
    """Return what is broken on which host: the rules whose number has its bit, and those of its own role."""
    bare = hardened.bare
    own = {host: breaks.breaks(RESOLVED, _target(bare, host)) for host in bare.hosts}
    everywhere = [rule for rule in own[STOCK] if all(rule in one for one in own.values())]
    assert len(everywhere) < 1 << len(bare.hosts), "too few hosts to tell so many rules apart"
    numbers = {rule: number for number, rule in enumerate(everywhere, start=1)}
    return {
        host: {
            rule: one for rule, one in own[host].items() if rule not in numbers or numbers[rule] >> bit & 1
        }
        for bit, host in enumerate(bare.hosts)
    }


def test_each_rule_is_broken_found_fixed_and_taken_back(
    hardened: Hardened, broken: Mapping[str, Mapping[str, breaks.Break]]
) -> None:
    bare = hardened.bare
    everything = {rule for host in bare.hosts for rule in breaks.breaks(RESOLVED, _target(bare, host))}
    assert {rule for one in broken.values() for rule in one} == everything
    red = {host: {rule for one in some.values() for rule in one.red} for host, some in broken.items()}
    bare.each(lambda host: _break(bare, host, broken[host]))
    disks = {host: bare.disk(host) for host in bare.hosts}
    found = bare.audit()
    usual = {host: hardened.after.red(host) for host in bare.hosts}
    assert {host: found.red(host) for host in bare.hosts} == {host: red[host] | usual[host] for host in red}

    counted = recap(bare.play("harden"))
    assert min(counts["changed"] for counts in counted.values()) > 1
    bare.each(bare.reboot)
    fixed = bare.audit()
    assert {host: fixed.red(host) for host in bare.hosts} == usual

    bare.play("unharden")
    again = bare.audit()
    back = {host: red[host] - LOST - OTHERS | usual[host] for host in red}
    assert {host: again.red(host) for host in bare.hosts} == back
    for host, disk in disks.items():
        changed = bare.changed(host, disk)
        assert {name: two for name, two in changed.items() if not OTHERS_FILES.search(name)} == {}, host


def _break(bare: Bare, host: str, some: Mapping[str, breaks.Break]) -> None:
    """Break rules one after the other; what hardening kept so far is put aside: it is to keep this."""
    steps = [
        f"sh -euc {shlex.quote(one.script)} >/run/said 2>&1 || {{ echo {rule}; cat /run/said; }}"
        for rule, one in some.items()
    ]
    script = [f"umask 022; mv {_JOURNAL} {_JOURNAL}-before", *steps, "systemctl restart ssh.service"]
    said = bare.shell(host, "\n".join(script))
    assert said == "", f"{host}: {said}"
