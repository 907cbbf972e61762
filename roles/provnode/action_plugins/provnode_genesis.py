"""Build the network's genesis once, on the controller, from what the hosts said their public keys are."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from ansible.plugins.action import ActionBase

from provchain.pki import Authority

PURPOSES = {"validator": "consensus", "signer": "client"}
"""What the key of a host with a role is for."""


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible-core ships no types
    """``provnode_genesis: {file, schemas, spec, keys, authorities}``: an existing file is never changed.

    ``keys`` maps ``consensus`` and ``client`` to public keys by host: those of validators and of signers.
    ``authorities`` is the folder of the organisations' authorities, whose public keys the genesis lists.
    """

    _requires_connection = False
    _VALID_ARGS = frozenset({"file", "schemas", "spec", "keys", "authorities"})

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the genesis as text; in check mode an empty one where none is there yet."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        given, path = self._task.args, Path(self._task.args["file"])
        if path.exists():
            content = path.read_text(encoding="utf-8")
            wrong = [] if self._task.check_mode else strangers(json.loads(content), **given)
            if wrong:
                return result | {"failed": True, "msg": f"{path} is of another network: {'; '.join(wrong)}"}
            return result | {"changed": False, "content": content}
        if self._task.check_mode:
            return result | {"changed": True, "content": ""}
        missing = [
            f"no {purpose} key of {host['name']}"
            for role, purpose in PURPOSES.items()
            for host in _having(given["spec"], role)
            if host["name"] not in given["keys"][purpose]
        ]
        if missing:
            return result | {"failed": True, "msg": "; ".join(missing)}
        genesis = _genesis(given["spec"], given["keys"], _schemas(Path(given["schemas"])))
        for one in genesis["organisations"]:
            one["ca"] = Authority(Path(given["authorities"]), one["name"]).public_key()
        content = _canonical(genesis)
        new = path.with_name(f".{path.name}.{os.getpid()}")
        with new.open("w", encoding="utf-8") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
        new.replace(path)
        return result | {"changed": True, "content": content}


def strangers(
    genesis: dict[str, Any], spec: dict[str, Any], keys: dict[str, dict[str, str]], **_: object
) -> list[str]:
    """Return in what the hosts are not those of the genesis.

    A founding signer's key is for good: a host that lost it is restored, or another signs in its place.
    Validators come, go and change their keys by the chain's own changes; as long as the chain doesn't list a
    validator's key, its node follows without a vote. Hosts that this run doesn't reach, and have no key in
    ``keys``, are not judged.
    """
    signers = {one["id"].split("@")[0]: one["public_key"] for one in genesis["signers"]}
    found = [
        f"{key} {genesis[key]} there, {spec[key]} in chain.yml"
        for key in ("network", "chain_id")
        if genesis[key] != spec[key]
    ]
    found += [
        f"{name} has another client key now; restore it, or take the role signer from it"
        for name in (host["name"] for host in _having(spec, "signer"))
        if name in signers and keys["client"].get(name, signers[name]) != signers[name]
    ]
    return found


def _having(spec: dict[str, Any], role: str) -> list[dict[str, Any]]:
    return [host for host in spec["hosts"] if role in host["roles"]]


def _canonical(document: dict[str, Any]) -> str:
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def _schemas(folder: Path) -> dict[str, Any]:
    return {path.stem: json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))}


def _genesis(
    spec: dict[str, Any], keys: dict[str, dict[str, str]], schemas: dict[str, Any]
) -> dict[str, Any]:
    consensus = spec["consensus"]
    limits = ("max_block_bytes", "max_tx_bytes", "block_interval_ms", "propose_timeout_ms")
    return {
        "format": 1,
        "network": spec["network"],
        "chain_id": spec["chain_id"],
        "time_ms": int(time.time() * 1000),
        "organisations": [
            {key: one[key] for key in ("name", "title", "uscc", "role")} for one in spec["organisations"]
        ],
        "validators": [
            {
                "name": h["name"],
                "organisation": h["organisation"],
                "public_key": keys["consensus"][h["name"]],
                "power": 1,
            }
            for h in _having(spec, "validator")
        ],
        "signers": [
            {
                "id": f"{h['name']}@{h['organisation']}",
                "organisation": h["organisation"],
                "public_key": keys["client"][h["name"]],
            }
            for h in _having(spec, "signer")
        ],
        "params": {key: consensus[key] for key in (*limits, "vote_timeout_ms", "timeout_delta_ms")},
        "schemas": schemas,
    }
