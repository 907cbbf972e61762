"""``provchain audit`` as a person and a script meet it, against a real server on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from provchain.audit import looks
from provchain.audit.assessment import read, sm3
from provchain.audit.subjects import everything
from provchain.baseline import catalog
from provchain.baseline.resources import Target
from provchain.cli.audit_text import explained
from provchain.cli.main import app
from provchain.paths import REPOSITORY
from tests.unit.audit.sshd import ACCOUNT, Server, server

CATALOG = catalog.load()
WHOLE = CATALOG.profiles["mlps3"]
TARGET = Target("x", None, False)
SLOW = [
    rule.id
    for rule in WHOLE.rules
    for probe in rule.check_for("debian").probes(replace(TARGET, family="debian"), WHOLE.values)
    if probe.id.startswith(("run:/usr/bin/find / ", "run:/usr/bin/apt-get "))
]
"""The rules that look at every file or package of a machine: a site's own profile leaves them out here."""
COMMANDS = ("run", "list", "explain", "diff", "sudoers", "enrol", "schema", "key", "seal", "anchor", "verify")


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    resolved = replace(WHOLE, rules=tuple(rule for rule in WHOLE.rules if rule.id not in SLOW))
    with server(looks.sudoers(looks.plan(everything(resolved, [TARGET])), ACCOUNT)) as one:
        dropped = "".join(f"  - {{rule: {rule}, reason: {{zh: 慢, en: slow}}}}\n" for rule in SLOW)
        text = f"id: quick\ntitle: {{zh: 快, en: Quick}}\nextends: mlps3\nwithout:\n{dropped}"
        (one.folder / "quick.yml").write_text(text, encoding="utf-8")
        yield one


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PROVCHAIN_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def fleet(server: Server, folder: Path, *hosts: str) -> Path:
    lines = ["fleet: here", f"user: {ACCOUNT}", f"key: {server.folder}/id", "hosts:"]
    lines += [
        f"  - {{name: {one}, address: 127.0.0.1, port: {server.port}, host_key: {server.host_key}}}"
        for one in hosts
    ]
    path = folder / "fleet.yml"
    path.write_text("\n".join(lines) + "\n")
    return path


def provchain(*argv: str) -> Result:
    return CliRunner().invoke(app, ["audit", *argv])


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str) -> None:
    done = provchain(name, "--help")
    assert done.exit_code == 0
    assert "Example:" in done.stdout


def test_an_audit_leaves_every_report_and_is_compared_with_the_last(running: Server, tmp_path: Path) -> None:
    path = fleet(running, tmp_path, "h1")
    own = ("--profile", str(running.folder / "quick.yml"))
    done = provchain("--fleet", str(path), "--output", str(tmp_path / "out"), *own)
    assert done.exit_code == 1, done.output
    assert "ssh-root-login" in done.stdout
    assert "since" not in done.stdout
    assert {one.name for one in (tmp_path / "out").iterdir()} == {
        "audit.json",
        "audit.junit.xml",
        "audit.oscal.json",
        "audit.csv",
        "report.html",
        "facts",
        "sources.json",
    }
    found = read((tmp_path / "out" / "audit.json").read_text())
    assert [host.unreachable for host in found.hosts] == [""]
    assert {one.status for name, one in found.hosts[0].facts.items() if "sshd -T" in name} == {"seen"}
    clauses = {one.control for one in found.clauses}
    assert clauses == set(CATALOG.controls), "no clause is passed over"
    sources = json.loads((tmp_path / "out" / "sources.json").read_text())
    assert sources["site/quick.yml"] == sm3((running.folder / "quick.yml").read_bytes())
    assert "baselines/rules/ssh.yml" in sources
    assert (tmp_path / "out").stat().st_mode & 0o077 == 0, "what hosts say is not for everybody"
    assert provchain("key", "--out", str(tmp_path / "key")).exit_code == 0
    report = str(tmp_path / "out" / "audit.json")
    done = provchain("seal", report, "--key", str(tmp_path / "key"), "--out", str(tmp_path / "bundle"))
    assert done.exit_code == 0, done.output
    verify = ("verify", str(tmp_path / "bundle"), "--signer", str(tmp_path / "key.pub"))
    done = provchain(*verify)
    assert (done.exit_code, "NOT derived again: there is no profile quick" in done.stdout) == (0, True)
    done = provchain(*verify, *own)
    assert (done.exit_code, "each derived again from the facts" in done.stdout) == (0, True), done.output
    assert json.loads(provchain(*verify, *own, "--json").stdout)["judged_again"]
    path.write_text(path.read_text().replace("name: h1", "name: h2"))
    again = provchain("run", "--fleet", str(path), *own)
    assert "new host  h2" in again.stdout
    assert "host gone  h1" in again.stdout
    since = read((tmp_path / "home" / "audits" / "here.json").read_text()).since
    assert since is not None
    assert (since.audit, since.came) == (sm3((tmp_path / "out" / "audit.json").read_bytes()), ("h2",))


def test_an_audit_of_one_rule_is_json_and_exits_by_what_it_found(running: Server, tmp_path: Path) -> None:
    path = fleet(running, tmp_path, "h1", "h2")
    codes = {}
    for rule in ("account-root-only", "ssh-root-login"):
        own = ("--profile", str(running.folder / "quick.yml"))
        done = provchain("--fleet", str(path), *own, "--rule", rule, "--limit", "h2", "--json")
        found = read(done.stdout)
        assert [(one.rule, one.host) for one in found.results] == [(rule, "h2")]
        assert found.limited == ("h2", rule)
        codes[rule] = done.exit_code
    assert codes == {"account-root-only": 0, "ssh-root-login": 1}


def test_a_host_that_is_down_is_3(running: Server, tmp_path: Path, home: Path) -> None:
    path = fleet(running, tmp_path, "h1")
    path.write_text(path.read_text().replace(str(running.port), "1"))
    done = provchain("--fleet", str(path))
    assert done.exit_code == 3
    assert "h1: not reached: " in done.stdout
    assert "is it up, are address and port right" in done.stdout, "it says what to try"
    assert not (home / "audits").exists(), "an audit that saw nothing is none to compare with"


@pytest.mark.parametrize(
    ("argv", "code", "words"),
    [
        (["nosuch"], 2, "described are: "),
        (["lab"], 3, "provchain up --network lab"),
        (["run"], 2, "either a NETWORK or --fleet"),
        (["--json"], 2, "either a NETWORK or --fleet"),
        (["lab", "--fleet", "x.yml"], 2, "either a NETWORK or --fleet"),
        (["--fleet", "x.yml"], 2, "no such file"),
        (["--fleet", "x.yml", "--user", "auditor"], 2, "a fleet's file has its own"),
        (["lab", "--user", "-oProxyCommand=x"], 2, "name of an account"),
        (["explain", "no-such"], 2, "there is no rule"),
        (["list", "things"], 2, "none of"),
        (["list", "--profile", "mlps9"], 2, "there is no profile"),
        (["sudoers", "--account", "a b"], 2, "no name of an account"),
        (["enrol", "--key", "pyproject.toml"], 2, "no public key as ssh-keygen leaves it"),
        (["enrol", "--key", "nosuch.pub"], 2, "does not exist"),
        (["diff", "pyproject.toml", "pyproject.toml"], 2, "no audit of format 1 or 2"),
    ],
)
def test_what_can_not_be_done_says_why(argv: list[str], code: int, words: str) -> None:
    done = provchain(*argv)
    assert done.exit_code == code, done.output
    assert words in " ".join(done.output.replace("│", " ").split())


@pytest.mark.parametrize("option", ["--limit", "--rule", "--profile", "--site"])
def test_a_name_of_nothing_is_wrong_use(running: Server, tmp_path: Path, option: str) -> None:
    assert provchain("--fleet", str(fleet(running, tmp_path, "h1")), option, "no-such").exit_code == 2


def test_explain_tells_thresholds_of_the_profile_in_both_languages() -> None:
    found = {one: provchain("explain", "ssh-max-tries", "--profile", one).stdout for one in CATALOG.profiles}
    for name, text in found.items():
        value = CATALOG.profiles[name].values["ssh_max_tries"]
        assert f"ssh_max_tries = {value}" in text
        assert "限制" in text
        assert "Few authentication attempts" in text
        assert "sshd: maxauthtries" in text
    for rule in CATALOG.rules.values():
        assert explained(rule, CATALOG, WHOLE)["clauses"]


def test_list_knows_all(running: Server) -> None:
    rules = json.loads(provchain("list", "--json").stdout)
    assert [one["id"] for one in rules] == [one.id for one in CATALOG.profiles["mlps3"].rules]
    assert len(provchain("list", "controls").stdout.splitlines()) == len(CATALOG.controls)
    assert "mlps3-chain" in provchain("list", "profiles").stdout


def test_sudoers_is_the_list_of_the_profile() -> None:
    assert provchain("sudoers").stdout == looks.sudoers(looks.plan(everything(WHOLE, [TARGET])), ACCOUNT)


def test_an_interrupt_ends_it_at_once_and_leaves_nothing(running: Server, tmp_path: Path) -> None:
    code = "from provchain.cli.main import main; main()"
    argv = [sys.executable, "-c", code, "audit", "--fleet", str(fleet(running, tmp_path, "h1"))]
    with subprocess.Popen(argv, cwd=REPOSITORY, stderr=subprocess.PIPE, env=dict(os.environ)) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while not children.read_text():
            time.sleep(0.01)
        (child,) = children.read_text().split()
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=20)
    assert process.returncode == 130
    assert b"interrupted" in said
    assert b"Traceback" not in said
    assert not Path(f"/proc/{child}").exists()


def test_what_no_ssh_leads_to_is_audited_by_its_connector(tmp_path: Path, home: Path) -> None:
    done = provchain("@local", "--rule", "file-passwd", "--output", str(tmp_path / "out"))
    found = read((tmp_path / "out" / "audit.json").read_text())
    assert done.exit_code == found.exit_code == 0
    (host,) = found.hosts
    assert (found.network, host.name, host.unreachable) == ("at-local", "local", "")
    assert host.described is not None
    assert host.described.connector == "@local"
    assert provchain("@local", "--rule", "ssh-offered-macs").exit_code == 3


@pytest.mark.parametrize(
    "argv",
    [("@vagrant/x",), ("@docker/debian:12",), ("@local", "--user", "root"), ("@local", "--fleet", "x.yml")],
)
def test_other_connectors_are_refused(argv: tuple[str, ...]) -> None:
    assert provchain(*argv).exit_code == 2
