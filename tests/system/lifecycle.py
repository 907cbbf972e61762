"""The commands of a network's life, run as a person runs them."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provchain import lab, provision
from provchain.lab import host
from provchain.paths import REPOSITORY, network_dir, runtime_dir, spec_file
from provchain.spec import ChainSpec, load

_BIN = Path(sys.executable).parent
_UP_SECONDS, _QUICK_SECONDS = 900, 300


@dataclass(frozen=True)
class Lifecycle:
    """One network by its name, and the commands on it."""

    network: str

    def describe(self) -> None:
        """Write the network's description: the lab's under this name, with snapshots every few blocks."""
        text = spec_file("lab").read_text(encoding="utf-8")
        for said, instead in (
            ("network: lab\n", f"network: {self.network}\n"),
            ("snapshot_interval: 10000\n", "snapshot_interval: 10\n"),
        ):
            assert text.count(said) == 1, f"the lab's description says {said!r} otherwise"
            text = text.replace(said, instead)
        path = spec_file(self.network)
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")

    @property
    def spec(self) -> ChainSpec:
        """Return the description."""
        return load(spec_file(self.network))

    @property
    def inventory(self) -> Path:
        """Return the generated inventory."""
        return spec_file(self.network).with_name("hosts.yml")

    def argv(self, verb: str, *options: str) -> list[str]:
        """Return a command line of ``provchain`` for this network."""
        return [str(_BIN / "provchain"), verb, "--network", self.network, *options]

    def command(
        self, verb: str, *options: str, seconds: float = _QUICK_SECONDS, within: Sequence[str] = ()
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, whatever that is."""
        return run([*within, *self.argv(verb, *options)], seconds)

    def up(self, within: Sequence[str] = ()) -> str:
        """Bring the network up and return what the steps said; the test fails if it does not come up."""
        done = self.command("up", seconds=_UP_SECONDS, within=within)
        assert done.returncode == 0, f"up failed:\n{done.stdout[-2000:]}\n{done.stderr[-6000:]}"
        return done.stderr

    def down(self, within: Sequence[str] = ()) -> None:
        """Remove the network; the test fails if that fails."""
        done = self.command("down", "--yes", within=within)
        assert done.returncode == 0, f"down failed:\n{done.stderr[-4000:]}"

    def plan(self) -> dict[str, Any]:
        """Return what up would change."""
        done = self.command("plan", "--json")
        assert done.returncode == 0, f"plan failed:\n{done.stderr[-4000:]}"
        found = json.loads(done.stdout)
        assert isinstance(found, dict)
        return found

    def drift(self) -> list[str]:
        """Return what differs from the description, one line each, by a preview of the network alone."""
        return list(provision.preview(spec_file(self.network)).details)

    def playbook(
        self,
        name: str,
        inventory: Path,
        *options: str,
        within: Sequence[str] = (),
        seconds: float = _QUICK_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook by hand."""
        argv = [str(_BIN / "ansible-playbook"), "-i", str(inventory), f"playbooks/{name}.yml", *options]
        return run([*within, *argv], seconds, {"ANSIBLE_NOCOLOR": "1"})

    def is_whole(self) -> bool:
        """Return whether every node of the network runs."""
        return self.inventory.is_file() and self.command("status").returncode == 0

    def births(self) -> dict[str, int | None]:
        """Return each host's first process, which changes when a host is made anew or started again."""
        return {one.name: host.leader(self.network, one.name) for one in self.spec.hosts}

    def traces(self) -> list[str]:
        """Return everything of the network on this machine: there must be nothing after ``down``."""
        found = list(lab.leftovers(self.network))
        root = network_dir(self.network)
        found += [f"state {path}" for path in sorted(root.rglob("*"))]
        root.rmdir()  # asking for the folder makes it
        sockets = runtime_dir(self.network)
        found += [f"runtime {path}" for path in sorted(sockets.rglob("*"))]
        sockets.rmdir()
        return found + ([f"inventory {self.inventory}"] if self.inventory.exists() else [])

    def forget(self) -> None:
        """Remove the description that ``describe`` wrote."""
        shutil.rmtree(spec_file(self.network).parent, ignore_errors=True)


def recap(log: str) -> dict[str, dict[str, int]]:
    """Return Ansible's counts by host."""
    rows = re.findall(r"^(\S+)\s+: (ok=.*)$", log, re.MULTILINE)
    return {
        host: {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", counts)} for host, counts in rows
    }


def run(
    argv: Sequence[str], seconds: float, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command in the repository to its end."""
    return subprocess.run(
        argv,
        cwd=REPOSITORY,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )
