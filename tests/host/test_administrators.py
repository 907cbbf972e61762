"""Nobody does another's work: what people with accounts can do, tried as them (GB/T 22239 8.1.5).

What only asks is asked everywhere; what tries to do harm, on one host that runs no node.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from provchain.audit import looks
from provchain.audit.subjects import everything
from provchain.baseline import catalog
from provchain.baseline.resources import Target
from provchain.paths import REPOSITORY
from provchain.spec import ChainSpec
from tests.host.network import Network, Result

GROUPS = {"system": "sysadm", "security": "secadm", "audit": "auditadm", "auditor": "auditors"}
KEYS = "/etc/ssh/authorized_keys.d"
TRAIL = ("/var/log/auth.log", "/var/log/audit", "/var/log/sudo-io", "/var/log/journal", "/var/log/collected")
HARM = (
    "echo x >>/etc/passwd",
    "rm -f /etc/provchain/digest",
    "touch /etc/cron.d/proof",
    "chmod 0777 /etc/sudoers.d",
    "echo x >/proc/sys/net/ipv4/ip_forward",
    "kill -9 1",
    "systemctl stop ssh.service",
    "nft flush ruleset",
    "sudo -n sh -c id",
    "sudo -n tee /etc/passwd </dev/null",
    "su -c id </dev/null",
)
WATCHED = "/boot /etc /home /opt /root /usr /var/backups /var/lib/aide /var/lib/dpkg /var/log/audit"


def parts(*roles: str) -> list[Any]:
    """Return roles as parameters, each for networks where somebody has it."""
    return [pytest.param(role, marks=pytest.mark.part(role)) for role in roles]


@pytest.fixture(scope="module")
def people(spec: ChainSpec) -> dict[str, str]:
    """Return an account of each role that anybody has."""
    return {one.role: one.name for one in spec.administrators}


@pytest.fixture(scope="module")
def victim(network: Network) -> str:
    """Return the host that these proofs try to harm: one that runs no node."""
    return next(host.name for host in network.spec.hosts if not host.is_node)


def _as(network: Network, host: str, account: str, script: str) -> Result:
    """Run a script as somebody, with no terminal and nothing to read."""
    words = ["sudo", "-n", "runuser", "-u", account, "--", "sh", "-c", f"{{ {script}\n}} </dev/null"]
    return network.host(host).run(shlex.join(words))


def _may(network: Network, host: str, account: str, commands: list[str]) -> list[str]:
    """Return which of these command lines sudo lets an account run as root."""
    script = "".join(
        f"sudo -n -l {one} >/dev/null 2>&1 && echo {number}\n" for number, one in enumerate(commands)
    )
    return [commands[int(line)] for line in _as(network, host, account, script + "true").stdout.split()]


def test_people_have_the_accounts_that_the_description_names(
    name: str, network: Network, facts: dict[str, Any], spec: ChainSpec
) -> None:
    """Each in the group of the one part, with the keys that are listed, and nobody else is in them."""
    accounts = {row[0] for row in facts["passwd"]}
    assert {one.name for one in spec.administrators} <= accounts
    files = " ".join(f"{KEYS}/{one.name}" for one in spec.administrators)
    script = f"getent group {' '.join(GROUPS.values())}; ls {KEYS}; for f in {files}; do cat $f; done"
    lines = network.run(name, "sh", "-c", script).splitlines()
    groups, rest = lines[: len(GROUPS)], lines[len(GROUPS) :]
    assert {row[0]: set(filter(None, row[3].split(","))) for row in map(_fields, groups)} == {
        group: {one.name for one in spec.administrators if one.role == role} for role, group in GROUPS.items()
    }
    listed = sorted({spec.ssh.user, *(one.name for one in spec.administrators)})
    assert rest == [*listed, *(key for one in spec.administrators for key in one.keys)]


def _fields(line: str) -> list[str]:
    return line.split(":")


def _granted(network: Network, host: str, group: str) -> list[str]:
    """Return the commands that a group is granted, as sudo reads them; aliases are looked up."""
    policy = json.loads(network.run(host, "cvtsudoers", "-f", "json", "-e", "/etc/sudoers"))
    return [
        command["command"]
        for entry in policy["User_Specs"]
        if {"usergroup": group} in entry["User_List"]
        for spec in entry["Cmnd_Specs"]
        for command in spec["Commands"]
    ]


def _spoiled(command: str) -> list[str]:
    """Return a granted command with more than was granted, or less, or with a path in a pattern's place."""
    if command.startswith("sudoedit") or "^" in command:
        program = command.split(" ", 1)[0]
        paths = ("--user ../../var/log/auth.log --reset", "--dir /var/log --user auth.log --reset")
        odd = (
            "-i --checkpoint /etc/x",
            "-i -if /etc/shadow",
            "-i -k /etc/shadow",
            "-i -k a,b;id",
            "--input /x",
        )
        return [f"{program} {shlex.join(shlex.split(more))}" for more in (*paths, *odd)]
    plain = command.removesuffix(' ""')
    return [f"{plain} --proof", f"{plain} /etc/shadow", f"{plain} -o /tmp/proof"]


@pytest.mark.parametrize("role", parts("system", "security", "audit"))
def test_no_argument_can_be_added_to_what_is_granted(
    network: Network, victim: str, people: dict[str, str], role: str
) -> None:
    """Many a tool writes where an option says, or reads: as root, that is somebody else's work."""
    granted = _granted(network, victim, GROUPS[role])
    assert granted
    plain = [one for one in granted if "^" not in one and not one.startswith("sudoedit")]
    own = [one.removesuffix(' ""') for one in plain]
    assert _may(network, victim, people[role], own) == own, "what is granted is what is tried"
    spoiled = [more for one in granted for more in _spoiled(one)]
    assert _may(network, victim, people[role], spoiled) == []


@pytest.mark.parametrize("role", parts("system", "security", "audit"))
def test_nobody_does_anothers_work(network: Network, victim: str, people: dict[str, str], role: str) -> None:
    others = [
        one.removesuffix(' ""')
        for other, group in GROUPS.items()
        if other not in (role, "auditor")
        for one in _granted(network, victim, group)
        if "^" not in one
    ]
    assert others
    assert _may(network, victim, people[role], [*others, "/bin/sh", "/usr/bin/tee /etc/passwd"]) == []


@pytest.mark.parametrize("account", parts("system", "security", "auditor"))
def test_only_the_audit_administrator_reads_the_trail_and_nobody_changes_it(
    network: Network, people: dict[str, str], account: str
) -> None:
    """On every host: neither what lies there, nor what was collected, nor what the journal holds."""
    trials = [
        trial.format(path)
        for path in TRAIL
        for trial in (
            "cat {0} {0}/* {0}/*/* 2>/dev/null | grep -q .",
            ": >>{0}",
            "touch {0}/proof",
            "test -e {0} && rm -rf {0} && ! test -e {0}",
        )
    ]
    trials.append("journalctl --no-pager -q -n 5 _UID=0 2>/dev/null | grep -q .")
    script = "".join(f"( {one} ) >/dev/null 2>&1 && echo {number}\n" for number, one in enumerate(trials))

    def done(host: str) -> list[str]:
        assert _root(network, host, f"test -s {TRAIL[0]}"), f"{host} has no trail that could be read"
        told = _as(network, host, people[account], script + "true")
        assert told.rc == 0, told.stderr
        return [trials[int(line)] for line in told.stdout.split()]

    assert network.each(network.names, done) == {host: [] for host in network.names}


@pytest.mark.part("audit")
def test_the_audit_administrator_reads_it(network: Network, people: dict[str, str]) -> None:
    """And can't change it either."""
    for host in (host.name for host in network.spec.hosts if "logs" in host.roles):
        trail = "/var/log/collected"
        assert _as(network, host, people["audit"], f"cat {trail}/{host}.log | grep -q .").rc == 0
        for trial in (f": >>{trail}/{host}.log", f"rm {trail}/{host}.log", f"touch {trail}/proof"):
            assert _as(network, host, people["audit"], trial).rc != 0, trial


def _root(network: Network, host: str, script: str) -> bool:
    return network.host(host).run(f"sudo -n sh -c {shlex.quote(script)}").rc == 0


def _rights(spec: ChainSpec) -> list[tuple[str, ...]]:
    """Return the commands of the auditors' list, as the audit runs them."""
    profile = catalog.load().profiles[spec.baseline.profile]
    planned = looks.plan(everything(profile, [Target("any", None, False)]))
    return [look.limited for look in planned if look.root]


@pytest.mark.part("auditor")
def test_an_auditor_gets_no_more_than_the_list(network: Network, victim: str, people: dict[str, str]) -> None:
    """Every command of it, with a word more and with a word less."""
    rights = _rights(network.spec)
    own = [shlex.join(argv) for argv in rights]
    assert _may(network, victim, people["auditor"], own) == own
    spoiled = [
        shlex.join(more) for argv in rights for more in ((*argv, "/etc/x"), (*argv, "-delete"), argv[:-1])
    ]
    wanted = [
        "/bin/sh",
        "/usr/bin/timeout -k 1 30 /bin/sh",
        "/usr/bin/find / -delete",
        "/usr/bin/stat /etc/shadow",
    ]
    assert _may(network, victim, people["auditor"], [*spoiled, *wanted]) == []


@pytest.mark.disruptive
@pytest.mark.part("auditor")
def test_an_auditor_changes_nothing(network: Network, victim: str, people: dict[str, str]) -> None:
    """What does harm fails, and all that the list allows, done, leaves every watched file as it was."""
    assert _root(network, victim, "touch /run/proof-began && sleep 1.1")
    for script in HARM:
        assert _as(network, victim, people["auditor"], script).rc != 0, script
    for argv in _rights(network.spec):
        done = _as(network, victim, people["auditor"], f"sudo -n {shlex.join(argv)} >/dev/null")
        assert "password is required" not in done.stderr, argv
    changed = network.run(
        victim, "sh", "-c", f"find {WATCHED} -xdev -cnewer /run/proof-began 2>/dev/null; true"
    )
    network.run(victim, "rm", "/run/proof-began")
    assert changed == ""


@pytest.fixture
def lent(network: Network, people: dict[str, str]) -> Iterator[str]:
    """Let the operator's key in as the auditor while a proof takes place: the person's own is not here."""
    public = (network.state / "ssh/id_ed25519.pub").read_text(encoding="ascii").strip()
    file = f"{KEYS}/{people['auditor']}"
    for host in network.names:
        assert _root(network, host, f"cp -p {file} /run/proof-keys && echo {public} >>{file}")
    yield people["auditor"]
    for host in network.names:
        assert _root(network, host, f"cp -p /run/proof-keys {file} && rm /run/proof-keys")


@pytest.mark.disruptive
@pytest.mark.part("auditor")
def test_an_auditor_sees_all_that_the_operator_sees(network: Network, lent: str) -> None:
    """The audit, run as the account with the short list, comes to the same verdicts, rule by rule."""
    found = [_verdicts(network), _verdicts(network, "--user", lent)]
    assert len(found[0]) > 1000
    assert {
        key: (found[0][key], found[1].get(key)) for key in found[0] if found[0][key] != found[1].get(key)
    } == {}


def _verdicts(network: Network, *more: str) -> dict[tuple[str, str], str]:
    program = str(Path(sys.executable).with_name("provchain"))
    command = [program, "audit", "run", network.spec.network, "--json", *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, timeout=300)
    assert done.returncode in (0, 3), done.stderr[-2000:]
    return {(one["host"], one["rule"]): one["verdict"] for one in json.loads(done.stdout)["results"]}
