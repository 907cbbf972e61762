"""The generated inventory and SSH files, from the lab's description."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from provchain import inventory, paths, spec
from provchain.paths import network_dir, spec_file
from provchain.provision import HostAccess, Outputs

CHAIN = spec.load(spec_file("lab"))
OUTPUTS = Outputs(
    {
        host.name: HostAccess(str(host.address), 22, "ops", f"ssh-ed25519 KEY{host.name}")
        for host in CHAIN.hosts
    },
    spec.digest(CHAIN),
)


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write the lab's inventory into a folder of the test's own."""
    monkeypatch.setenv("PROVCHAIN_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(paths, "runtime_dir", lambda network: Path("/run/provchain") / network)
    path = tmp_path / "chain.yml"
    path.write_bytes(spec_file("lab").read_bytes())
    return inventory.write(CHAIN, path, OUTPUTS)


def test_the_whole_description_and_its_digest_travel(written: Path) -> None:
    variables = YAML(typ="safe").load(written)["all"]["vars"]
    assert variables["provchain_digest"] == spec.digest(CHAIN)
    assert variables["provchain"] == CHAIN.model_dump(mode="json")
    assert Path(variables["provchain_spec_file"]) == written.with_name("chain.yml").resolve()
    assert variables["provchain_state"] == str(network_dir("lab"))


def test_every_host_is_in_its_groups(written: Path) -> None:
    groups = {
        name: set(group["hosts"]) for name, group in YAML(typ="safe").load(written)["all"]["children"].items()
    }
    assert groups["validators"] == {host.name for host in CHAIN.validators}
    assert groups["nodes"] == {host.name for host in CHAIN.nodes}
    assert groups["signers"] == {host.name for host in CHAIN.hosts if "signer" in host.roles}
    assert groups["clients"] == {host.name for host in CHAIN.hosts} - groups["nodes"]
    for zone in CHAIN.zones:
        assert groups[f"zone_{zone.name}"] == {host.name for host in CHAIN.hosts if host.zone == zone.name}


def test_a_host_knows_what_it_offers_who_comes_and_where_it_goes(written: Path) -> None:
    hosts = YAML(typ="safe").load(written)["all"]["hosts"]
    for host in CHAIN.hosts:
        found = hosts[host.name]
        assert found["ansible_host"] == host.name
        assert found["provchain_host"]["address"] == str(host.address)
        assert [one["service"] for one in found["provchain_listeners"]] == [
            one.service for one in spec.listeners(CHAIN, host)
        ]
        came = {(p["source"], p["protocol"], p["port"], p["service"]) for p in found["provchain_inbound"]}
        assert came == {(str(p.source), p.protocol, p.port, p.service) for p in spec.inbound(CHAIN, host)}
        assert len(came) == len(found["provchain_inbound"])
        goes = {(p["address"], p["protocol"], p["port"], p["service"]) for p in found["provchain_outbound"]}
        assert goes == {(str(p.address), p.protocol, p.port, p.service) for p in spec.outbound(CHAIN, host)}


def test_ssh_verifies_keys_and_goes_by_the_bastion(written: Path) -> None:
    folder = network_dir("lab") / "ssh"
    config = (folder / "config").read_text(encoding="utf-8")
    blocks = {block.splitlines()[0]: block for block in config.split("\n\n")}
    assert "StrictHostKeyChecking yes" in config
    assert config.count(f"ProxyJump {CHAIN.ssh.bastion}") == len(CHAIN.hosts) - 1
    assert config.count("ProxyCommand nsenter --net=/run/netns/pc-lab-op nc %h %p") == 1
    assert "ProxyJump" not in blocks[f"Host {CHAIN.ssh.bastion}"]
    known = (folder / "known_hosts").read_text(encoding="utf-8").splitlines()
    assert known == sorted(f"{host.name} ssh-ed25519 KEY{host.name}" for host in CHAIN.hosts)


def test_files_of_the_operator_are_private(written: Path) -> None:
    folder = network_dir("lab") / "ssh"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("config", "known_hosts", "id_ed25519"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    assert "PRIVATE" not in written.read_text(encoding="utf-8")


def test_writing_the_same_again_touches_nothing(written: Path) -> None:
    files = [written, *(network_dir("lab") / "ssh").iterdir()]
    before = {path: path.stat().st_ino for path in files}
    inventory.write(CHAIN, written.with_name("chain.yml"), OUTPUTS)
    assert {path: path.stat().st_ino for path in files} == before


def test_a_host_with_another_first_login_is_entered_by_that(tmp_path: Path) -> None:
    other = Outputs({**OUTPUTS.hosts, "v1": HostAccess("10.77.10.11", 22, "admin", "k")}, OUTPUTS.digest)
    hosts = inventory.inventory(CHAIN, tmp_path / "chain.yml", other, tmp_path)["all"]["hosts"]
    assert hosts["v1"]["ansible_user"] == "admin"
    assert "ansible_user" not in hosts["v2"]


def test_existing_hosts_are_reached_without_the_labs_namespaces(tmp_path: Path) -> None:
    existing = CHAIN.model_copy(update={"backend": "existing"})
    config = inventory.ssh_config(existing, OUTPUTS, tmp_path, tmp_path)
    assert "nsenter" not in config
    assert f"ProxyJump {CHAIN.ssh.bastion}" in config
