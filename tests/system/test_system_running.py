"""A network that runs: the same command changes nothing, sees what was broken by hand, and repairs it."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

from provchain.lab import faults, names
from provchain.lab.shell import run
from provchain.paths import REPOSITORY, network_dir, spec_file
from provchain.spec import digest
from tests.host import engine as engines
from tests.host import network as networks
from tests.system.lifecycle import Lifecycle, recap


def test_a_second_up_changes_nothing(running: Lifecycle) -> None:
    running.up()  # settles what an earlier test has left
    births, inventory = running.births(), running.inventory.stat().st_mtime_ns
    said = running.up()
    assert "nothing to change" in said
    assert running.births() == births, "a host was started again"
    assert running.inventory.stat().st_mtime_ns == inventory
    log = (network_dir(running.network) / "logs" / "site.log").read_text(encoding="utf-8")
    counted = recap(log)
    assert set(counted) == set(births)
    assert {host: counts["changed"] for host, counts in counted.items()} == dict.fromkeys(births, 0)


def test_a_plan_of_a_running_network_has_nothing_to_do(running: Lifecycle) -> None:
    """Both halves: a preview of the network, and ``--check --diff`` of everything on its hosts."""
    found = running.plan()
    assert set(found["provision"]) == {"same"}, found
    assert found["install"] == "nothing to change"


def test_a_killed_host_and_a_removed_rule_are_seen_and_repaired(running: Lifecycle) -> None:
    spec = running.spec
    victim = spec.validators[-1].name
    assert running.drift() == []
    faults.kill_host(spec.network, victim)
    rule = _remove_a_rule(spec.network)
    seen = running.drift()
    assert any(victim in line and "not running" in line for line in seen), seen
    assert any("router" in line for line in seen), seen
    running.up()
    assert running.births()[victim] is not None
    assert rule in _rules(spec.network), "the rule is still missing"
    assert running.drift() == []


def test_a_restart_goes_from_node_to_node(running: Lifecycle) -> None:
    """Every node is due for a restart at once; still no two are away at the same time."""
    spec = running.spec
    network, unit = networks.load(spec), engines.load(spec.engine.name).unit
    for name in network.nodes:
        network.run(name, "touch", "/etc/systemd/system/" + unit)

    def started(name: str) -> float:
        shown = network.run(
            name, "systemctl", "show", "--value", "--property=ActiveEnterTimestampMonotonic", unit
        )
        return int(shown) / 1e6

    before = network.each(network.nodes, started)
    running.up()
    after = network.each(network.nodes, started)
    assert all(after[name] > before[name] for name in network.nodes), (before, after)
    # whoever was restarted was waited for until it had taken a block, which it could not do at once
    times = sorted(after.values())
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert min(gaps) > spec.consensus.block_interval_ms / 1000 / 2, gaps


def _rules(network: str) -> list[str]:
    listing = run(
        "ip", "netns", "exec", names.lab_namespace(network), "nft", "--stateless", "list", "ruleset"
    )
    return [line.strip() for line in listing.splitlines()]


def _remove_a_rule(network: str) -> str:
    """Remove the first permit that the router has, as a careless hand would; return it."""
    enter = ["ip", "netns", "exec", names.lab_namespace(network), "nft"]
    found = json.loads(run(*enter, "--json", "list", "ruleset"))["nftables"]
    permit = next(e["rule"] for e in found if "rule" in e and " > " in e["rule"].get("comment", ""))
    before = _rules(network)
    place = [permit["family"], permit["table"], permit["chain"], "handle", str(permit["handle"])]
    run(*enter, "delete", "rule", *place)
    (gone,) = set(before) - set(_rules(network))
    return gone


def test_playbooks_refuse_a_tampered_digest(running: Lifecycle, tmp_path: Path) -> None:
    right = digest(running.spec)
    wrong = right[:-1] + ("0" if right[-1] != "0" else "1")
    tampered = tmp_path / "hosts.yml"
    tampered.write_text(running.inventory.read_text("utf-8").replace(right, wrong), encoding="utf-8")
    for path in sorted((REPOSITORY / "playbooks").glob("*.yml")):
        playbook = path.stem
        done = running.playbook(playbook, tampered)
        assert done.returncode != 0, f"{playbook} accepted another digest"
        assert "digest" in done.stdout + done.stderr, f"{playbook} refused without its reason:\n{done.stdout}"
        assert all(counts["changed"] == 0 for counts in recap(done.stdout).values()), playbook


def test_playbooks_refuse_an_edited_description(running: Lifecycle, tmp_path: Path) -> None:
    """The inventory is right, but chain.yml was edited after it was generated."""
    path = spec_file(running.network)
    edited = tmp_path / "chain.yml"
    text = path.read_text(encoding="utf-8")
    edited.write_text(text.replace("block_interval_ms: 1000", "block_interval_ms: 900"), encoding="utf-8")
    assert edited.read_text(encoding="utf-8") != text
    inventory = tmp_path / "hosts.yml"
    inventory.write_text(
        running.inventory.read_text("utf-8").replace(str(path.resolve()), str(edited)), encoding="utf-8"
    )
    done = running.playbook("verify", inventory)
    assert done.returncode != 0
    assert "digest" in done.stdout + done.stderr
