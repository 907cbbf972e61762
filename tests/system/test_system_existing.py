"""The backend ``existing``: hosts that somebody else made, here those of a lab that was only provisioned.

The operator's commands run where that somebody's operators sit: at the station in the management zone.
"""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from ruamel.yaml import YAML

from provchain import provision
from provchain.conductor import package
from provchain.lab import keys, names
from provchain.paths import network_dir, spec_file
from tests.system.lifecycle import Lifecycle


@dataclass(frozen=True)
class Taken:
    """Hosts of one network, described as existing ones of another."""

    made: Lifecycle
    taken: Lifecycle

    @property
    def station(self) -> list[str]:
        """Return the words before a command that is to run at the station."""
        return ["nsenter", f"--net=/run/netns/{names.station_namespace(self.made.network)}"]


@pytest.fixture
def existing(life: Lifecycle) -> Iterator[Taken]:
    """Make bare hosts, describe them as existing ones, and remove both in the end."""
    both = Taken(Lifecycle(f"{life.network}b"), Lifecycle(f"{life.network}x"))
    both.made.describe()
    try:
        outputs = provision.up(spec_file(both.made.network))
        _build(both.made)  # at the station nothing can be fetched
        _describe(both, outputs)
        _give_key(both)
        yield both
        both.taken.down(within=both.station)
    finally:
        both.made.down()
        both.made.forget()
        both.taken.forget()


def _build(life: Lifecycle) -> None:
    """Have the engine's package in the cache."""
    engine = life.spec.engine
    log = network_dir(life.network) / "logs" / "package.log"
    package.ensure(engine.name, engine.version, log, lambda _: None)


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


def test_existing_hosts_become_a_proven_network_and_stay_when_it_goes(existing: Taken) -> None:
    births = existing.made.births()
    assert None not in births.values()
    assert "nothing to change" not in existing.taken.up(within=existing.station)
    assert "nothing to change" in existing.taken.up(within=existing.station)
    existing.taken.down(within=existing.station)
    assert existing.taken.traces() == []
    assert existing.made.births() == births, "a host that was there was started again, or is gone"
