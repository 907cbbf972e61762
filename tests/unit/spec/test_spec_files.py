"""The committed descriptions are accepted, and the exported schema is the model's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
from ruamel.yaml import YAML

from provchain.paths import REPOSITORY
from provchain.spec import json_schema, load, permits

INVENTORIES = REPOSITORY / "inventories"
SCHEMA = INVENTORIES / "chain.schema.json"
COMMITTED = ["lab", "example-existing"]


def _plain(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return data


@pytest.mark.parametrize("name", COMMITTED)
def test_a_committed_description_is_accepted(name: str) -> None:
    load(INVENTORIES / name / "chain.yml")


@pytest.mark.parametrize("name", COMMITTED)
def test_editors_accept_it_too(name: str) -> None:
    path = INVENTORIES / name / "chain.yml"
    assert path.read_text(encoding="utf-8").startswith(
        "# yaml-language-server: $schema=../chain.schema.json\n"
    )
    validator = jsonschema_rs.Draft202012Validator(json_schema(), validate_formats=True)
    assert [str(error) for error in validator.iter_errors(_plain(path))] == []


@pytest.mark.parametrize(
    ("key", "value"), [("network", "Lab!"), ("chain_id", "mars"), ("colour", "red"), ("title", "a\u202eb")]
)
def test_editors_refuse_what_the_model_refuses(key: str, value: str) -> None:
    data = {**_plain(INVENTORIES / "lab" / "chain.yml"), key: value}
    assert not jsonschema_rs.Draft202012Validator(json_schema()).is_valid(data)


def test_the_exported_schema_is_current() -> None:
    assert json.loads(SCHEMA.read_text(encoding="utf-8")) == json_schema(), (
        "run: provchain spec schema inventories/chain.schema.json"
    )


def test_the_lab_is_what_its_readers_are_promised() -> None:
    spec = load(INVENTORIES / "lab" / "chain.yml")
    assert {host.organisation for host in spec.validators} == {"zjex", "zjfin", "zjdata", "zjcsd"}
    assert [host.name for host in spec.hosts if "rpc" in host.roles] == ["v2", "a1"]
    passing = {(p.source_zone, p.target, p.service) for p in permits(spec)}
    # the supervisory chain sees two nodes of two organisations, and nothing else
    assert {p for p in passing if p[0] == "regulator"} == {
        ("regulator", "a1", "rpc"),
        ("regulator", "v2", "rpc"),
    }
    # nothing leads in or out of the data zone yet, and only management opens SSH
    assert not [p for p in passing if p[0] == "data"]
    assert {p[0] for p in passing if p[2] == "ssh"} == {"management"}
    assert {p[1] for p in passing if p[2] == "ssh"} == {host.name for host in spec.hosts}


def test_the_example_is_a_production_network_at_documentation_addresses() -> None:
    spec = load(INVENTORIES / "example-existing" / "chain.yml")
    assert (spec.environment, spec.backend) == ("production", "existing")
    assert len({host.organisation for host in spec.validators}) >= 4
    documentation = ("192.0.2.", "198.51.100.", "203.0.113.")
    addresses = [str(host.address) for host in spec.hosts]
    addresses += [str(host.ssh.address) for host in spec.hosts if host.ssh is not None]
    assert len(addresses) == 2 * len(spec.hosts)
    assert [a for a in addresses if not a.startswith(documentation)] == []
