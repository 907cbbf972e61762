"""Bare stock hosts of a network that was only provisioned, reached as strangers' are: by a fleet's file."""

from __future__ import annotations

import hashlib
import json
import re
import shlex
import stat
import subprocess
import textwrap
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from provchain import inventory, paths, provision
from provchain.baseline import catalog
from provchain.lab import faults, image, keys, names, root
from provchain.paths import spec_file
from tests.system.breaks import PERSON
from tests.system.lifecycle import Lifecycle, run

RESOLVED = catalog.load().profiles["mlps3-chain"]
BY_ITSELF = {rule.id for rule in RESOLVED.rules if rule.check.resource == "clock"} | {"integrity-lately"}
"""What comes right without being mended: chrony believes its time host after a while, and the daily check of
programs runs once its timer is on again."""
_PASSWORD = "Sanjiao-7%xiang-Bohai"
_SECONDS = 300
_MORE = "".join(
    f"  - {{name: v{n}, zone: consensus, organisation: zjdata, failure_domain: rack-e, "
    f"address: 10.77.10.{10 + n}, roles: [validator], join: snapshot}}\n"
    for n in (5, 6)
)
_BEFORE = "  - {name: a1, "
_PASSING = (
    "run", "tmp", "proc", "sys", "dev", "var/log", "var/tmp", "var/cache", "var/lib/systemd", "var/lib/dpkg",
    "var/lib/chrony", "var/lib/logrotate", "var/spool/rsyslog", "var/backups/provchain", "var/lib/provchain",
)  # fmt: skip
"""What changes by itself, and where dpkg and provchain keep their books."""
_COPIES = ("etc/passwd-", "etc/shadow-", "etc/group-", "etc/gshadow-", "etc/.pwd.lock")
"""What useradd(8) and the like leave of the version before."""
_UNORDERED = ("etc/login.defs", "etc/audit/auditd.conf", "etc/default/useradd")
"""Files that are edited in place: a line that is taken back may stand elsewhere."""
_GONE = oct(stat.S_IFCHR)
"""The mode of the mark that an overlay has where a file of the image was removed."""


@dataclass(frozen=True)
class Audited:
    """What one audit by the command said: its exit code, and every result by host and rule."""

    code: int
    results: Mapping[str, Mapping[str, Mapping[str, Any]]]
    unreached: frozenset[str]

    def red(self, host: str) -> set[str]:
        """Return the rules that somebody has to act on: not compliant, not waived, not BY_ITSELF."""
        return {
            rule
            for rule, one in self.results[host].items()
            if one["verdict"] == "noncompliant" and not one["waived"] and rule not in BY_ITSELF
        }

    def verdict(self, host: str, rule: str) -> str:
        """Return the verdict of one rule on a host."""
        return str(self.results[host][rule]["verdict"])


@dataclass(frozen=True)
class Bare:
    """The hosts, and what is done with them."""

    life: Lifecycle
    folder: Path

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return their names."""
        return tuple(host.name for host in self.life.spec.hosts)

    def make(self) -> None:
        """Provision them, give each an account with a password, and write the fleet's file and inventory."""
        self.life.describe()
        path = spec_file(self.life.network)
        text = path.read_text(encoding="utf-8")
        assert text.count(_BEFORE) == 1
        path.write_text(text.replace(_BEFORE, _MORE + _BEFORE), encoding="utf-8")
        outputs = provision.up(path)
        inventory.write(self.life.spec, path, outputs)
        self._list(outputs)
        script = f"useradd -m -s /bin/bash {PERSON} && echo {shlex.quote(f'{PERSON}:{_PASSWORD}')} | chpasswd"
        # a way in that hangs neither on PAM nor on a password
        script += f"; usermod -p '*' {self.life.spec.ssh.user}"
        self.each(lambda host: self.shell(host, script))

    def _list(self, outputs: provision.Outputs) -> None:
        spec = self.life.spec
        bastion = spec.ssh.bastion
        hosts = [
            {
                "name": host.name,
                "address": outputs.hosts[host.name].address,
                "port": outputs.hosts[host.name].port,
                "host_key": outputs.hosts[host.name].host_key,
                "roles": list(host.roles),
                "zone": host.zone,
                "admins": [spec.ssh.user, PERSON, *(one.name for one in spec.administrators)],
                **({} if host.name == bastion else {"jump": bastion}),
            }
            for host in spec.hosts
        ]
        fleet = {
            "fleet": spec.network,
            "user": spec.ssh.user,
            "key": str(keys.private_key(spec.network)),
            "hosts": hosts,
        }
        with (self.folder / "fleet.yml").open("w", encoding="utf-8") as file:
            YAML().dump(fleet, file)

    def each(self, action: Callable[[str], Any], hosts: Iterable[str] = ()) -> dict[str, Any]:
        """Do something for hosts side by side."""
        chosen = tuple(hosts) or self.hosts
        with ThreadPoolExecutor(max_workers=len(chosen)) as pool:
            return dict(zip(chosen, pool.map(action, chosen), strict=True))

    def ssh(self, host: str, command: str, *, fresh: bool = False) -> subprocess.CompletedProcess[str]:
        """Run a command on a host as its operators do; ``fresh``: over a connection of its own."""
        alone = ["-o", "ControlPath=none", "-o", "ConnectTimeout=10"] if fresh else []
        return run(["ssh", *self._options, *alone, host, command], _SECONDS)

    @property
    def _options(self) -> list[str]:
        config = paths.network_dir(self.life.network) / "ssh" / "config"
        return ["-F", str(config), "-o", "BatchMode=yes"]

    def shell(self, host: str, script: str) -> str:
        """Run a script as root on a host and return what it said; AssertionError if it fails."""
        done = self.ssh(host, "sudo -n /bin/sh -euc " + shlex.quote(script))
        assert done.returncode == 0, f"{host}: {done.stdout[-2000:]}{done.stderr[-2000:]}"
        return done.stdout

    def audit(self, *options: str, profile: str = RESOLVED.id) -> Audited:
        """Audit them by the command from the station in their management zone, as a stranger's fleet."""
        station = names.station_namespace(self.life.network)
        argv = [
            *self.life.argv("audit")[:2],
            "--fleet",
            str(self.folder / "fleet.yml"),
            "--profile",
            profile,
        ]
        argv += ["--site", str(spec_file("lab").with_name("baseline.yml")), "--json", *options]
        done = run(["nsenter", f"--net=/run/netns/{station}", *argv], _SECONDS)
        assert done.returncode in (0, 1, 3), done.stderr[-4000:]
        told = json.loads(done.stdout)
        results: dict[str, dict[str, Any]] = {}
        for one in told["results"]:
            results.setdefault(one["host"], {})[one["rule"]] = one
        unreached = frozenset(one["name"] for one in told["hosts"] if one["unreachable"])
        return Audited(done.returncode, results, unreached)

    def play(self, name: str, *options: str, seconds: float = _SECONDS) -> str:
        """Run a playbook on them by hand; AssertionError if it fails."""
        done = self.life.playbook(name, self.life.inventory, *options, seconds=seconds)
        assert done.returncode == 0, f"{name} failed:\n{done.stdout[-6000:]}{done.stderr[-2000:]}"
        return done.stdout

    def with_profile(self, name: str) -> tuple[str, str]:
        """Return the options that have a playbook take another profile than the description names."""
        described = YAML(typ="safe").load(self.life.inventory)["all"]["vars"]["provchain"]
        described["baseline"]["profile"] = name
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps({"provchain": described}), encoding="utf-8")
        return "-e", f"@{path}"

    def reboot(self, host: str) -> None:
        """Reboot a host from within, and wait for its sshd."""
        self.hang_up(host)
        faults.reboot_host(self.life.spec, host)

    def hang_up(self, host: str) -> None:
        """Close the connection to a host that is kept open."""
        run(["ssh", *self._options, "-O", "exit", host], _SECONDS)

    def disk(self, host: str) -> dict[str, tuple[Any, ...]]:
        """Return all on a host's disk that is not its image's, seen from outside: rights, owners, content."""
        top = root.folder(self.life.network, host) / "upper"
        names = (str(path.relative_to(top)) for path in sorted(top.rglob("*")))
        return {
            name: _told(top / name, name)
            for name in names
            if not name.startswith(_PASSING) and name not in _COPIES
        }

    def changed(self, host: str, before: Mapping[str, tuple[Any, ...]]) -> dict[str, tuple[Any, Any]]:
        """Return what differs from a former ``disk``: what was, and what is now."""
        now = self.disk(host)
        told = {name: (self._was(name, before), self._was(name, now)) for name in {*before, *now}}
        return {name: both for name, both in sorted(told.items()) if both[0] != both[1]}

    def _was(self, name: str, disk: Mapping[str, tuple[Any, ...]]) -> tuple[Any, ...] | None:
        """Return what a disk had of this name: the image's, where it had none of its own."""
        if name in disk:
            return None if disk[name][0] == _GONE else disk[name]
        base = image.path() / name
        return _told(base, name) if base.is_symlink() or base.exists() else None

    def forget(self) -> None:
        """Remove what the command remembers of its audits of them."""
        (paths.home() / "audits" / f"{self.life.network}.json").unlink(missing_ok=True)


_RESULT = re.compile(r"^(?:ok|changed): \[([a-z0-9]+)\] => ?\n((?: {4}.*\n)+)", re.M)


def told(log: str) -> dict[str, set[str]]:
    """Return what a playbook that ran with -v did, or in check mode would do: by host, setting by setting."""
    done: dict[str, set[str]] = {}
    for host, text in _RESULT.findall(log):
        result = YAML(typ="safe").load(textwrap.dedent(text))
        actions = done.setdefault(host, set())
        actions |= {f"{name}: {one}" for name, some in result.get("settings", {}).items() for one in some}
        actions |= {f"{name} taken back" for name in result.get("undone", [])}
    return done


def _told(path: Path, name: str) -> tuple[Any, ...]:
    seen = path.lstat()
    if path.is_symlink():
        content = str(path.readlink())
    elif path.is_file():
        raw = path.read_bytes()
        raw = b"\n".join(sorted(raw.split(b"\n"))) if name in _UNORDERED else raw
        content = hashlib.sha256(raw).hexdigest()
    else:
        content = ""
    return oct(seen.st_mode), seen.st_uid, seen.st_gid, content
