"""A fleet's file is refused where it does not fit, and can't add a line to the ssh files made from it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from provchain.audit import fleet, looks
from provchain.audit.connectors import Connected
from provchain.audit.ssh import Reach
from provchain.audit.subjects import everything, family, of_network
from provchain.baseline import catalog
from provchain.baseline.judge import probes
from provchain.baseline.resources import Family, Target
from provchain.document import DocumentError
from provchain.paths import spec_file
from provchain.spec import load

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIE2ucl+n0RXMt84Up/5RjH4dYEWxy0Pay44v17t7TEX1"
GOOD = f"""\
fleet: branch
user: auditor
key: /home/auditor/.ssh/id_ed25519
bastions:
  - {{name: gw, address: gw.example.org, user: jump, host_key: {KEY}}}
hosts:
  - {{name: db1, address: 192.0.2.5, port: 2222, jump: gw, host_key: {KEY}, roles: [validator], zone: inner}}
  - {{name: db2, address: '2001:db8::5', jump: db1, host_key: {KEY}, admins: [ops]}}
  - {{name: base, connector: "@chroot//srv/images/base", zone: build}}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "fleet.yml"
    file.write_text(GOOD, encoding="utf-8")
    return file


def test_a_fleet_is_read(path: Path, tmp_path: Path) -> None:
    found = fleet.load(path)
    reaches = fleet.write(found, tmp_path)
    assert reaches == (
        Reach("db1", tmp_path / "config", "gw"),
        Reach("db2", tmp_path / "config", "db1"),
        Connected("base", "@chroot//srv/images/base"),
    )
    config = (tmp_path / "config").read_text()
    assert "Host db1\n  HostName 192.0.2.5\n  Port 2222\n  User auditor\n" in config
    assert "Host gw\n  HostName gw.example.org\n  Port 22\n  User jump\n" in config
    assert "StrictHostKeyChecking yes" in config
    assert "base" not in config
    known = (tmp_path / "known_hosts").read_text().splitlines()
    assert known == [f"{name} {KEY}" for name in ("gw", "db1", "db2")]
    first, second, third = fleet.subjects(found)
    assert (third.zone, third.connector, first.connector) == ("build", "@chroot//srv/images/base", None)
    assert (first.zone, first.target.roles) == ("inner", frozenset({"validator"}))
    assert second.target.admins == ("ops", "auditor"), "the auditor is nobody's stranger"
    assert first.target.admins == (), "nobody said who logs in"
    assert first.target.listeners is None, "nobody described what may listen"


def test_what_stands_for_all_hosts_is_written_once(path: Path, tmp_path: Path) -> None:
    """The bastion is audited as well, and is not reached through itself."""
    hosts = [
        f"  - {{name: {name}, address: 192.0.2.{n}, host_key: {KEY}{more}}}\n"
        for n, (name, more) in enumerate(
            [("gw", ""), ("db1", ""), ("db2", ", jump: db1, user: look, admins: [li]")], start=5
        )
    ]
    path.write_text("fleet: f\nuser: auditor\njump: gw\nadmins: [zhang]\nhosts:\n" + "".join(hosts))
    found = fleet.load(path)
    ways = [one.bastion for one in fleet.write(found, tmp_path) if isinstance(one, Reach)]
    assert ways == ["", "gw", "db1"]
    admins = [one.target.admins for one in fleet.subjects(found)]
    assert admins == [("zhang", "auditor"), ("zhang", "auditor"), ("li", "look")]
    path.write_text(path.read_text().replace("jump: gw", "jump: gww"))
    with pytest.raises(DocumentError) as refused:
        fleet.load(path)
    assert [line.partition(": jump: ")[2] != "" for line in refused.value.lines()[1:]] == [True]


@pytest.mark.parametrize(
    ("old", "new", "where", "allowed"),
    [
        ("name: db1", "name: gw", "hosts[0].name", "a name of its own"),
        ("jump: gw", "jump: gww", "hosts[0].jump", "no circle"),
        ("jump: gw", "jump: db2", "hosts[0].jump", "no circle"),
        ("jump: gw", "jump: db1", "hosts[0].jump", "no circle"),
        (f"host_key: {KEY}, roles", "roles", "hosts[0].host_key", "required"),
        (f"{KEY}, roles", "ssh-dss AAAA, roles", "hosts[0].host_key", "ssh-keyscan"),
        ("192.0.2.5", '"-oProxyCommand=x"', "hosts[0].address", "an IP address"),
        ("192.0.2.5", '"192.0.2.5\\n  ProxyCommand x"', "hosts[0].address", "an IP address"),
        ("user: auditor", 'user: "a b"', "user", "an account"),
        ("user: jump", "user: -jump", "bastions[0].user", "an account"),
        ("key: /home", 'key: "/home x', "key", "private key"),
        ("port: 2222", "port: 0", "hosts[0].port", "at least 1"),
        ("[validator]", "[boss]", "hosts[0].roles[0]", "validator"),
        ("zone: inner", "zones: inner", "hosts[0].zones", "one of name"),
        ("fleet: branch", "fleet: ../x", "fleet", "a name"),
        ("address: 192.0.2.5, ", "", "hosts[0].address", "required, or a connector"),
        ("name: db1", 'name: db1, connector: "@local"', "hosts[0].address", "no such key beside @local"),
        ("name: db1", 'name: db1, connector: "@local"', "hosts[0].host_key", "no such key beside @local"),
        ("zone: build", "port: 22", "hosts[2].port", "no such key beside @chroot//srv/images/base"),
        ("zone: build", "user: root", "hosts[2].user", "no such key beside @chroot//srv/images/base"),
        ("zone: build", "jump: gw", "hosts[2].jump", "no such key beside @chroot//srv/images/base"),
        ("jump: gw", "jump: base", "hosts[0].jump", "that ssh reaches"),
        ("name: base", "name: db1", "hosts[2].name", "a name of its own"),
        ("user: auditor\n", "", "user", "required where ssh leads"),
        *(
            ("@chroot//srv/images/base", connector, "hosts[2].connector", "@local, @chroot/")
            for connector in (
                "@vagrant/base",
                "@ssh/db1",
                "@dockerssh/db1:web",
                "@terraform/x",
                "local",
                "@local/x",
                "@docker/debian:12",
                "@docker/registry/image",
                "@docker/-it",
                "@docker/",
                "@podman/a b",
                "@podman/$(id)",
                "@chroot/",
                "@chroot//",
                "@chroot/-x",
            )
        ),
    ],
)
def test_refusal(path: Path, old: str, new: str, where: str, allowed: str) -> None:
    assert old in GOOD
    text = GOOD.replace(old, new, 1)
    path.write_text(
        text.replace("id_ed25519", 'id_ed25519"', 1) if '"/home' in new else text, encoding="utf-8"
    )
    with pytest.raises(DocumentError) as refused:
        fleet.load(path)
    lines = [line for line in refused.value.lines()[1:] if f": {where}: " in line]
    assert lines, refused.value.lines()
    assert any(allowed in line.partition("; allowed: ")[2] for line in lines), lines


def test_where_no_ssh_leads_no_account_is_needed(path: Path, tmp_path: Path) -> None:
    path.write_text('fleet: here\nhosts:\n  - {name: me, connector: "@local"}\n', encoding="utf-8")
    assert fleet.write(fleet.load(path), tmp_path) == (Connected("me", "@local"),)


@pytest.mark.parametrize("connector", ["@local", "@docker/Web_1", f"@chroot//srv/{'x' * 190}"])
def test_a_connector_alone_is_a_fleet_of_one(connector: str, path: Path) -> None:
    found = fleet.at(connector)
    host = found.hosts[0]
    assert host.connector == connector
    path.write_text(f'fleet: {found.fleet}\nhosts: [{{name: {host.name}, connector: "{connector}"}}]\n')
    assert fleet.load(path) == found, "it could stand in a file"


@pytest.mark.parametrize(
    ("release", "found"),
    [
        ('ID=debian\nVERSION_ID="12"', "debian"),
        ("ID=ubuntu\nID_LIKE=debian", "debian"),
        ('ID="kylin"\nVERSION_ID="V10"', "rpm"),
        ('ID=kylin\nID_LIKE="debian ubuntu"', "debian"),
        ('ID="openEuler"', "rpm"),
        ('ID="anolis"\nID_LIKE="rhel fedora centos"', "rpm"),
        ('NAME="x"\nMYID=debian', None),
        ("ID=" + "a" * 5_000, None),
        ("", None),
    ],
)
def test_families(release: str, found: str | None) -> None:
    assert family(release) == found


@pytest.mark.parametrize("profile", catalog.load().profiles)
def test_one_sudo_list_serves_every_host(profile: str) -> None:
    """What needs root depends on the profile alone: neither on a host's roles nor on who logs in there."""
    resolved = catalog.load().profiles[profile]
    network = of_network(load(spec_file("lab")))
    plans = [
        looks.plan(everything(resolved, targets))
        for targets in ([one.target for one in network], [Target("any", None, False)])
    ]
    assert plans[0] != plans[1], "the engine's unit is asked of, where one runs"
    first, second = ([look for look in plan if look.root] for plan in plans)
    assert first == second != []


@pytest.mark.parametrize("profile", catalog.load().profiles)
def test_whatever_a_rule_needs_is_asked(profile: str) -> None:
    """Of each host of a network, whatever system it turns out to run: there is no second round trip."""
    resolved = catalog.load().profiles[profile]
    targets = [one.target for one in of_network(load(spec_file("lab")))]
    asked = set(everything(resolved, targets))
    kinds: list[tuple[Family | None, bool]] = [
        (kind, container) for kind in ("debian", "rpm", None) for container in (True, False)
    ]
    for target in targets:
        for kind, container in kinds:
            needed = probes(resolved, replace(target, family=kind, container=container))
            assert len(needed) > 50
            assert set(needed) <= asked
