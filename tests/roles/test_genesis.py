"""The genesis that the engine's role builds: made once, from the spec and the hosts' public keys."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, Protocol

import pytest

from provchain.paths import REPOSITORY, spec_file
from provchain.pki import Authority
from provchain.spec import load

PLUGIN = REPOSITORY / "roles" / "provnode" / "action_plugins" / "provnode_genesis.py"


Keys = dict[str, dict[str, str]]


class Build(Protocol):
    """Runs the action with these keys."""

    def __call__(self, keys: Keys, check_mode: bool = False) -> dict[str, Any]: ...


class Task:
    """What Ansible gives an action of its task."""

    def __init__(self, args: dict[str, Any], check_mode: bool) -> None:
        self.args, self.check_mode = args, check_mode


@pytest.fixture
def build(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Build:
    """Return a function that runs the action with these keys."""
    found = importlib.util.spec_from_file_location("provnode_genesis", PLUGIN)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    monkeypatch.setattr(module.ActionBase, "run", lambda self, tmp, task_vars: {})
    spec = load(spec_file("lab")).model_dump(mode="json")

    def run(keys: Keys, check_mode: bool = False) -> dict[str, Any]:
        action = module.ActionModule.__new__(module.ActionModule)
        args = {
            "file": str(tmp_path / "genesis.json"),
            "schemas": str(REPOSITORY / "examples" / "schemas"),
            "spec": spec,
            "keys": keys,
            "authorities": str(tmp_path / "pki"),
        }
        action._task = Task(args, check_mode)
        result: dict[str, Any] = action.run()
        return result

    return run


def _keys(first: int, *names: str) -> dict[str, str]:
    return {name: f"04{number:0128x}" for number, name in enumerate(names, first)}


KEYS = {
    "consensus": _keys(0, "v1", "v2", "v3", "v4"),
    "client": _keys(10, "v2", "v3", "v4", "a1", "m1"),
}


def without(purpose: str, *names: str) -> Keys:
    """Return the keys but those of some hosts."""
    return KEYS | {purpose: {name: key for name, key in KEYS[purpose].items() if name not in names}}


def test_validators_vote_and_each_organisation_signs(build: Build, tmp_path: Path) -> None:
    genesis = json.loads(build(KEYS)["content"])
    assert [v["name"] for v in genesis["validators"]] == ["v1", "v2", "v3", "v4"]
    assert [s["id"] for s in genesis["signers"]] == [
        "v2@zjfin",
        "v3@zjdata",
        "v4@zjcsd",
        "a1@zjex",
        "m1@zjex",
    ]
    voting = {v["organisation"] for v in genesis["validators"]}
    assert {s["organisation"] for s in genesis["signers"]} == voting
    assert genesis["validators"][1]["public_key"] == KEYS["consensus"]["v2"]
    assert genesis["signers"][0]["public_key"] == KEYS["client"]["v2"]
    for one in genesis["organisations"]:
        assert one["ca"] == Authority(tmp_path / "pki", one["name"]).public_key()
    assert set(genesis["schemas"]) == {path.stem for path in (REPOSITORY / "examples/schemas").glob("*.json")}


def test_it_is_made_once(build: Build) -> None:
    first = build(KEYS)
    second = build(KEYS)
    assert first["changed"]
    assert not second["changed"]
    assert second["content"] == first["content"]


def test_a_host_that_lost_its_organisations_key_is_refused(build: Build) -> None:
    """It could never sign again, and nobody would say why; a validator's key can be changed by the chain."""
    first = build(KEYS)
    second = build(
        {
            "consensus": KEYS["consensus"] | {"v3": "04" + "ff" * 64},
            "client": KEYS["client"] | {"m1": "04" + "ee" * 64},
        }
    )
    assert second["failed"]
    assert second["msg"].endswith(
        "m1 has another client key now; restore it, or take the role signer from it"
    )
    assert "v3" not in second["msg"]
    assert build(KEYS)["content"] == first["content"]


def test_hosts_that_a_run_does_not_reach_are_not_judged(build: Build) -> None:
    build(KEYS)
    assert not build({"consensus": {"v1": KEYS["consensus"]["v1"]}, "client": {}}).get("failed")


def test_a_genesis_of_another_network_is_refused(build: Build, tmp_path: Path) -> None:
    genesis = json.loads(build(KEYS)["content"])
    genesis["network"] = "other"
    (tmp_path / "genesis.json").write_text(json.dumps(genesis))
    assert "network other there, lab in chain.yml" in build(KEYS)["msg"]


def test_a_validator_that_came_later_needs_no_place_in_the_genesis(build: Build) -> None:
    first = build(KEYS)
    later = build(KEYS | {"consensus": KEYS["consensus"] | {"v5": "04" + "55" * 64}})
    assert not later.get("failed")
    assert later["content"] == first["content"]


def test_a_missing_key_is_refused_and_nothing_is_written(build: Build, tmp_path: Path) -> None:
    result = build(without("consensus", "v3") | {"client": without("client", "v2", "v3")["client"]})
    assert result["failed"]
    assert result["msg"] == "no consensus key of v3; no client key of v2; no client key of v3"
    assert not (tmp_path / "genesis.json").exists()


def test_a_dry_run_writes_nothing(build: Build, tmp_path: Path) -> None:
    assert build(KEYS, check_mode=True)["changed"]
    assert not (tmp_path / "genesis.json").exists()
