"""The backend ``existing``: hosts that somebody else made, here those of a lab that was only provisioned.

The operator's commands run where that somebody's operators sit: at the station in the management zone.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from provchain import inventory, provision
from provchain.conductor import package
from provchain.lab import keys, names, root
from provchain.paths import home, network_dir, spec_file
from tests.system.lifecycle import Lifecycle, recap


@dataclass(frozen=True)
class Taken:
    """Hosts of one network, described as existing ones of another."""

    made: Lifecycle
    taken: Lifecycle
    package: Path = Path()

    @property
    def station(self) -> list[str]:
        """Return the words before a command that is to run at the station."""
        return ["nsenter", f"--net=/run/netns/{names.station_namespace(self.made.network)}"]


@pytest.fixture(scope="module")
def existing(life: Lifecycle) -> Iterator[Taken]:
    """Make bare hosts, describe them as existing ones, and remove both in the end."""
    both = Taken(Lifecycle(f"{life.network}b"), Lifecycle(f"{life.network}x"))
    both.made.describe()
    try:
        outputs = provision.up(spec_file(both.made.network))
        package_folder = _build(both.made)  # at the station nothing can be fetched
        _describe(both, outputs)
        _give_key(both)
        yield replace(both, package=package_folder)
        both.taken.down(within=both.station)
    finally:
        both.made.down()
        both.made.forget()
        both.taken.forget()


def _build(life: Lifecycle) -> Path:
    """Have the engine's package in the cache, and return its folder."""
    engine = life.spec.engine
    log = network_dir(life.network) / "logs" / "package.log"
    return package.ensure(engine.name, engine.version, log, lambda _: None)[0]


def _describe(both: Taken, outputs: provision.Outputs) -> None:
    yaml = YAML()
    described = yaml.load(spec_file(both.made.network))
    described["network"], described["backend"] = both.taken.network, "existing"
    for host in described["hosts"]:
        access = outputs.hosts[host["name"]]
        host["ssh"] = {
            "address": access.address,
            "port": access.port,
            "user": access.user,
            "host_key": access.host_key,
        }
    stream = io.StringIO()
    yaml.dump(described, stream)
    path = spec_file(both.taken.network)
    path.parent.mkdir(exist_ok=True)
    path.write_text(stream.getvalue(), encoding="utf-8")


def _give_key(both: Taken) -> None:
    """Give the new network the key that the hosts know: whoever made them has let it in."""
    source, target = (keys.folder(life.network) for life in (both.made, both.taken))
    for name in ("id_ed25519", "id_ed25519.pub"):
        shutil.copy2(source / name, target / name)


def _dry_run(existing: Taken) -> dict[str, int]:
    """Return how many changes ``site.yml --check --diff`` foresees on each host, by hand at the station."""
    variables = {
        "provchain_package": existing.package,
        "provchain_release_key": home() / "release" / "public.pem",
    }
    options = [word for name, value in variables.items() for word in ("-e", f"{name}={value}")]
    life = existing.taken
    done = life.playbook("site", life.inventory, "--check", "--diff", *options, within=existing.station)
    assert done.returncode == 0, f"a dry run failed:\n{done.stdout[-4000:]}"
    return {host: counts["changed"] for host, counts in recap(done.stdout).items()}


def _disks(life: Lifecycle) -> dict[str, tuple[int, int, int]]:
    """Return what is on the hosts' disks, seen from outside: size, mode and time of each file of theirs.

    But for what a host that does nothing but let one log in writes as well.
    """
    found = {}
    for host in life.spec.hosts:
        top = root.folder(life.network, host.name) / "upper"
        for path in top.rglob("*"):
            name = str(path.relative_to(top))
            if not path.is_dir() and not name.startswith(
                ("run/", "tmp/", "var/log/", "var/tmp/", "var/lib/systemd/")
            ):
                seen = path.lstat()
                found[f"{host.name}/{name}"] = (seen.st_size, seen.st_mode, seen.st_mtime_ns)
    return found


def test_a_dry_run_on_bare_hosts_foresees_changes_and_makes_none(existing: Taken) -> None:
    """What it says is what a real run does: the next test's, after which there is nothing to change."""
    taken = existing.taken
    inventory.write(taken.spec, spec_file(taken.network), provision.up(spec_file(taken.network)))
    before = _disks(existing.made)
    foreseen = _dry_run(existing)
    assert set(foreseen) == {host.name for host in taken.spec.hosts}
    assert min(foreseen.values()) > 3, foreseen
    assert _disks(existing.made) == before


def test_existing_hosts_become_a_proven_network_and_stay_when_it_goes(existing: Taken) -> None:
    births = existing.made.births()
    assert None not in births.values()
    assert "nothing to change" not in existing.taken.up(within=existing.station)
    assert "nothing to change" in existing.taken.up(within=existing.station)
    existing.taken.down(within=existing.station)
    assert existing.taken.traces() == []
    assert existing.made.births() == births, "a host that was there was started again, or is gone"
