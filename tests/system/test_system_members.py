"""A network that grows and changes while it is used: a host is added, joins by a snapshot, and gets a vote.

It gets a new key too, and another validator pauses. An observer who began at the genesis is led across. An
administrator leaves meanwhile.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from provchain.paths import REPOSITORY, spec_file
from tests.host import certificates, command, steady
from tests.host import engine as engines
from tests.host import network as networks
from tests.host.certificates import Issued
from tests.host.load import Load, entrance_and_reader
from tests.host.outside import Outside
from tests.host.tls import Offer
from tests.host.waiting import until
from tests.system.lifecycle import Lifecycle

NEW, GONE = "v5", "zhang"
_HOST = (
    "  - {name: v5, zone: consensus, organisation: zjdata, failure_domain: rack-e, address: 10.77.10.15, "
    "roles: [validator], join: snapshot}\n"
)
_BEFORE = "  - {name: a1, "


@dataclass(frozen=True)
class Grown:
    """The network with one host more, and who has observed it since before that."""

    network: networks.Network
    outside: Outside
    load: Load
    reader: str

    def votes(self) -> dict[str, str]:
        """Return the validators that the chain lists, with their public keys."""
        listed = command.provchain(self.network, "membership", "list")["validators"]
        return {one["name"]: one["public_key"] for one in listed}

    def change(self, *words: str) -> int:
        """Change the membership, and return the height from which on that counts."""
        told = command.provchain(self.network, "membership", *words, "--in-blocks", "20", "--yes")
        assert told["state"] == "done" and told["submitted"]
        return int(told["effective_height"])


@pytest.fixture(scope="module")
def grown(life: Lifecycle, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Grown]:
    """Run a network under load, and add a host to it by its description and the one command."""
    if not life.is_whole():
        life.up()
    network, engine = networks.load(life.spec), engines.load(life.spec.engine.name)
    folder = tmp_path_factory.mktemp("keys")
    folder.chmod(0o700)
    organisation = life.spec.organisations[0].name
    ca = network.state / "pki" / organisation
    client = certificates.issue(folder, "observer", organisation, Issued(ca / "ca.pem", ca / "ca.key"))
    outside = Outside(network, engine, Offer(certificate=client.certificate, key=client.key))
    entrance, reader = entrance_and_reader(network)
    load = Load(network, engine, entrance, f"members-{time.time_ns()}")
    with load.running():
        outside.look()
        steady.reach(network, network.nodes, 2 * life.spec.consensus.snapshot_interval + 1)
        path = spec_file(life.network)
        text = path.read_text(encoding="utf-8")
        (gone,) = [line for line in text.splitlines(keepends=True) if line.startswith(f"  - {{name: {GONE},")]
        assert text.count(_BEFORE) == 1
        path.write_text(text.replace(_BEFORE, _HOST + _BEFORE).replace(gone, ""), encoding="utf-8")
        life.up()
        wider = networks.load(life.spec)
        outside.network = wider
        yield Grown(wider, outside, load, reader)
    outside.look()
    outside.read_back(reader, load.acknowledged)


def test_a_new_host_joins_by_a_snapshot_and_has_no_vote(grown: Grown) -> None:
    status = grown.network.ask(NEW, "status")
    assert status["oldest_height"] > 1, "it fetched all blocks from the first on"
    assert not status["validator"]
    assert NEW not in grown.votes()


def test_who_left_has_no_account_anywhere_and_the_home_is_roots(grown: Grown) -> None:
    def left(name: str) -> str:
        places = f"/home/{GONE} /etc/ssh/authorized_keys.d/{GONE} /var/backups/provchain/people/{GONE}.*"
        return grown.network.run(name, "sh", "-c", f"getent passwd {GONE}; ls -d {places} 2>/dev/null; true")

    for name, found in grown.network.each(grown.network.names, left).items():
        # the new host never had it
        assert len(found.split()) == (name != NEW), f"{name}: {found}"
        assert all(one.startswith("/var/backups/") for one in found.split()), f"{name}: {found}"


def test_it_gets_a_vote_and_a_new_key_while_another_pauses(grown: Grown, tmp_path: Path) -> None:
    """Four must stay, so the newcomer is added first; three of four organisations are enough to approve."""
    network, outside = grown.network, grown.outside
    resting = network.spec.validators[3]
    others = [one.name for one in network.spec.organisations if one.name != resting.organisation]
    approve = [word for name in others for word in ("--approve", name)]
    point = tmp_path / "point.json"
    point.write_text(json.dumps(outside.look().trust.as_json()), encoding="utf-8")

    refused = command.run(network, "membership", "add", NEW, "--in-blocks", "20", *approve[:4])
    assert refused.returncode == 1
    assert "found 2 of 4 organisations, allowed: 3 and more" in " ".join(refused.stderr.split())
    grown.change("add", NEW, *approve)
    first = grown.votes()
    assert NEW in first

    suspended = grown.change("suspend", resting.name, *approve)
    steady.reach(network, network.nodes, suspended + 2)
    assert resting.name not in outside.look().signed
    grown.change("resume", resting.name)
    _signs(grown, resting.name)

    rekeyed = grown.change("rekey", NEW)
    second = grown.votes()
    assert {name for name in first if first[name] != second.get(name)} == {NEW}
    steady.reach(network, network.nodes, rekeyed + 1)
    _signs(grown, NEW)
    assert outside.look().height > rekeyed
    _verify_by_the_command(grown, point)


def _signs(grown: Grown, name: str) -> None:
    until(
        lambda: grown.outside.look().signed,
        lambda signed: name in signed,
        f"a certificate with the signature of {name}",
        steady.RECOVERY,
    )


def _verify_by_the_command(grown: Grown, point: Path) -> None:
    """From a point before all changes, across five handovers, with the tool that an auditor gets."""
    before = json.loads(point.read_text(encoding="utf-8"))["height"]
    bundle = point.with_name("bundle.json")
    with grown.outside.asking(NEW) as ask:
        bundle.write_text(json.dumps(ask("state", kind="membership", id="", trusted_height=before)), "utf-8")
    argv = [sys.executable, "-m", "provnode", "verify", str(bundle), "--trust", str(point)]
    done = subprocess.run(argv, cwd=REPOSITORY / "node", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads(done.stdout)
    assert told["verified"] and json.loads(bytes.fromhex(told["value"]))["sequence"] == 4
    moved = json.loads(point.read_text(encoding="utf-8"))
    assert moved["height"] > before
    assert NEW in [one["name"] for one in moved["validators"]]
