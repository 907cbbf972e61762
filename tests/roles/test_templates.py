"""What the roles render for every host of the lab: rules from the flow matrix, files their readers accept."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import jinja2
import jinja2.nativetypes
import pytest
import yaml
from provnode.ops.config import load_config

from provchain.baseline import catalog, fixes
from provchain.baseline.resources import Target
from provchain.baseline.resources.sshd import Sshd
from provchain.paths import REPOSITORY, spec_file
from provchain.spec import Host, inbound, listeners, load, outbound

SPEC = load(spec_file("lab"))
HOSTS = {host.name: host for host in SPEC.hosts}
ROLES = REPOSITORY / "roles"


def variables(host: Host) -> dict[str, Any]:
    """Return what the inventory and the roles give a template."""
    came = {(str(p.source), p.protocol, p.port, p.service): None for p in inbound(SPEC, host)}
    goes = {(str(p.address), p.protocol, p.port, p.service): None for p in outbound(SPEC, host)}
    return {
        "inventory_hostname": host.name,
        "ansible_user": SPEC.ssh.user,
        "provchain": SPEC.model_dump(mode="json"),
        "provchain_host": host.model_dump(mode="json"),
        "provchain_listeners": [
            {"service": one.service, "protocol": one.protocol, "port": one.port}
            for one in listeners(SPEC, host)
        ],
        "provchain_inbound": [
            dict(zip(("source", "protocol", "port", "service"), p, strict=True)) for p in came
        ],
        "provchain_outbound": [
            dict(zip(("address", "protocol", "port", "service"), p, strict=True)) for p in goes
        ],
        "provchain_facts": {"container": True},
        "provnode_validator": "validator" in host.roles,
        "provnode_client": not host.is_node,
        "provnode_signer": "signer" in host.roles,
        "provnode_consensus_key": "/keys/consensus.key",
        "provnode_rekeyed": False,
        "provnode_under_way": False,
        "provnode_next_key": "/keys/next.key",
        "provnode_data": "/data",
        "provnode_client_key": "/client/client.key",
        "provnode_client_folder": "/client",
        **engine_shared(),
        "provnode_user": "provnode",
    }


def engine_shared() -> dict[str, Any]:
    """Return what engine.yml shares with every role, its references to itself filled in as Ansible does."""
    found: Any = yaml.safe_load((ROLES / "provnode" / "engine.yml").read_text(encoding="utf-8"))
    environment = jinja2.nativetypes.NativeEnvironment(undefined=jinja2.StrictUndefined)

    def filled(value: Any) -> Any:  # noqa: ANN401 - whatever YAML holds
        if isinstance(value, list):
            return [filled(item) for item in value]
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        return environment.from_string(value).render(found) if "{{" in value else value

    while "{{" in str(found):
        found = filled(found)
    return dict(found)


def render(role: str, template: str, host: Host, **changed: object) -> str:
    """Render as Ansible does; a variable that is not there is an error."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(ROLES / role / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 - these are no web pages
    )
    environment.filters |= {"split": str.split, "to_json": json.dumps}
    return environment.get_template(f"{template}.j2").render(variables(host) | changed)


@pytest.fixture(params=sorted(HOSTS))
def host(request: pytest.FixtureRequest) -> Host:
    return HOSTS[str(request.param)]


def accepted(rules: str, chain: str) -> Counter[str]:
    """Return the rules of a chain that let something new of a service pass."""
    (body,) = re.findall(rf"chain {chain} \{{(.*?)\n  \}}", rules, re.DOTALL)
    return Counter(line.strip() for line in body.splitlines() if "dport" in line)


def test_a_host_lets_in_and_out_just_what_the_matrix_says(host: Host) -> None:
    rules = render("host_firewall", "nftables.conf", host)
    assert accepted(rules, "input") == Counter(
        {
            f'ip saddr {p.source} {p.protocol} dport {p.port} accept comment "{p.service}"': 1
            for p in inbound(SPEC, host)
        }
    )
    assert accepted(rules, "output") == Counter(
        {
            f'ip daddr {p.address} {p.protocol} dport {p.port} accept comment "{p.service}"': 1
            for p in outbound(SPEC, host)
        }
    )
    assert rules.count("policy drop") == 3
    assert "policy accept" not in rules


def test_the_kernel_takes_the_rules(host: Host, tmp_path: Path) -> None:
    file = tmp_path / "nftables.conf"
    file.write_text(render("host_firewall", "nftables.conf", host), encoding="utf-8")
    command = ["unshare", "--net", "nft", "-f", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_every_host_lets_its_administrators_in(host: Host) -> None:
    """Rules that forgot ssh would cut the host off; the trial would catch it, this says so earlier."""
    ssh = next(one for one in listeners(SPEC, host) if one.service == "ssh")
    rules = accepted(render("host_firewall", "nftables.conf", host), "input")
    assert any(f"tcp dport {ssh.port} " in rule for rule in rules)


def sshd(host: Host) -> dict[str, str]:
    """Return the options of both files as the server reads them: by name, the first counts."""
    target = Target(host.name, "debian", True, frozenset(host.roles))
    planned = fixes.plan(catalog.load().profiles[SPEC.baseline.profile], target)
    baseline = next(one for one in planned if one.parameters.get("path") == fixes.SSHD)
    lines = [
        *str(baseline.parameters["content"]).splitlines(),
        *render("os_base", "sshd.conf", host).splitlines(),
    ]
    options: dict[str, str] = {}
    for line in lines:
        if line and not line.startswith("#"):
            options.setdefault(line.split(" ", 1)[0].lower(), line.split(" ", 1)[1])
    return options


def test_ssh_lets_nobody_in_but_the_operators_by_key(host: Host) -> None:
    options = sshd(host)
    assert options["permitrootlogin"] == options["passwordauthentication"] == "no"
    assert options["authenticationmethods"] == "publickey"
    people = [one.name for one in SPEC.administrators]
    assert people
    assert options["allowusers"].split() == [SPEC.ssh.user, *people]
    assert options["listenaddress"] == str(host.address)


def test_only_the_bastion_forwards(host: Host) -> None:
    assert sshd(host)["allowtcpforwarding"] == ("local" if host.name == SPEC.ssh.bastion else "no")


def test_no_option_stands_in_both_files(host: Host) -> None:
    """What the baseline says must not depend on which file is read first."""
    mine = [line.split(" ", 1)[0].lower() for line in render("os_base", "sshd.conf", host).splitlines()]
    ruled = {rule.check.option for rule in catalog.load().rules.values() if isinstance(rule.check, Sshd)}
    by_hand = {
        rule.check.option
        for rule in catalog.load().rules.values()
        if isinstance(rule.check, Sshd) and rule.fix == "person"
    }
    assert set(mine) & (ruled - by_hand) == set()


def test_time_comes_from_the_time_hosts_alone(host: Host) -> None:
    text = render("os_base", "chrony.conf", host)
    servers = [line.split()[1] for line in text.splitlines() if line.startswith(("server", "pool"))]
    serves = "time" in host.roles
    assert servers == ([] if serves else [str(h.address) for h in SPEC.hosts if "time" in h.roles])
    assert ("allow" in text) == serves
    assert ("port 0" in text.splitlines()) == (not serves)


def test_the_node_accepts_its_configuration(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(render("provnode", "config.toml", host), encoding="utf-8")
    config = load_config(path)
    assert (config.name, config.organisation) == (host.name, host.organisation)
    assert {peer.name for peer in config.peers} == {one.name for one in SPEC.nodes} - {host.name}
    assert bool(config.consensus_key) == ("validator" in host.roles)
    signs = "signer" in host.roles
    assert config.snapshot_interval == (SPEC.consensus.snapshot_interval if config.consensus_key else 0)
    assert config.sync == host.join == "blocks"
    assert config.client_id == (f"{host.name}@{host.organisation}" if signs else "")
    assert bool(config.client_key) == signs
    assert (config.listen is not None) == host.is_node
    pruned = host.model_copy(update={"keep_blocks": 30000})
    path.write_text(render("provnode", "config.toml", pruned), encoding="utf-8")
    assert (config.keep_blocks, load_config(path).keep_blocks) == (0, 30000 * host.is_node)
    assert config.kek_credential == engine_shared()["provnode_kek"]
    permitted = {str(p.address) for p in outbound(SPEC, host) if p.service == "p2p"}
    assert all(peer.address in permitted for peer in config.peers if peer.dial)


@pytest.mark.parametrize("rekeyed", [False, True])
@pytest.mark.parametrize("under_way", [False, True])
def test_a_key_that_the_genesis_does_not_list_is_one_that_the_chain_lists_later(
    rekeyed: bool, under_way: bool, tmp_path: Path
) -> None:
    """Where none is to come, so that a node that has to begin at the genesis starts with it too."""
    changed = {"provnode_rekeyed": rekeyed, "provnode_under_way": under_way}
    path = tmp_path / "config.toml"
    path.write_text(render("provnode", "config.toml", HOSTS["v1"], **changed), encoding="utf-8")
    config = load_config(path)
    later = "/keys/next.key" if under_way else "/keys/consensus.key" if rekeyed else ""
    assert config.next_consensus_key == later
    assert config.consensus_key == ("" if rekeyed and not under_way else "/keys/consensus.key")


def test_the_suite_is_told_how_to_ask_the_engine(host: Host) -> None:
    engine = json.loads(render("provnode", "engine.json", host))
    assert engine["version"] == SPEC.engine.version
    assert (engine["unit"] is None) == (not host.is_node)
    assert {"submit", "read", "members"} <= set(engine["verbs"])
    assert ({"status", "block"} <= set(engine["verbs"])) == host.is_node


def test_what_needs_a_key_gets_the_key_encryption_key_from_systemd_alone(host: Host) -> None:
    shared = engine_shared()
    loads = f"LoadCredentialEncrypted={shared['provnode_kek']}:{shared['provnode_kek_file']}"
    assert loads in render("provnode", "provnode.service", host).splitlines()
    verbs = json.loads(render("provnode", "engine.json", host))["verbs"]
    makes = shared["engine_key_commands"]
    for argv in (verbs["submit"], verbs["read"], makes["make"], makes["request"]):
        assert argv[0] == "/usr/bin/systemd-run"
        own = argv[: argv.index(shared["provnode_command"])]
        assert {"--pipe", "--wait", "--property=User=provnode", f"--property={loads}"} <= set(own)
    for argv in (makes["make"], makes["request"]):
        at = argv.index("--kek")
        assert argv[at + 1] == shared["provnode_kek"]
        assert argv[argv.index("--key" if "csr" in argv else "--out") + 1] == "{key}"
