"""Real connections to a server on loopback: an unprivileged auditor, its exact sudo list, hosts that fail."""

from __future__ import annotations

import asyncio
import os
import shlex
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import replace

import pytest

from provchain.audit import looks, ssh
from provchain.audit.ssh import Reach
from provchain.baseline.facts import Facts, Status, attributes, command, file
from tests.unit.audit.sshd import ACCOUNT, Server, server

PROBES = [
    file("/etc/hostname"),
    file("/etc/shadow", root=True),
    file("/etc/pam.d/*", root=True),
    attributes("/root/.", root=True),
    attributes("/etc/cron.d/*", root=True),
    file("/root/none"),
    file("/root/*/none"),
    attributes("/root/.ssh/*"),
    command("/usr/bin/id", "-u"),
    command("/usr/bin/cut", "-d:", "-f1,3-8", "/etc/shadow", root=True),
    command("/usr/bin/grep", "-cE", "^[^:]+::", "/etc/shadow", root=True),
    command("/usr/bin/find", "/root", "-maxdepth", "2", "-path", "*/.ssh/*", "-perm", "/022", root=True),
    command("/usr/bin/printf", "%s", "a=b", "c,d", "e:f", "#g", "!h", "i j", "back\\slash", '"k"', root=True),
]
ASKED = looks.plan(PROBES)


@pytest.fixture(scope="module")
def with_rights() -> Iterator[Server]:
    with server(looks.sudoers(ASKED, ACCOUNT)) as one:
        yield one


def ask(reach: Reach, asked: tuple[looks.Look, ...] = ASKED) -> Facts:
    return asyncio.run(ssh.ask_all([reach], asked))[reach.name]


def test_the_sudo_list_is_enough(with_rights: Server) -> None:
    facts = ask(with_rights.reach())
    assert facts.unreachable == ""
    assert facts.outputs["run:/usr/bin/id -u"].text == "1500\n"
    rooted = {probe.id for look in ASKED if look.root for probe in look.probes}
    assert {
        probe: facts.outputs[probe] for probe in rooted if facts.outputs[probe].status != Status.SEEN
    } == {}
    assert facts.text(command("/usr/bin/printf", *PROBES[-1].argv[1:])) == "".join(PROBES[-1].argv[2:])
    assert "file:/etc/pam.d/sshd" in facts.outputs
    for walled in ("file:/root/none", "file:/root/*/none", "stat:/root/.ssh/*"):
        assert facts.outputs[walled].status == Status.DENIED, "behind a wall is not missing"


def test_the_sudo_list_allows_nothing_else(with_rights: Server) -> None:
    """Every command with a word more, less or other, and as somebody else: sudo itself is asked."""
    own = [look.limited for look in ASKED if look.root]
    others: list[tuple[str, ...]] = [("/bin/sh",), ("/usr/bin/cat", "/etc/shadow"), ("ALL",)]
    for words in own:
        others += [(*words, "/etc/gshadow"), words[:-1], (*words[:4], "/bin/sh", *words[5:])]
        others += [tuple(word.replace(str(looks.SECONDS), "99") for word in words), ("-u", "daemon", *words)]
        for meant, slipped in (("*", "x/../../etc"), ("^", ""), ("[", "x"), ("\\", ""), (" ", "x")):
            other = tuple(word.replace(meant, slipped) for word in words)
            others += [other] if other != words else []
    asked = [*own, *others]
    script = "\n".join(f"sudo -n -l {shlex.join(words)} >/dev/null 2>&1; echo $?" for words in asked)
    reach = with_rights.reach()
    argv = [*reach.argv(), "-T", "--", reach.name, "/bin/sh -s"]
    done = subprocess.run(argv, input=script + "\n", capture_output=True, text=True, timeout=60, check=True)
    codes = dict(zip(asked, done.stdout.split(), strict=True))
    assert [words for words in own if codes[words] != "0"] == []
    assert [words for words in others if codes[words] != "1"] == []


def test_another_account_may_be_asked_for(with_rights: Server) -> None:
    reach = with_rights.reach()
    text = reach.config.read_text()
    reach.config.write_text(text.replace(f"User {ACCOUNT}", "User nobody"))
    assert ask(reach).unreachable
    assert ask(replace(reach, user=ACCOUNT)).unreachable == ""


def test_without_rights_root_looks_are_denied() -> None:
    with server() as one:
        facts = ask(one.reach())
    for look in ASKED:
        if look.root:
            assert {facts.outputs[probe.id].status for probe in look.probes} == {Status.DENIED}
    assert facts.outputs["run:/usr/bin/id -u"].status == Status.SEEN


def test_a_shell_that_greets_and_a_server_with_a_banner(with_rights: Server) -> None:
    with server(
        login="/bin/bash", extra=f"Banner /etc/passwd\nSetEnv BASH_ENV={with_rights.folder}/id.pub"
    ) as one:
        facts = ask(one.reach())
    assert facts.outputs["run:/usr/bin/id -u"].text == "1500\n"


@pytest.mark.parametrize("shell", ["/usr/sbin/nologin", "/bin/cat", "/bin/false"])
def test_a_shell_that_is_none(shell: str) -> None:
    with server(login=shell) as one:
        facts = ask(one.reach())
    assert facts.unreachable
    assert facts.outputs == {}


def test_another_host_key_is_refused(with_rights: Server) -> None:
    reach = with_rights.reach("imposter")
    known = with_rights.folder / "known-imposter"
    with server() as other:
        known.write_text(f"imposter {other.host_key}\n")
        assert "verification failed" in ask(reach).unreachable
        known.write_text("")
        assert "verification failed" in ask(reach).unreachable


def test_many_hosts_through_a_bastion_share_one_login(with_rights: Server) -> None:
    door = with_rights.reach("door")
    names = [f"n{number}" for number in range(12)]
    config = with_rights.folder / "config-many"
    text = door.config.read_text() + "\n"
    for name in names:
        text += with_rights.reach(name).config.read_text() + "  ProxyJump door\n\n"
    config.write_text(text)
    before = (with_rights.folder / "log").read_text().count("Accepted publickey")
    reaches = [Reach(name, config, "door") for name in names] + [replace(door, config=config)]
    facts = asyncio.run(ssh.ask_all(reaches, ASKED))
    assert list(facts) == [*names, "door"]
    assert {one.unreachable for one in facts.values()} == {""}
    assert {one.outputs["run:/usr/bin/id -u"].text for one in facts.values()} == {"1500\n"}
    logins = (with_rights.folder / "log").read_text().count("Accepted publickey") - before
    assert logins == len(names) + 1, "each host, and one door for all, by which the bastion is asked as well"
    alone = ask(door).external
    assert {name for name in alone if name.startswith("ssh.")} >= {"ssh.kex", "ssh.auth", "ssh.version"}
    assert facts["door"].external == alone, "the door's log tells as much as that of a connection of its own"


def test_a_fault_in_a_log_that_hosts_share_is_not_put_down_to_one_of_them() -> None:
    said = "channel 3: open failed: connect failed: No route to host"
    reasons = {
        shared: asyncio.run(
            ssh.answers(["/bin/false"], ASKED, lambda: f"debug1: x\n{said}\n", shared=shared)
        ).unreachable
        for shared in (False, True)
    }
    assert reasons == {False: said, True: "it said nothing"}


def test_dead_hosts_and_a_dead_bastion_cost_only_themselves(
    with_rights: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "CONNECT_SECONDS", 1)
    good = with_rights.reach()
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(8)  # takes the connection and says nothing
        reaches = [good]
        for name, port in (("mute", silent.getsockname()[1]), ("closed", 1)):
            dead = with_rights.reach(name)
            text = dead.config.read_text().replace(f"Port {with_rights.port}", f"Port {port}")
            dead.config.write_text(text)
            reaches += [dead, Reach(f"behind-{name}", dead.config, name)]
        seen: list[str] = []
        facts = asyncio.run(ssh.ask_all(reaches, ASKED, told=lambda name, _facts: seen.append(name)))
    assert facts["h1"].unreachable == ""
    assert sorted(seen) == sorted(facts)
    for name in ("mute", "closed", "behind-mute", "behind-closed"):
        assert facts[name].unreachable, name
    assert facts["behind-closed"].unreachable.startswith("bastion closed: ")


def test_a_host_that_never_ends_is_left(with_rights: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "TOTAL_SECONDS", 1)
    asked = looks.plan([attributes("/etc/hostname"), command("/bin/sleep", "30")])
    facts = ask(with_rights.reach(), asked)
    assert facts.outputs["stat:/etc/hostname"].status == Status.SEEN, "what was told before counts"
    assert (
        "run:/bin/sleep 30" not in facts.outputs or facts.outputs["run:/bin/sleep 30"].status != Status.SEEN
    )


def test_a_host_that_tells_too_much_is_left(with_rights: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "MOST_OUT", 10_000)
    assert "more than is taken" in ask(with_rights.reach(), looks.plan([command("/usr/bin/yes")])).unreachable


def test_what_is_to_be_done_meanwhile_is_done_while_hosts_are_at_work(
    with_rights: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = looks.plan([command("/usr/bin/sleep", "1.5")])
    happened: list[str] = []

    def run(meanwhile: float) -> list[str]:
        monkeypatch.setattr(ssh, "_LOGIN_SECONDS", meanwhile)
        happened.clear()
        work = ssh.ask_all(
            [with_rights.reach()],
            asked,
            told=lambda name, facts: happened.append(facts.unreachable or name),
            meanwhile=lambda: happened.append("meanwhile"),
        )
        asyncio.run(work)
        return happened

    name = with_rights.reach().name
    assert run(ssh._LOGIN_SECONDS) == ["meanwhile", name]
    assert run(30) == [name], "an audit that ends before waits for nothing"


def test_an_interrupt_leaves_no_process_behind(with_rights: Server) -> None:
    children = set(_children())

    async def interrupted() -> None:
        asked = looks.plan([command("/bin/sleep", "14")])
        work = asyncio.create_task(ssh.ask_all([with_rights.reach()], asked))
        while not set(_children()) - children:  # noqa: ASYNC110 - nobody tells of a child
            await asyncio.sleep(0.01)
        work.cancel()
        await work

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(interrupted())
    assert set(_children()) <= children


def _children() -> list[str]:
    with open(f"/proc/self/task/{os.getpid()}/children") as source:  # noqa: PTH123 - not a file to resolve
        return source.read().split()
