"""What the baseline asks for is so: by what a host does, not by what its files say.

Accounts that a proof needs are made for it and removed again.
"""

from __future__ import annotations

import shlex
import signal
import subprocess
from collections.abc import Iterator

import pytest

from tests.host.network import Network, Result
from tests.host.waiting import until

pytestmark = pytest.mark.disruptive

ACCOUNT = "proof1"
STRONG = "Sanjiao-7%xiang-Bohai"
PROFILE = "/etc/profile.d/provchain.sh"
PATIENCE = 60


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


@pytest.fixture
def impatient(network: Network, victim: str) -> Iterator[None]:
    """Have the idle limit of the catalog's own file be two seconds for a while."""
    _shell(network, victim, f"cp -a {PROFILE} /run/proof && sed -i 's/TMOUT=[0-9]*/TMOUT=2/' {PROFILE}")
    yield
    _shell(network, victim, f"cp -a /run/proof {PROFILE}")


def _session(network: Network, victim: str, *command: str) -> subprocess.Popen[str]:
    """Log in at a terminal, over a connection of its own."""
    options = ("-o", "BatchMode=yes", "-o", "ControlPath=none", "-tt")
    argv = ["ssh", "-F", str(network.ssh_config), *options, victim, *command]
    return subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.usefixtures("impatient")
def test_an_idle_session_really_ends(network: Network, victim: str) -> None:
    """At a terminal, as an operator has one who went away: nothing is typed, and nothing is hung up."""
    with _session(network, victim) as session:
        assert session.stdin is not None and session.stdout is not None
        try:
            session.wait(PATIENCE)
        finally:
            session.kill()
        assert "timed out waiting for input: auto-logout" in session.stdout.read()


@pytest.fixture
def alert(network: Network, victim: str) -> Iterator[None]:
    """Have the SSH server ask for a sign of life each second, and give up after one that fails to come."""
    path = "/etc/ssh/sshd_config.d/00-proof.conf"
    asked = shlex.quote("ClientAliveInterval 1\nClientAliveCountMax 1\n")
    done = _shell(network, victim, f"printf {asked} >{path} && sshd -t && systemctl reload ssh.service")
    assert done.rc == 0, done.stderr
    yield
    _shell(network, victim, f"rm {path}; systemctl reload ssh.service")


def _told(session: subprocess.Popen[str]) -> int:
    """Return the number that a session tells, after what the server says to whoever comes."""
    assert session.stdout is not None
    return next(int(line) for line in session.stdout if line.strip().isdigit())


@pytest.mark.usefixtures("alert")
def test_a_connection_that_nobody_answers_for_really_ends(network: Network, victim: str) -> None:
    """The client is frozen: its machine still takes packets. One that answers stays, however idle it is."""
    with (
        _session(network, victim, "echo $$; exec sleep 600") as frozen,
        _session(network, victim, "echo $$; exec sleep 600") as idle,
    ):
        try:
            gone, there = _told(frozen), _told(idle)
            frozen.send_signal(signal.SIGSTOP)
            until(
                lambda: _shell(network, victim, f"kill -0 {gone}").rc,
                bool,
                "the end of a session whose client is frozen",
                PATIENCE,
            )
            assert _shell(network, victim, f"kill -0 {there}").rc == 0
        finally:
            for session in (frozen, idle):
                session.kill()
