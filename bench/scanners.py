"""The audit beside Lynis and OpenSCAP, on the same host in the same run; and a fleet of eight hosts, before
and after hardening. For ``bench/audit.py --compare``.

The hosts are the lab's own, made for this and removed again; the scanners come from Debian's packages and are
installed there only. Costs are what the kernel's control group of a host counted: login, sudo, journal and
system manager are in them, for all three alike. All hosts run on this machine, beside the auditor. While a
fleet is audited, the auditor and the hosts go ahead of all else that the machine does (their share of the
processor), as its wall time would be the other work's; the figures say whether that was possible.

Fair means here:

- Lynis gets an empty resolv.conf: with a resolver that can't be reached it waits for it.
- OpenSCAP has no content for Debian 12; in a mount namespace of its own it is told that this is Debian 11,
  and runs the largest profile. Rules that it finds not to apply are not counted, nor are ours.
- Each scanner looks at what it looks at: a cost per rule compares prices, not worth.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.machine import PROVCHAIN, ROOT, provchain
from provchain import inventory, provision
from provchain.conductor.up import run_playbook
from provchain.lab import cgroup, root
from provchain.paths import home, spec_file
from provchain.spec import load

PACKAGES = ("lynis", "openscap-scanner", "ssg-debian")
_HOST = "  - {{name: {}, zone: access, organisation: {}, failure_domain: {}, address: {}, roles: [full]}}"
_MORE = (("a2", "zjfin", "rack-b", "10.77.20.12"), ("a3", "zjdata", "rack-c", "10.77.20.13"))
_SESSION_SECONDS = 12
"""After so long, systemd has ended what it began for a login (UserStopDelaySec=10s, logind.conf(5))."""
_PROFILE = "xccdf_org.ssgproject.content_profile_anssi_np_nt28_high"
_CONTENT = "/usr/share/xml/scap/ssg/content/ssg-debian11-ds.xml"
_OSCAP = f"""\
sed 's/bookworm/bullseye/g; s/"12"/"11"/; s/12 (/11 (/' /etc/os-release >/run/os-release
echo 11.9 >/run/debian_version
exec unshare --mount sh -c 'mount --bind /run/os-release /usr/lib/os-release
mount --bind /run/debian_version /etc/debian_version
oscap xccdf eval --profile {_PROFILE} --results /run/oscap.xml {_CONTENT} >/dev/null 2>&1; [ $? != 1 ]'
"""


@dataclass(frozen=True)
class Host:
    """A host of the lab by its network and name."""

    network: str
    name: str

    def run(self, script: str) -> str:
        """Run a script as root and return what it printed."""
        config = home() / "networks" / self.network / "ssh" / "config"
        command = f"sudo -n /bin/sh -c {shlex.quote(script)}"
        argv = ["ssh", "-F", str(config), "-o", "ControlPath=none", "-o", "BatchMode=yes", self.name, command]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if done.returncode != 0:
            raise RuntimeError(f"{self.name}: {script[:60]}: {done.stdout[-400:]}{done.stderr[-400:]}")
        return done.stdout

    def cpu(self) -> float:
        """Return the seconds of processor that the host has used until now."""
        for mount, unified in cgroup.hierarchies():
            group = mount / "provchain" / self.network / self.name
            if unified and (group / "cpu.stat").is_file():
                found = re.search(r"^usage_usec ([0-9]+)", (group / "cpu.stat").read_text(), re.M)
                if found:
                    return int(found[1]) / 1e6
            if (group / "cpuacct.usage").is_file():
                return int((group / "cpuacct.usage").read_text()) / 1e9
        raise RuntimeError(f"no control group counts the processor of {self.name}")


def compare(network: str, rounds: int) -> dict[str, Any]:
    """Make the hosts, measure, harden them, measure again, and remove them."""
    path = _describe(network)
    try:
        spec = load(path)
        inventory.write(spec, path, provision.up(path))
        hosts = [Host(network, one.name) for one in spec.hosts]
        host = next(Host(network, one.name) for one in spec.hosts if one.name == "a1")
        found: dict[str, Any] = {"hosts": len(hosts), "fleet_stock": fleet(hosts, rounds)}
        found["stock"] = {"provchain": _ours(host, rounds)}
        _install(host)
        found["stock"] |= {"lynis": _lynis(host), "openscap": _openscap(host, rounds)}
        run_playbook(spec, "harden", lambda _: None)
        found["hardened"] = {"lynis": _lynis(host), "provchain": _ours(host, rounds)}
        found["fleet_hardened"] = fleet(hosts, rounds)
        return found
    finally:
        provchain("down", network, "--yes")
        shutil.rmtree(path.parent)


def fleet(hosts: list[Host], rounds: int) -> dict[str, Any]:
    """Audit all hosts by the command, as a person does; the first round finds nobody logged in lately."""
    time.sleep(_SESSION_SECONDS)
    load = round(os.getloadavg()[0], 2)
    with _ahead(hosts[0].network) as ahead:
        rows = [_audit(hosts[0].network, hosts) for _ in range(rounds + 1)]
    again = sorted(rows[1:], key=lambda row: row["wall_s"])
    return {
        "load_1min_before": load,
        "ahead_of_other_work": ahead,
        "first": rows[0],
        "best": again[0],
        "median": again[rounds // 2],
    }


@contextlib.contextmanager
def _ahead(network: str) -> Iterator[bool]:
    """Give this process and the network's hosts the largest share of the processor; version 1 groups only."""
    mounts = [mount for mount, _ in cgroup.hierarchies() if (mount / "cpu.shares").is_file()]
    if not mounts:
        yield False
        return
    top = mounts[0]
    own, groups = top / "provchain" / network / "auditor", [top / "provchain", top / "provchain" / network]
    before = {group: (group / "cpu.shares").read_text() for group in groups}
    own.mkdir()
    try:
        for group in groups:
            (group / "cpu.shares").write_text("262144")
        (own / "cgroup.procs").write_text(str(os.getpid()))
        yield True
    finally:
        (top / "cgroup.procs").write_text(str(os.getpid()))
        for group, shares in before.items():
            (group / "cpu.shares").write_text(shares)
        time.sleep(0.2)  # what ended leaves its group a moment later
        own.rmdir()


def _audit(network: str, hosts: list[Host], *options: str) -> dict[str, Any]:
    """Run the command once: seconds of wall clock, and of processor there and here."""
    argv = [PROVCHAIN, "audit", network, "--json", *options]
    before, used, began = [host.cpu() for host in hosts], _children(), time.monotonic()
    # where compiled modules are not kept, each run would compile them anew: no part of an audit
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        argv, cwd=ROOT, env=kept, capture_output=True, check=False, stdin=subprocess.DEVNULL
    )
    wall = time.monotonic() - began
    there = sum(host.cpu() - was for host, was in zip(hosts, before, strict=True))
    told = json.loads(done.stdout)
    if any(host["unreachable"] for host in told["hosts"]):
        raise RuntimeError("a host was not reached")
    verdicts = Counter(one["verdict"] for one in told["results"])
    return {
        "wall_s": round(wall, 2),
        "hosts_cpu_ms": round(there * 1000),
        "auditor_cpu_ms": round((_children() - used) * 1000),
        "verdicts": dict(sorted(verdicts.items())),
    }


def _ours(host: Host, rounds: int) -> dict[str, Any]:
    rows = [_audit(host.network, [host], "--limit", host.name) for _ in range(rounds)]
    row = sorted(rows, key=lambda one: one["hosts_cpu_ms"])[rounds // 2]
    rules = sum(count for verdict, count in row["verdicts"].items() if verdict != "not_applicable")
    return {**row, "rules": rules, "host_cpu_ms_per_rule": _each(row["hosts_cpu_ms"], rules)}


def _lynis(host: Host) -> dict[str, Any]:
    if host.run("cat /etc/resolv.conf").strip():
        raise RuntimeError("resolv.conf is not empty: Lynis would wait for a resolver that can't be reached")
    cost = _cost(host, 1, lambda: host.run("lynis audit system --cronjob >/dev/null"))
    said = host.run("cat /var/log/lynis-report.dat")
    index, tests = (
        int(re.search(rf"^{name}=([0-9]+)$", said, re.M)[1])  # type: ignore[index] # it always says so
        for name in ("hardening_index", "lynis_tests_done")
    )
    return {
        **cost,
        "hardening_index": index,
        "rules": tests,
        "host_cpu_ms_per_rule": _each(cost["hosts_cpu_ms"], tests),
    }


def _openscap(host: Host, rounds: int) -> dict[str, Any]:
    cost = _cost(host, rounds, lambda: host.run(_OSCAP))
    results = Counter(re.findall(r"<result>([a-z]+)", host.run("cat /run/oscap.xml")))
    rules = sum(count for result, count in results.items() if result not in ("notselected", "notapplicable"))
    return {
        **cost,
        "profile": _PROFILE.rpartition("profile_")[2],
        "results": dict(sorted(results.items())),
        "rules": rules,
        "host_cpu_ms_per_rule": _each(cost["hosts_cpu_ms"], rules),
    }


def _cost(host: Host, rounds: int, work: Callable[[], object]) -> dict[str, Any]:
    walls, costs = [], []
    for _ in range(rounds):
        used, began = host.cpu(), time.monotonic()
        work()
        walls.append(time.monotonic() - began)
        costs.append(host.cpu() - used)
    return {
        "wall_s": round(statistics.median(walls), 2),
        "hosts_cpu_ms": round(statistics.median(costs) * 1000),
    }


def _each(cost: float, count: int) -> float:
    return round(cost / count, 2)


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _describe(network: str) -> Path:
    """Write the lab's description under this name, with eight hosts. What is there is left alone."""
    path = spec_file(network)
    if path.exists() or network == "lab":
        sys.exit(f"{network} is there: name a network of the bench's own")
    lines = spec_file("lab").read_text(encoding="utf-8").splitlines()
    place = next(number for number, line in enumerate(lines) if "{name: a1," in line)
    lines[place + 1 : place + 1] = [_HOST.format(*words) for words in _MORE]
    path.parent.mkdir()
    text = "".join(f"{line}\n" for line in lines).replace("network: lab\n", f"network: {network}\n")
    path.write_text(text, encoding="utf-8")
    return path


def _install(host: Host) -> None:
    """Fetch the scanners and what they need beyond what the host has, and install them there."""
    tree = root.tree(host.network, host.name)
    inside = tree / "var/cache/scanners"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "partial").mkdir()
        options = {"Dir::State::status": tree / "var/lib/dpkg/status", "Dir::Cache::archives": folder}
        words = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
        argv = ["apt-get", *words, "-o", "Debug::NoLocking=1", "-y", "-qq", "--no-install-recommends"]
        subprocess.run(
            [*argv, "--download-only", "install", *PACKAGES], check=True, stdout=subprocess.DEVNULL
        )
        shutil.copytree(folder, inside, ignore=shutil.ignore_patterns("partial", "lock"))
    host.run("DEBIAN_FRONTEND=noninteractive dpkg --install /var/cache/scanners/*.deb >/dev/null 2>&1")
    shutil.rmtree(inside)
