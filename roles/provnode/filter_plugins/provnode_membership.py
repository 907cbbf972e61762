"""What a change of the membership still needs, judged from what the chain and the description say."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from ansible.errors import AnsibleFilterError


def progress(members: dict[str, Any], action: str, name: str, key: str = "") -> dict[str, Any]:
    """Return how far a change is: ``open`` (to be proposed), ``pending`` with its height, or ``done``.

    ``members`` is what the engine answers to ``membership list``; ``key`` is the public key that an added or
    re-keyed validator is to vote with.
    """
    new = action in ("add", "rekey")
    for change in members["pending"]:
        wanted = change["validator"]
        if (change["action"], wanted["name"]) == (action, name) and (not new or wanted["public_key"] == key):
            return {"state": "pending", "effective_height": change["effective_height"]}
    voting, suspended = (
        {one["name"]: one["public_key"] for one in members[kind]} for kind in ("validators", "suspended")
    )
    done = {
        "add": bool(key) and (voting | suspended).get(name) == key,
        "rekey": bool(key) and (voting | suspended).get(name) == key,
        "remove": name not in voting | suspended,
        "suspend": name in suspended,
        "resume": name in voting,
    }
    return {"state": "done" if done[action] else "open", "effective_height": None}


def new_key(
    members: dict[str, Any], action: str, name: str, shown: Sequence[dict[str, Any]], made: dict[str, Any]
) -> str:
    """Return the public key that an added or re-keyed validator is to vote with; empty if it is to be made.

    ``shown`` is how it went to look at the validator's key and at the one that is to take over, ``made`` how
    it went to make the latter. A host that lost its key has another already.
    """
    if action not in ("add", "rekey"):
        return ""
    own, following = ([*map(_public_key, shown), "", ""])[:2]
    if action == "add":
        return own
    every = [*members["validators"], *members["suspended"]]
    listed = [one["public_key"] for one in every if one["name"] == name]
    return following or _public_key(made) or ("" if own in listed else own)


def _public_key(result: dict[str, Any]) -> str:
    text = result.get("stdout")
    return str(json.loads(text)["public_key"]) if text and not result.get("rc") else ""


def approvers(spec: dict[str, Any], genesis: dict[str, Any], organisations: Sequence[str]) -> list[str]:
    """Return a founding signer's host of each of these organisations; without any, of all that may vote."""
    hosts = spec["hosts"]
    founding = {one["id"] for one in genesis["signers"]}
    voting = [host["organisation"] for host in hosts if "validator" in host["roles"]]
    found = []
    for organisation in dict.fromkeys(organisations or voting):
        signing = [host["name"] for host in hosts if f"{host['name']}@{organisation}" in founding]
        if not signing:
            raise AnsibleFilterError(f"{organisation} has no host with a founding signer")
        found.append(signing[0])
    return found


class FilterModule:
    """The filters by their names in templates."""

    def filters(self) -> dict[str, object]:
        """Return them."""
        return {
            "provnode_progress": progress,
            "provnode_new_key": new_key,
            "provnode_approvers": approvers,
        }
