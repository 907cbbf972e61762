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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest
import yaml

from provchain.baseline.resources import Target
from provchain.paths import REPOSITORY
from tests.host.waiting import until
from tests.system import breaks
from tests.system.bare import BY_ITSELF, RESOLVED, Audited, Bare, told
from tests.system.lifecycle import Lifecycle, recap
from tests.system.other_means import BACK, KEEP, OTHER_MEANS

MILDER = "mlps3"
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
_ROLE = REPOSITORY / "roles" / "baseline"
OTHERS = set(yaml.safe_load((_ROLE / "vars" / "main.yml").read_text("utf-8"))["baseline_kept"])
"""Rules whose settings other roles of harden.yml see to, which unharden says and leaves."""
OTHERS_FILES = re.compile(r"^etc/(nftables\.conf|chrony/|rc.\.d/.*chrony|systemd/system/.*(chrony|syslog))")
"""Theirs on the disk."""
_LIMITS = ("--limit", STOCK, "--limit", OTHER)
PATIENCE = 120


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
    milder: Audited
    """STOCK and OTHER by the milder profile, which hardened them first."""
    foreseen: tuple[dict[str, set[str]], dict[str, set[str]]]
    """What check mode told of both, bare and hardened: of hardening and of taking it back."""
    done: tuple[dict[str, set[str]], dict[str, set[str]]]


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
    points = yaml.safe_load((_ROLE / "tasks" / "main.yml").read_text("utf-8"))[0]["tags"]
    pair, milder = ("-v", "--limit", f"{STOCK},{OTHER}"), bare.with_profile(MILDER)
    foreseen = told(bare.play("harden", *pair, *milder, "--check", "--diff"))
    first = told(bare.play("harden", *pair, *milder, "--skip-tags", ",".join(points)))
    before, disks = bare.audit(*_LIMITS), {host: bare.disk(host) for host in (STOCK, OTHER)}
    second = told(bare.play("harden", *pair, *milder))
    by_milder = bare.audit(*_LIMITS, profile=MILDER)
    bare.play("harden")
    after = bare.audit()
    foreseen_back = told(bare.play("unharden", *pair, "--check", "--diff"))
    taken_back = told(bare.play("unharden", *pair))
    again = bare.audit(*_LIMITS)
    changed = {host: bare.changed(host, disk) for host, disk in disks.items()}
    bare.shell(OTHER, BACK)
    bare.play("harden", *pair)
    done = {host: first[host] | second[host] for host in first}
    return Hardened(
        bare, stock, other, before, after, again, changed, by_milder,
        (foreseen, foreseen_back), (done, taken_back),
    )  # fmt: skip


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


def test_each_profile_hardens_and_the_next_one_replaces_it(hardened: Hardened) -> None:
    """What comes back is what was there before the first of them."""
    for host in (STOCK, OTHER):
        assert hardened.milder.red(host) == DEPLOYED | KEPT, host


TWICE = {"attributes /home/*: /home/ops: ops ops 0755 -> ops ops 0750"}
"""What check mode tells of two roles, and the first has mended for both when it is done."""


def test_check_mode_tells_exactly_what_is_done(hardened: Hardened) -> None:
    for twice, foreseen, done in zip((TWICE, set[str]()), hardened.foreseen, hardened.done, strict=True):
        assert set(foreseen) == {STOCK, OTHER}
        for host in done:
            assert len(done[host]) > 60
            assert foreseen[host] == done[host] | twice, host


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


BACK_TO: dict[str, tuple[str, str]] = {
    STOCK: (
        "file /etc/ssh/sshd_config.d/05-provchain-baseline.conf",
        "echo DenyUsers ops >/etc/ssh/sshd_config.d/05-provchain-baseline.conf",
    ),
    OTHER: ("pam_profile pwhistory", "echo account required pam_deny.so >/etc/pam.d/common-account"),
}
"""What would have been there before hardening, to lock operators out when it comes back."""


def _locked_before(bare: Bare, host: str) -> None:
    label, line = BACK_TO[host]
    told = shlex.quote(f'"label": "{label}"')
    bare.shell(
        host,
        f"r=$(grep -lF {told} {breaks.JOURNAL}/*/record.json); echo {shlex.quote(line)} >>${{r%/*}}/back.sh",
    )


def test_what_locks_operators_out_is_taken_back_by_the_host_itself(hardened: Hardened) -> None:
    """By a timer where no fresh login confirms it in time, and by a reboot while it is on trial.

    So is hardening, and so is taking it back.
    """
    bare, rebooted = hardened.bare, (next(iter(TRIALS)), STOCK)
    seconds = {host: NEVER if host in rebooted else SOON for host in bare.hosts}
    told = {
        "proof_trials": TRIALS,
        "proof_seconds": seconds,
        "baseline_settings": {"plain": [], "access": "{{ proof_trials[inventory_hostname] }}"},
        "baseline_revert_seconds": "{{ proof_seconds[inventory_hostname] }}",
    }
    filtered = {"host_firewall_rules": DEAF, "host_firewall_revert_seconds": SOON}
    again = {name: told[name] for name in ("proof_seconds", "baseline_revert_seconds")}
    login = "Become root over a fresh connection"
    rules = bare.shell(FILTERED, "nft --stateless list ruleset")
    before = {host: bare.disk(host) for host in (*TRIALS, FILTERED, *BACK_TO)}
    bare.each(lambda host: _locked_before(bare, host), BACK_TO)
    plays: tuple[tuple[str, tuple[str, ...], Mapping[str, Any], str], ...] = (
        ("harden", tuple(TRIALS), told, login),
        ("harden", (FILTERED,), filtered, "Reach the host by a fresh connection"),
        ("unharden", tuple(BACK_TO), again, login),
    )
    with ThreadPoolExecutor(max_workers=len(plays)) as pool:
        for failed in [pool.submit(_fails, bare, *play) for play in plays]:
            failed.result()
    for host in rebooted:
        assert not _may_log_in(bare, host), f"{host}: nobody was locked out"
    bare.each(bare.reboot, rebooted)
    for host, disk in before.items():
        _comes_back(bare, host, disk)
    assert bare.shell(FILTERED, "nft --stateless list ruleset") == rules


def _fails(bare: Bare, name: str, hosts: tuple[str, ...], variables: Mapping[str, Any], task: str) -> None:
    """Run a playbook that locks everybody out of these hosts: it has to find that out by this task."""
    options = ("--limit", ",".join(hosts), "-e", json.dumps(variables))
    done = bare.life.playbook(name, bare.life.inventory, *options)
    assert done.returncode != 0
    last = done.stdout.split("TASK [")[-1]
    assert task in last, done.stdout[-3000:]
    assert [host for host in hosts if f"fatal: [{host} -> localhost]: FAILED!" not in last] == [], last


def test_rules_and_control_points_can_be_chosen(hardened: Hardened) -> None:
    """One rule goes and its neighbours in the same file stay; its control point brings it again.

    With it comes the one that is broken by itself (``breaks.no_keys``).
    """
    bare, usual = hardened.bare, hardened.after.red(STOCK)
    one = ("-v", "--limit", STOCK)
    for name in ("harden", "unharden"):
        wrong = bare.life.playbook(name, bare.life.inventory, *one, *_only("ssh-max-trees"))
        assert wrong.returncode != 0
        assert "the catalog has no rule ssh-max-trees" in wrong.stdout
    bare.play("unharden", *one, *_only("ssh-max-tries", "packages-scanners"))
    assert bare.audit("--limit", STOCK).red(STOCK) == usual | {"ssh-max-tries"}
    no_keys = breaks.no_keys()
    bare.shell(STOCK, no_keys.script)
    assert bare.audit("--limit", STOCK).red(STOCK) == usual | {"ssh-max-tries"} | no_keys.red
    again = told(bare.play("harden", *one, "--tags", "8.1.4.1"))
    drop_in = "/etc/ssh/sshd_config.d/05-provchain-baseline.conf"
    assert again == {STOCK: {f"file {drop_in}: replaced", "unit ssh.service: restart"}}
    assert bare.audit("--limit", STOCK).red(STOCK) == usual


def _only(*rules: str) -> tuple[str, str]:
    return "-e", json.dumps({"baseline_rules": rules})


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
    restart = "\nsystemctl restart ssh.service"
    bare.each(lambda host: bare.shell(host, breaks.script(broken[host]) + restart))
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
    back = {host: red[host] - OTHERS | usual[host] for host in red}
    assert {host: again.red(host) for host in bare.hosts} == back
    for host, disk in disks.items():
        changed = bare.changed(host, disk)
        assert {name: two for name, two in changed.items() if not OTHERS_FILES.search(name)} == {}, host
