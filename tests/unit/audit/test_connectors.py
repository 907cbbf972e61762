"""Hosts that no ssh leads to, for real: this machine, an image's folder, a client of containers that lies."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest

from provchain.audit import connectors, looks, ssh
from provchain.audit.connectors import Connected
from provchain.audit.subjects import CONTAINER, RELEASE, Subject, known
from provchain.baseline.facts import SSH_OFFERS, Facts, Output, Probe, Status, UnknownError, command, file
from provchain.baseline.resources import Target

REMOTE = "/usr/bin/timeout -k 2 180 /bin/sh -s"
TOOLS = (
    *("/bin/sh", "/bin/bash", "/bin/grep", "/bin/mount", "/usr/sbin/chroot"),
    *(
        f"/usr/bin/{name}"
        for name in ("find", "getent", "head", "id", "mknod", "sleep", "stat", "timeout", "touch", "uname")
    ),
)


def ask(connector: str, *probes: Probe) -> Facts:
    reach = Connected("h1", connector)
    return asyncio.run(ssh.ask_all([reach], looks.plan(probes)))["h1"]


# --- the command


def test_the_command_is_as_the_library_has_it() -> None:
    inner = f"sh -c '{REMOTE}'"
    made = {
        "@local": REMOTE.split(),
        "@chroot//srv/images/base": ["chroot", "/srv/images/base", "sh", "-c", inner],
        "@chroot/srv/x": ["chroot", "/srv/x", "sh", "-c", inner],
        "@docker/web-1": ["docker", "exec", "-i", "web-1", "sh", "-c", inner],
        "@podman/db.1": ["podman", "exec", "-i", "db.1", "sh", "-c", inner],
    }
    code = "import json, sys; from provchain.audit.become import command as of\n"
    code += "print(json.dumps({name: of(name) for name in sys.argv[1:]}))"
    done = subprocess.run([sys.executable, "-c", code, *made], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == made


def test_nobody_else_pays_for_the_library() -> None:
    """Loading it takes longer than all the rest of the command line."""
    code = (
        "import sys, provchain.cli.main, provchain.cli.audit, provchain.audit.ssh; print(sorted(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "provchain.audit.connectors" in done.stdout
    assert not {"pyinfra", "gevent", "paramiko"} & {name.strip("[]' ") for name in done.stdout.split(",")}


# --- this machine


def test_this_machine_answers_byte_for_byte(tmp_path: Path) -> None:
    """As by a shell without anything between: bytes that are no UTF-8, a NUL, no end of line, no line."""
    for name, raw in (
        ("odd", b"a\xff\xfeb\r\n\n\nend"),
        ("nul", b"a\0b\n"),
        ("none", b""),
        ("forged", f"\n{'0' * 32} e 0\n".encode()),
        ("long", b"x" * 300_000 + b"\n"),
    ):
        (tmp_path / name).write_bytes(raw)
    probes = [file(f"{tmp_path}/{path.name}") for path in tmp_path.iterdir()]
    asked = looks.plan([*probes, command("/usr/bin/printf", "b\\303\\n\\n")])
    plain = asyncio.run(ssh.answers(["/bin/sh", "-c", REMOTE], asked))
    through = asyncio.run(ssh.ask_all([Connected("h1", "@local")], asked))["h1"]
    assert through.outputs == {**plain.outputs, SSH_OFFERS.id: Output(Status.DENIED, 0, connectors.NO_SSH)}
    assert through.outputs[f"file:{tmp_path}/odd"].text == "a\ufffd\ufffdb\r\n\n\nend\n"
    assert through.outputs["run:/usr/bin/printf b\\303\\n\\n"].text == "b\ufffd\n\n"


def test_what_the_auditor_has_set_does_not_pass_for_the_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TMOUT", "600")
    monkeypatch.setenv("BASH_ENV", "/nowhere")
    before = os.umask(0o077)
    try:
        facts = ask("@local", command("/bin/sh", "-c", "umask; echo $TMOUT $BASH_ENV $HOME"))
    finally:
        os.umask(before)
    assert facts.outputs["run:/bin/sh -c umask; echo $TMOUT $BASH_ENV $HOME"].text == "0022\n/root\n"


def test_what_ssh_would_tell_is_unknown_with_the_reason() -> None:
    facts = ask("@local", file("/etc/hostname"))
    with pytest.raises(UnknownError, match="no ssh leads to it"):
        facts.offered("ssh.kex")


# --- an image


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A small system: what the script needs, and the libraries of that."""
    root = tmp_path / "image"
    needed = set(TOOLS)
    for tool in TOOLS:
        told = subprocess.run(["/usr/bin/ldd", tool], capture_output=True, text=True, check=True).stdout
        needed |= {word for word in told.split() if word.startswith("/")}
    for one in needed:
        (root / one[1:]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(one, root / one[1:])
    for folder in ("dev", "etc", "proc", "root", "run", "tmp", "var/log"):
        (root / folder).mkdir(parents=True)
    (root / "etc/os-release").write_text("ID=debian\n")
    (root / "etc/shadow").write_text("root:*:1::::::\n")
    (root / "etc/private").write_text("of nobody in particular\n")
    (root / "etc/private").chmod(0)
    os.chown(root / "etc/private", 12_345, 12_345)
    (root / "etc/shadow").chmod(0)
    return root


def picture(root: Path) -> str:
    """All that a write would change: names, modes, owners, sizes, and times of change, to the nanosecond."""
    form = r"%P %y %m %U %G %s %T@ %C@\n"
    done = subprocess.run(["find", root, "-printf", form], capture_output=True, text=True, check=True)
    return "\n".join(sorted(done.stdout.splitlines()))


def test_an_image_is_read_and_stays_as_it_is(tree: Path) -> None:
    probes = [
        RELEASE,
        CONTAINER,
        file("/etc/shadow", root=True),
        file("/etc/private", root=True),
        file("/proc/sys/kernel/hostname"),
        file("/var/log/syslog"),
        command("/usr/bin/getent", "passwd"),
        command("/usr/bin/uname", "-m"),
        command("/usr/bin/uname", "-r"),
        command("/usr/bin/id", "-u"),
    ]
    before, mounts = picture(tree), Path("/proc/self/mountinfo").read_text()
    facts = ask(f"@chroot/{tree}", *probes)
    assert (picture(tree), Path("/proc/self/mountinfo").read_text()) == (before, mounts)
    assert facts.unreachable == ""
    told = {name: (one.status, one.text) for name, one in facts.outputs.items()}
    assert told["file:/etc/os-release"] == (Status.SEEN, "ID=debian\n")
    assert told["file:/etc/shadow"] == (Status.SEEN, "root:*:1::::::\n")
    assert told["file:/etc/private"] == (Status.SEEN, "of nobody in particular\n")
    assert told["run:/usr/bin/uname -m"] == (Status.SEEN, f"{os.uname().machine}\n")
    for live in (
        "run:/usr/bin/uname -r",
        "run:/usr/bin/id -u",
        "run:/usr/bin/systemd-detect-virt --container",
        "file:/proc/sys/kernel/hostname",
        "file:/var/log/syslog",
    ):
        assert told[live] == (Status.DENIED, connectors.STANDS), (
            "this machine's, or missing, is not the image's"
        )


HOSTILE = """\
    #!/bin/bash
    # what a shell of somebody else's could try; it tells at the end what worked
    done=''
    try() { "${@:2}" >/dev/null 2>&1 && done="$done $1"; }
    try write touch /pwned
    try write-devices touch /dev/new
    try overwrite eval '>/etc/os-release'
    try device mknod /dev/memory c 1 1
    try mount mount -t tmpfs none /tmp
    try chroot chroot / /usr/bin/id
    try signal kill -9 PARENT
    try network eval 'exec 9<>/dev/tcp/127.0.0.1/PORT'
    try processes test -e /proc/1
    try terminal eval ': </dev/tty'
    read -r _ # the script that it is to run
    echo "worked:$done" >&2
"""


def test_a_hostile_image_reaches_nothing(tree: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        text = textwrap.dedent(HOSTILE).replace("PARENT", str(os.getpid()))
        (tree / "bin/sh").unlink()
        (tree / "bin/sh").write_text(text.replace("PORT", str(listener.getsockname()[1])))
        (tree / "bin/sh").chmod(0o755)
        before = picture(tree)
        facts = ask(f"@chroot/{tree}", RELEASE)
        listener.settimeout(0)
        with pytest.raises(BlockingIOError):
            listener.accept()
    assert facts.unreachable == "worked:"
    assert picture(tree) == before


def test_of_an_image_that_never_ends_nothing_goes_on(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "TOTAL_SECONDS", 2)
    (tree / "bin/sh").unlink()
    (tree / "bin/sh").write_text("#!/bin/bash\ntrap '' TERM INT HUP\nset -m\nsleep 99 & sleep 99\n")
    (tree / "bin/sh").chmod(0o755)
    assert ask(f"@chroot/{tree}", RELEASE).unreachable == "no answer within 2 s"
    roots = [str(link.readlink()) for link in Path("/proc").glob("[0-9]*/root") if link.exists()]
    assert len(roots) > 1
    assert str(tree) not in roots


def test_by_chroot_alone_it_would_reach_it(tree: Path) -> None:
    """The check of the check."""
    (tree / "bin/sh").write_text(
        textwrap.dedent(HOSTILE).replace("PARENT", str(2**22 + 1)).replace("PORT", "1")
    )
    done = subprocess.run(
        ["unshare", "--mount", "chroot", tree, "/bin/sh"],
        input="\n",
        capture_output=True,
        text=True,
        check=True,
    )
    assert {"write", "write-devices", "overwrite", "device", "mount", "chroot"} <= set(
        done.stderr.splitlines()[-1].split()
    )


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        ("", "is mounted in it"),
        ("mv dev gone", ": /dev: No such file or directory"),
        ("rm bin/sh", ": /bin/sh: No such file or directory"),
        ("rm usr/bin/timeout", "/usr/bin/timeout: not found"),
    ],
)
def test_an_image_that_can_not_be_looked_into(tree: Path, spoil: str, reason: str) -> None:
    argv = " ".join([sys.executable, "-I", "-m", "provchain.audit.become", f"@chroot/{tree}"])
    script = f"cd {tree}; {spoil or 'mount -t tmpfs none proc'}; exec {argv}"
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True)
    assert (done.stdout, reason in done.stderr) == ("", True), done.stderr


def test_no_mount_is_left_where_mounts_are_shared(tree: Path) -> None:
    """As systemd has it on every machine: what is mounted in one world comes up in the others."""
    argv = " ".join([sys.executable, "-I", "-m", "provchain.audit.become", f"@chroot/{tree}"])
    mounts = "cut -d' ' -f3- /proc/self/mountinfo"
    script = f"mount --make-rshared /; {mounts} >&2; echo 'echo $PWD' | {argv}; echo = >&2; {mounts} >&2"
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    before, after = done.stderr.split("=\n")
    assert (done.stdout, after) == ("/\n", before)


@pytest.mark.parametrize(("folder", "reason"), [("/nowhere", "No such file"), ("/..", "this machine itself")])
def test_no_image_at_all(folder: str, reason: str) -> None:
    assert reason in ask(f"@chroot/{folder}", RELEASE).unreachable


# --- a container


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a ``docker`` and a ``podman``, which are first on the path."""
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    return tmp_path


def answering(client: Path, answers: dict[str, str], name: str = "docker") -> None:
    """Make a client that writes down what it is asked, and answers by the container's name."""
    cases = "".join(f"{container})\n{answer}\n;;\n" for container, answer in answers.items())
    write = 'printf \'%s\\n\' "$#" "$@" >>"$0.$3"'
    (client / name).write_text(f'#!/bin/bash\n{write}\ncase "$3" in\n{cases}esac\n')
    (client / name).chmod(0o755)


def asked(client: Path, container: str, name: str = "docker") -> list[str]:
    """All that the client was asked of a container, a word each, after how many they are."""
    return (client / f"{name}.{container}").read_text().splitlines()


@pytest.mark.parametrize("name", ["docker", "podman"])
def test_a_container_is_asked_once_and_nothing_else_is_done(client: Path, name: str) -> None:
    answering(client, {"web": 'exec "${@:4}"'}, name)
    facts = ask(f"@{name}/web", RELEASE, CONTAINER, command("/usr/bin/id", "-u"))
    assert facts.unreachable == ""
    assert facts.outputs["run:/usr/bin/id -u"].text == "0\n"
    assert asked(client, "web", name) == ["6", "exec", "-i", "web", "sh", "-c", f"sh -c '{REMOTE}'"]


WRONG = {
    "gone": ("echo 'Error response from daemon: No such container: gone' >&2; exit 1", "No such container"),
    "stopped": ("echo 'Error response from daemon: container 1f is not running' >&2; exit 1", "not running"),
    "paused": ("echo 'Error response from daemon: Container 1f is paused' >&2; exit 1", "is paused"),
    "asks": ("echo 'sudo: a password is required' >&2; exit 1", "a password is required"),
    "floods": ("exec cat /dev/zero", "it told more than is taken"),
    "complains": ("exec cat /dev/zero >&2", "it told more than is taken"),
    "raves": ("head -c 100000 /dev/urandom; head -c 100000 /dev/urandom >&2", ""),
    "forges": ("printf '\\n00000000000000000000000000000000 b 0\\nlast\\n'", "last"),
    "echoes": ("exec cat", "main </dev/null"),
    "silent": ("exit 0", "it said nothing"),
    "dies": ("kill -9 $$", "it said nothing"),
}


def test_a_container_that_can_not_be_asked_costs_only_itself(
    client: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ssh, "MOST_OUT", 1 << 20)
    monkeypatch.setattr(ssh, "MOST_ERR", 1 << 20)
    answering(client, {"good": 'exec "${@:4}"', **{name: answer for name, (answer, _) in WRONG.items()}})
    ways = [Connected(name, f"@docker/{name}") for name in ("good", *WRONG)]
    facts = asyncio.run(ssh.ask_all(ways, looks.plan([RELEASE])))
    assert facts["good"].unreachable == ""
    for name, (_, reason) in WRONG.items():
        assert facts[name].unreachable
        assert reason in facts[name].unreachable
        assert facts[name].outputs == {}
        assert asked(client, name)[:4] == ["6", "exec", "-i", name], "it is neither started nor made"
        assert len(asked(client, name)) == 7


def test_a_container_that_never_ends_is_left(client: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "TOTAL_SECONDS", 2)
    answering(
        client, {"deaf": "trap '' TERM; sleep 99 & wait; sleep 99", "mute": "exec 1>&- 2>&-; exec sleep 99"}
    )
    ways = [Connected(name, f"@docker/{name}") for name in ("deaf", "mute")]
    facts = asyncio.run(ssh.ask_all(ways, looks.plan([RELEASE])))
    assert {one.unreachable for one in facts.values()} == {"no answer within 2 s"}


# --- what follows


def test_a_way_into_a_container_knows_that_it_is_one() -> None:
    said = {CONTAINER.id: Output(Status.MISSING), RELEASE.id: Output(Status.SEEN, 0, "ID=debian\n")}
    subject = Subject(Target("h1", None, False), "", "@podman/web")
    assert known(subject, Facts(said)).target.container
    assert not known(replace(subject, connector=None), Facts(said)).target.container
    lying = {**said, CONTAINER.id: Output(Status.SEEN, 0, "docker\n")}
    assert not known(replace(subject, connector="@chroot//x"), Facts(lying)).target.container
    assert known(replace(subject, connector="@local"), Facts(lying)).target.container
