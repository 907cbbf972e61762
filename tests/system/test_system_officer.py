"""The security officer's guide, typed as it stands, for bare hosts that provchain never touched.

The commands and files are read out of the guide; only names, addresses and keys of the example are replaced.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provchain import inventory, paths, provision
from provchain.audit.assessment import read
from provchain.lab import names
from provchain.paths import REPOSITORY, network_dir, spec_file
from tests.system.lifecycle import Lifecycle, run

GUIDE = (REPOSITORY / "docs" / "security-officer.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)
HOSTS = {"bastion": "m1", "db1": "v1"}
"""The guide's hosts, and those that stand for them."""
FINDINGS = "provchain audit --fleet "
"""How the commands begin that exit with 1: bare hosts are not compliant."""


def blocks(step: int) -> list[tuple[str, str]]:
    """Return the blocks of a step of the guide: their language, empty for commands, and their text."""
    text = GUIDE.split(f'<a id="{step}"></a>')[1].split('<a id="')[0]
    return FENCE.findall(text)


@dataclass
class Officer:
    """Who types, and where: at the station of the hosts' network, with a key and a folder of their own."""

    life: Lifecycle
    chain: Lifecycle
    home: Path

    @property
    def work(self) -> Path:
        """Return the folder in which they work."""
        return self.home / "audit"

    def type(self, line: str) -> str:
        """Type a line of the guide, with the example's names replaced, and return what was said."""
        config = network_dir(self.life.network) / "ssh" / "config"
        for said, meant in (
            ("~/audit-2026", str(self.work)),
            ("~/.ssh/id_ed25519", str(self.home / "id_ed25519")),
            ("--network lab", f"--network {self.chain.network}"),
            *((f"ssh {guide} ", f"ssh -F {config} {host} ") for guide, host in HOSTS.items()),
        ):
            line = line.replace(said, meant)
        # whoever verifies needs no network
        offline = ["unshare", "--net"] if "audit verify" in line else []
        station = ["nsenter", f"--net=/run/netns/{names.station_namespace(self.life.network)}"]
        folder = self.work if self.work.exists() else self.home
        argv = [*station, *offline, "sh", "-c", f"cd {folder} && {line}"]
        path = f"{REPOSITORY / '.venv' / 'bin'}:{os.environ['PATH']}"
        done = run(argv, 300, {"PATH": path, "PROVCHAIN_HOME": str(paths.home())})
        wanted = 1 if line.startswith(FINDINGS) else 0
        assert done.returncode == wanted, f"{line}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
        return done.stdout

    def step(self, number: int) -> str:
        """Type all commands of a step, and return all that was said."""
        lines = [line for kind, text in blocks(number) if not kind for line in text.splitlines()]
        assert lines, f"step {number} has no commands"
        return "".join(self.type(line) for line in lines)

    def write(self, name: str, step: int, **replaced: str) -> None:
        """Write the example file of a step, as it stands but for what is replaced."""
        (text,) = (text for kind, text in blocks(step) if kind == "yaml")
        for said, meant in replaced.items():
            assert said in text
            text = text.replace(said, meant)
        (self.work / name).write_text(text, encoding="utf-8")


@pytest.fixture
def officer(running: Lifecycle, tmp_path: Path) -> Iterator[Officer]:
    """Make bare hosts beside a chain to anchor on, and an officer with a key; remove them in the end."""
    life = Lifecycle(f"{running.network}o")
    life.describe()
    try:
        inventory.write(life.spec, spec_file(life.network), provision.up(spec_file(life.network)))
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "id_ed25519"], check=True
        )
        yield Officer(life, running, tmp_path)
    finally:
        life.down()
        life.forget()
        (paths.home() / "audits" / f"{life.network}.json").unlink(missing_ok=True)


def test_the_guide_leads_from_bare_hosts_to_a_signed_anchored_and_verified_report(officer: Officer) -> None:
    officer.type(FENCE.findall(GUIDE)[0][1].strip())
    _enrol(officer)
    officer.step(2)
    found = read((officer.work / "2026-q1" / "audit.json").read_text(encoding="utf-8"))
    assert [(one.name, one.unreachable, one.family) for one in found.hosts] == [
        (name, "", "debian") for name in HOSTS
    ]
    assert found.since is None
    page = (officer.work / "2026-q1" / "report.html").read_text(encoding="utf-8")
    assert "没有可比较的上次核查" in page
    roster = [one.found for one in found.results if one.rule == "account-roster"]
    assert roster == [("ops",)] * 2, "the auditor is on the roster, others are not"
    assert [one for one in found.results if "sudo" in one.reason] == [], "the list of commands is whole"

    assert "maxauthtries" in officer.step(3)
    (officer.work / "documents").mkdir()
    (officer.work / "documents" / "ZD-2026-07.pdf").write_text("abc")
    officer.write("baseline.yml", 4)
    officer.step(2)
    found = read((officer.work / "2026-q1" / "audit.json").read_text(encoding="utf-8"))
    assert [one.rule for one in found.waivers] == ["ssh-two-factors"]
    assert found.attestations[0].state not in ("missing", "mismatch")
    assert found.since is not None

    shutil.copy2(network_dir(officer.chain.network) / "genesis.json", officer.work / "genesis.json")
    told = officer.step(5)
    assert told.count("each derived again from the facts by the catalog here: the same") == 2
    assert "proven at height" in told
    officer.step(6)
    _take_back(officer)


def _enrol(officer: Officer) -> None:
    """Do the first step, and paste what the hosts printed into the guide's list."""
    told = officer.step(1)
    pasted = re.findall(r"  - name: (\S+)\n    address: (\S+)\n    host_key: (.+)\n", told)
    assert [name for name, _, _ in pasted] == list(HOSTS.values())
    (example,) = (text for kind, text in blocks(1) if kind == "yaml")
    places = re.findall(r"    address: (\S+)\n    host_key: (.+)\n", example)
    own = {
        said: meant
        for there, (_, *here) in zip(places, pasted, strict=True)
        for said, meant in zip(there, here, strict=True)
    }
    own["/home/officer/.ssh/id_ed25519"] = str(officer.home / "id_ed25519")
    # what is remembered of a fleet of that name is not the tests'
    own["fleet: province"] = f"fleet: {officer.life.network}"
    officer.write("fleet.yml", 1, **own)


def _take_back(officer: Officer) -> None:
    """Do on a host what the script says takes it back."""
    (back,) = re.findall(r"^#   (rm .*)$", (officer.work / "enrol.sh").read_text(encoding="utf-8"), re.M)
    left = "ls -d /home/auditor /etc/sudoers.d/auditor; getent passwd auditor; true"
    for there in (True, False):
        said = officer.type(f"ssh db1 \"sudo sh -c '{left}'\"")
        assert [word in said for word in ("/home/auditor", "sudoers.d/auditor", "auditor:")] == [there] * 3
        if there:
            officer.type(f"ssh db1 \"sudo sh -c '{back}'\"")
