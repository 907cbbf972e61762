"""Submit the example objects through the access zone and read each back elsewhere, proof verified."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from provchain.conductor import engine
from provchain.errors import ProvchainError
from provchain.paths import REPOSITORY
from provchain.spec import ChainSpec

OBJECTS = REPOSITORY / "examples" / "objects.ndjson"


def entrance(spec: ChainSpec) -> str:
    """Return the RPC host in the access zone that clients use; raises ProvchainError if there is none."""
    access = {zone.name for zone in spec.zones if zone.kind == "access"}
    for host in spec.hosts:
        if host.zone in access and "rpc" in host.roles:
            return host.name
    raise ProvchainError(
        "the network has no RPC host in an access zone", remedy="give one of its hosts the role rpc"
    )


def other_reader(spec: ChainSpec, entrance_host: str) -> str:
    """Return an RPC host of another organisation than the entrance's (A10 asks for two RPC nodes)."""
    own = next(host.organisation for host in spec.hosts if host.name == entrance_host)
    for host in spec.hosts:
        if "rpc" in host.roles and host.organisation != own:
            return host.name
    raise ProvchainError(
        "all RPC hosts belong to one organisation", remedy="give another organisation's node rpc"
    )


def submit(spec: ChainSpec, detail: Callable[[str], None]) -> tuple[dict[str, Any], str]:
    """Submit every example object in order; what is on the chain already is counted, not an error."""
    text = OBJECTS.read_text(encoding="utf-8")
    count = len(text.splitlines())
    host = entrance(spec)
    detail(f"{count} objects to {host}")
    began = time.monotonic()
    answer = engine.call(spec.network, host, "submit", stdin=text, timeout=600, refusals=True)
    seconds = time.monotonic() - began
    results = [json.loads(line) for line in answer.splitlines() if line]
    known = [r for r in results if not r["ok"] and r.get("code") == "duplicate"]
    failed = [r for r in results if not r["ok"] and r.get("code") != "duplicate"]
    if failed or len(results) != count:
        first = failed[0] if failed else {"error": f"{len(results)} answers to {count} objects"}
        raise ProvchainError(
            f"{len(failed)} of {count} objects were refused", cause=json.dumps(first, ensure_ascii=False)
        )
    kinds = Counter(
        (record["header"]["content"]["type"], record["header"]["content"]["operation"])
        for record in map(json.loads, text.splitlines())
    )
    new = count - len(known)
    report = {
        "entrance": host,
        "submitted": new,
        "already_on_chain": len(known),
        "seconds": round(seconds, 2),
        "kinds": [{"type": t, "operation": o, "count": n} for (t, o), n in sorted(kinds.items())],
    }
    return report, f"{new} committed, {len(known)} were on the chain already"


def read_back(spec: ChainSpec, detail: Callable[[str], None]) -> tuple[dict[str, Any], str]:
    """Read every version of every object from another organisation's node and verify its proof.

    Raises ProvchainError if one can't be read or its proof doesn't verify against the certificate.
    """
    host = entrance(spec)
    node = other_reader(spec, host)
    wanted: dict[tuple[str, int], None] = {}
    for line in OBJECTS.read_text(encoding="utf-8").splitlines():
        content = json.loads(line)["header"]["content"]
        wanted[content["object_id"], content["version"]] = None
    asked = "".join(json.dumps({"object_id": o, "version": v}) + "\n" for o, v in wanted)
    detail(f"{len(wanted)} object versions from {node}")
    began = time.monotonic()
    answer = engine.call(spec.network, host, "read", parameters={"node": node}, stdin=asked, timeout=600)
    seconds = time.monotonic() - began
    results = [json.loads(line) for line in answer.splitlines() if line]
    bad = [r for r in results if not r.get("verified")]
    if bad or len(results) != len(wanted):
        first = json.dumps(bad[0] if bad else {"answers": len(results)}, ensure_ascii=False)
        raise ProvchainError(f"{len(bad)} of {len(wanted)} object versions did not verify", cause=first)
    report = {
        "reader": node,
        "organisation": results[0]["organisation"],
        "verified": len(results),
        "highest_block": max(r["height"] for r in results),
        "seconds": round(seconds, 2),
    }
    return report, f"{len(results)} proofs verified from {node} ({report['organisation']})"
