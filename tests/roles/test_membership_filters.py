"""What a change of the membership still needs, so that a run that was cut off goes on where it was."""

from __future__ import annotations

import importlib.util
import json
from types import ModuleType
from typing import Any

import pytest
from ansible.errors import AnsibleFilterError

from provchain.paths import REPOSITORY, spec_file
from provchain.spec import load

PLUGIN = REPOSITORY / "roles" / "provnode" / "filter_plugins" / "provnode_membership.py"


def _loaded() -> ModuleType:
    found = importlib.util.spec_from_file_location("provnode_membership", PLUGIN)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


FILTERS = _loaded()
SPEC = load(spec_file("lab")).model_dump(mode="json")
GENESIS = {
    "signers": [{"id": f"{name}"} for name in ("v2@zjfin", "v3@zjdata", "v4@zjcsd", "a1@zjex", "m1@zjex")]
}


def one(name: str, key: str) -> dict[str, str]:
    return {"name": name, "public_key": key}


def members(
    *, voting: str = "v1 v2", suspended: str = "", pending: list[Any] | None = None
) -> dict[str, Any]:
    """Return what the engine answers; the key of a validator is its name with a k."""
    return {
        "validators": [one(name, f"k{name}") for name in voting.split()],
        "suspended": [one(name, f"k{name}") for name in suspended.split()],
        "pending": pending or [],
    }


@pytest.mark.parametrize(
    ("action", "name", "key", "state"),
    [
        ("add", "v5", "kv5", "open"),
        ("add", "v1", "kv1", "done"),
        ("add", "v3", "kv3", "done"),  # and suspended since
        ("add", "v1", "other", "open"),  # which the chain refuses, and says why
        ("add", "v1", "", "open"),
        ("rekey", "v1", "kv1", "done"),
        ("rekey", "v1", "new", "open"),
        ("rekey", "v3", "kv3", "done"),
        ("rekey", "v1", "", "open"),
        ("remove", "v1", "", "open"),
        ("remove", "v3", "", "open"),
        ("remove", "v5", "", "done"),
        ("suspend", "v1", "", "open"),
        ("suspend", "v3", "", "done"),
        ("resume", "v3", "", "open"),
        ("resume", "v1", "", "done"),
    ],
)
def test_progress(action: str, name: str, key: str, state: str) -> None:
    found = FILTERS.progress(members(suspended="v3"), action, name, key)
    assert found == {"state": state, "effective_height": None}


def test_what_is_to_come_is_waited_for_and_not_proposed_again() -> None:
    pending = [
        {"action": "suspend", "effective_height": 40, "validator": one("v1", "kv1")},
        {"action": "rekey", "effective_height": 50, "validator": one("v2", "new")},
    ]
    chain = members(pending=pending)
    assert FILTERS.progress(chain, "suspend", "v1") == {"state": "pending", "effective_height": 40}
    assert FILTERS.progress(chain, "rekey", "v2", "new") == {"state": "pending", "effective_height": 50}
    for action, name, key in (("suspend", "v2", ""), ("remove", "v1", ""), ("rekey", "v2", "other")):
        assert FILTERS.progress(chain, action, name, key)["state"] == "open"


def told(key: str) -> dict[str, Any]:
    return {"rc": 0, "stdout": json.dumps({"public_key": key})}


ABSENT = {"rc": 1, "stdout": ""}


@pytest.mark.parametrize(
    ("action", "shown", "made", "key"),
    [
        ("suspend", [], {}, ""),
        ("add", [told("kv1"), ABSENT], {}, "kv1"),
        ("rekey", [told("kv1"), ABSENT], {}, ""),  # to be made
        ("rekey", [told("kv1"), ABSENT], {"skipped": True}, ""),
        ("rekey", [told("kv1"), ABSENT], told("made"), "made"),
        ("rekey", [told("kv1"), told("next")], {"skipped": True}, "next"),
        ("rekey", [told("other"), ABSENT], {"skipped": True}, "other"),  # the host lost its key
    ],
)
def test_the_key_that_is_to_vote(action: str, shown: list[Any], made: dict[str, Any], key: str) -> None:
    assert FILTERS.new_key(members(), action, "v1", shown, made) == key


def test_each_organisation_with_a_vote_approves_on_a_founding_signers_host() -> None:
    assert FILTERS.approvers(SPEC, GENESIS, []) == ["a1", "v2", "v3", "v4"]
    assert FILTERS.approvers(SPEC, GENESIS, ["zjcsd", "zjfin"]) == ["v4", "v2"]


def test_a_signer_that_came_after_the_genesis_approves_nothing() -> None:
    without = {"signers": [one for one in GENESIS["signers"] if one["id"] != "a1@zjex"]}
    assert FILTERS.approvers(SPEC, without, ["zjex"]) == ["m1"]
    with pytest.raises(AnsibleFilterError, match="zjex has no host with a founding signer"):
        FILTERS.approvers(SPEC, {"signers": []}, ["zjex"])
