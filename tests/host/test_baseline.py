"""What the baseline asks for is so: by what a host does, not by what its files say.

Accounts that a proof needs are made for it and removed again.
"""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from provchain.baseline import fixes
from provchain.paths import REPOSITORY
from tests.host.network import Network, Result

pytestmark = pytest.mark.disruptive

ACCOUNT = "proof1"
STRONG = "Sanjiao-7%xiang-Bohai"
BREAKS = {
    "ssh-max-tries": f"sed -i 's/^maxauthtries .*/maxauthtries 9/' {fixes.SSHD}",
    "lockout-attempts": "sed -i 's/^deny = .*/deny = 50/' /etc/security/faillock.conf",
    "password-length": "sed -i 's/^minlen = .*/minlen = 4/' /etc/security/pwquality.conf.d/50-provchain.conf",
    "password-max-days": "sed -i 's/^PASS_MAX_DAYS.*/PASS_MAX_DAYS 99999/' /etc/login.defs",
    "net-redirects-all": "sysctl -qw net.ipv4.conf.all.accept_redirects=1",
    "file-crontab": "chmod 0666 /etc/crontab",
    "banner-remote": "echo 'Debian GNU/Linux 12' >/etc/issue.net",
    "sudo-timeout": "sed -i /timestamp_timeout/d /etc/sudoers.d/60-provchain-baseline",
    "session-idle": "rm /etc/profile.d/provchain.sh",
}
SHARED = {
    # the whole drop-in is gone, and with it the other line of it
    "session-idle": {"session-umask"},
    # a file that all may write is a stray one too
    "file-crontab": {"stray-writable"},
}


def _shell(network: Network, name: str, script: str) -> Result:
    return network.host(name).run(f"sudo -n /bin/sh -c {shlex.quote(script)}")


@pytest.fixture
def victim(network: Network) -> str:
    """Return the host that these proofs disturb: one that runs no validator."""
    return next(host.name for host in network.spec.hosts if "validator" not in host.roles)


@pytest.fixture
def account(network: Network, victim: str) -> Iterator[str]:
    """Have an account with a good password, and remove it with all that the proof made of it."""
    script = f"useradd -m -s /bin/bash {ACCOUNT} && printf %s {shlex.quote(f'{ACCOUNT}:{STRONG}')} | chpasswd"
    made = _shell(network, victim, script)
    assert made.rc == 0, made.stderr
    yield ACCOUNT
    _shell(network, victim, f"faillock --user {ACCOUNT} --reset; userdel -r {ACCOUNT}")


@pytest.mark.parametrize(
    "password", ["abc", "short1!", "password1234", f"{ACCOUNT}-{ACCOUNT}", "aaaaaaaaaaaa"]
)
def test_a_weak_password_is_refused(network: Network, victim: str, account: str, password: str) -> None:
    """Also when root sets it."""
    done = _shell(network, victim, f"printf '%s\\n%s\\n' {password} {password} | passwd {account}")
    assert done.rc != 0, f"{password} was taken"
    assert "BAD PASSWORD" in done.stderr + done.stdout


def _tries(network: Network, victim: str, account: str, *passwords: str) -> list[str]:
    """Try passwords one after another the way sudo checks them; return what each was answered.

    All within one session of the account: a session that root opens for it forgets its failures.
    """
    one = "printf '%s\\n' {} | sudo -k -S -p '' true 2>&1 | tail -n 1\n"
    script = "".join(one.format(shlex.quote(password)) for password in passwords)
    told = _shell(network, victim, f"su -s /bin/sh {account} -c {shlex.quote(script)}")
    return told.stdout.splitlines()


def test_too_many_wrong_passwords_lock_an_account(network: Network, victim: str, account: str) -> None:
    """Then even the right one is refused; before, it is taken (and the account may just do nothing)."""
    taken = f"{account} is not in the sudoers file."
    # sudo asks again after a wrong one, finds nothing, and that is counted, too
    assert _tries(network, victim, account, STRONG, "wrong", STRONG)[::2] == [taken, taken]
    answers = _tries(network, victim, account, *["wrong"] * 6, STRONG)
    assert len(answers) == 7
    assert taken not in answers
    _shell(network, victim, f"faillock --user {account} --reset")
    assert _tries(network, victim, account, STRONG) == [taken]


def test_nobody_turns_the_idle_limit_off(network: Network, victim: str, account: str) -> None:
    inner = "declare -p TMOUT; unset TMOUT; TMOUT=0; declare -p TMOUT"
    told = _shell(network, victim, f"su - {account} -c {shlex.quote(inner)}")
    assert "declare -rx TMOUT=" in told.stdout
    assert "readonly" in told.stderr
    assert 'TMOUT="0"' not in told.stdout


def _run(program: str, *argv: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).parent / program), *argv]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)


def _audit(network: Network, host: str) -> set[str]:
    """Return the rules that are findings on a host, as the audit sees it."""
    done = _run("provchain", "audit", "run", network.spec.network, "--limit", host, "--json")
    assert done.returncode != 2, done.stderr
    results = json.loads(done.stdout)["results"]
    return {one["rule"] for one in results if one["verdict"] == "noncompliant" and not one["waived"]}


def _playbook(network: Network, host: str, name: str, *rules: str) -> None:
    inventory = f"inventories/{network.spec.network}/hosts.yml"
    chosen = json.dumps({"baseline_rules": rules})
    done = _run("ansible-playbook", "-i", inventory, f"playbooks/{name}.yml", "--limit", host, "-e", chosen)
    assert done.returncode == 0, done.stdout[-3000:]


@pytest.fixture
def hardened(network: Network, victim: str) -> Iterator[None]:
    """See to it that the host is as hardening leaves it, also when the proof fails."""
    yield
    _playbook(network, victim, "harden")


@pytest.mark.usefixtures("hardened")
def test_what_breaks_is_found_fixed_and_can_be_taken_back(network: Network, victim: str) -> None:
    """Broken on purpose, exactly these rules turn red; hardening makes them green; unharden restores."""
    assert _audit(network, victim) == set()
    for rule, script in BREAKS.items():
        done = _shell(network, victim, script)
        assert done.rc == 0, f"{rule}: {done.stderr}"
    _shell(network, victim, "systemctl reload ssh.service")
    found = _audit(network, victim)
    shared = set().union(*SHARED.values())
    assert set(BREAKS) <= found <= set(BREAKS) | shared, found ^ set(BREAKS)
    _playbook(network, victim, "harden")
    assert _audit(network, victim) == set()
    _playbook(network, victim, "unharden", "banner-remote", "net-redirects-all")
    assert _audit(network, victim) == {"banner-remote", "net-redirects-all"}
