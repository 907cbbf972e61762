"""The digest of sealed evidence on the chain: submitted as a business object, proven, verified offline."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from provchain.baseline.values import Record
from provchain.conductor import engine
from provchain.conductor.demo import entrance
from provchain.errors import ProvchainError
from provchain.evidence.seal import Verified
from provchain.paths import REPOSITORY
from provchain.spec import ChainSpec

ROLES = REPOSITORY / "roles"
"""Where engines' roles are, each with a recipe that names how its proofs are verified offline."""
TYPE = "audit_evidence"
PROTOCOL = "区域性股权市场跨链业务数据模型"


class Proof(Record):
    """What lies beside a bundle: an engine's own proof, and which engine can verify it."""

    format: Literal[1] = 1
    engine: Annotated[str, Field(pattern="^[a-z][a-z0-9-]{0,31}$")]
    network: str
    proof: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Anchor:
    """Where on the chain a digest is: the height and the time of a block that has it, the chain's own."""

    object_id: str
    height: int
    time: datetime | None
    """None where the engine tells no time."""


def object_id(digest: str) -> str:
    """Return the id of the object that says of a bundle that it was there; the digest is part of the id."""
    return f"audit-evidence-{digest}"


def object_of(found: Verified) -> dict[str, Any]:
    """Return the business object (JR/T 0314) of a bundle; nothing of what was found is in it."""
    manifest = found.manifest
    header = {
        "model": {"protocol": PROTOCOL, "version": "1.0"},
        "content": {
            "type": TYPE,
            "object_id": object_id(found.digest),
            "version": 0,
            "operation": "create",
            "timestamp": int(manifest.sealed.timestamp()),
        },
    }
    body = {
        "network": manifest.network,
        "profile": manifest.profile,
        "manifest_sm3": found.digest,
        "report_sm3": manifest.files["report.json"].sm3,
        "signer": manifest.signer,
    }
    return {"header": header, "body": body}


def anchor(spec: ChainSpec, found: Verified, detail: Callable[[str], None]) -> tuple[str, str]:
    """Submit the digest of a bundle through the access zone and return the proof's file, with a summary.

    What is on the chain already is proven again. Raises ProvchainError if it is refused.
    """
    host = entrance(spec)
    wanted = object_id(found.digest)
    detail(f"{wanted[:32]} to {host}")
    line = json.dumps(object_of(found), ensure_ascii=False) + "\n"
    sent = _object(
        engine.call(spec.network, host, "submit", stdin=line, timeout=120, refusals=True), host, "submit"
    )
    try:
        told = engine.call(
            spec.network, host, "prove", parameters={"object_id": wanted, "version": "0"}, timeout=60
        )
    except ProvchainError as error:
        if not sent.get("ok"):
            cause = f"{sent.get('code', '')}: {sent.get('error', '')}"[:400]
            raise ProvchainError(f"the chain of {spec.network} refused the digest", cause=cause) from None
        raise error from None
    proof = Proof(engine=spec.engine.name, network=spec.network, proof=_object(told, host, "prove"))
    new = "committed" if sent.get("ok") else "was on the chain already"
    return json.dumps(proof.model_dump(), ensure_ascii=False, sort_keys=True) + "\n", f"{wanted}: {new}"


def check(raw: bytes, genesis: Path, digest: str) -> Anchor:
    """Verify offline that a digest is on the chain of a genesis, by the engine's own command.

    Raises ProvchainError if the proof does not hold, is of something else, or no command can verify it.
    """
    try:
        proof = Proof.model_validate_json(raw)
    except ValidationError:
        raise ProvchainError("the proof can't be read", cause="it is no proof of format 1") from None
    told = _ask(proof, genesis)
    wanted = object_id(digest)
    if told.get("verified") is not True:
        raise ProvchainError("the chain's proof does not hold", cause=str(told.get("error", ""))[:400])
    if told.get("object_id") != wanted or told.get("version") != 0 or told.get("absent") is not False:
        raise ProvchainError(
            "the chain's proof is of something else", cause=f"{told.get('object_id')!r}"[:200]
        )
    when = told.get("time_ms")
    time = datetime.fromtimestamp(when / 1000, UTC) if isinstance(when, int) else None
    return Anchor(wanted, int(told["height"]), time)


def _ask(proof: Proof, genesis: Path) -> dict[str, Any]:
    recipe_file = ROLES / proof.engine / "package.json"
    recipe = json.loads(recipe_file.read_text(encoding="utf-8")) if recipe_file.is_file() else {}
    if "verify" not in recipe:
        raise ProvchainError(
            f"engine {proof.engine} has no command here that verifies a proof",
            cause=f"{recipe_file.relative_to(ROLES.parent)} names none",
        )
    if not genesis.is_file():
        raise ProvchainError(f"{genesis} is missing")
    with tempfile.NamedTemporaryFile("w", suffix=".json", encoding="utf-8") as file:
        json.dump(proof.proof, file)
        file.flush()
        values = {"proof": file.name, "genesis": str(genesis.resolve())}
        argv = [sys.executable, *(word.format(**values) for word in recipe["verify"])]
        done = subprocess.run(
            argv,
            cwd=ROLES.parent / recipe["sources"][0],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    if done.returncode not in (0, 1) or not done.stdout:
        raise ProvchainError("the proof can't be verified here", cause=done.stderr.strip()[-400:])
    return _object(done.stdout, "the engine", "verify")


def _object(text: str, who: str, verb: str) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ProvchainError(f"{who}: {verb} did not answer with a JSON object", cause=text[:200])
    return found
