"""Verify a proof bundle, trusting nothing but a genesis, or a point that was verified before."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from provnode.cli.main import RefusalError, print_json
from provnode.crypto import get_provider
from provnode.ledger.errors import GenesisError
from provnode.ledger.genesis import load_genesis
from provnode.light import (
    ProofError,
    Trust,
    VerifiedAbsence,
    VerifiedObject,
    VerifiedState,
    verify_absence,
    verify_proof,
    verify_state,
)
from provnode.storage.errors import StoreError
from provnode.storage.files import replace_file

_LONGEST = 64 * 1024 * 1024


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LONGEST:
            raise RefusalError(f"{path}: larger than {_LONGEST} bytes")
        found = json.loads(path.read_bytes())
    except OSError as error:
        raise RefusalError(f"{path}: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise RefusalError(f"{path}: not JSON: {error}") from None
    if not isinstance(found, dict):
        raise RefusalError(f"{path}: not a JSON object")
    return found


def read_trust(path: Path) -> Trust:
    """The trusted point in a file. Raises RefusalError."""
    try:
        return Trust.from_json(_read(path))
    except ProofError as error:
        raise RefusalError(f"{path}: {error}") from None


def _believed(given: argparse.Namespace) -> Trust:
    """The trusted point of the file, if there is one, else the genesis. Raises RefusalError."""
    if given.trust is not None and given.trust.exists():
        return read_trust(given.trust)
    try:
        return Trust.of_genesis(load_genesis(given.genesis).document, get_provider("openssl"))
    except GenesisError as error:
        raise RefusalError(str(error)) from None


def verify(given: argparse.Namespace) -> int:
    """Print what the bundle proves; 1 if it doesn't prove it. A trusted point moves on with it."""
    bundle = _read(given.bundle)
    trust = _believed(given)
    try:
        told, newer = _verified(bundle, trust)
    except ProofError as error:
        print_json({"verified": False, "error": str(error)})
        return 1
    if given.trust is not None and (newer.height > trust.height or not given.trust.exists()):
        try:
            replace_file(given.trust, json.dumps(newer.as_json()).encode() + b"\n")
        except StoreError as error:
            raise RefusalError(str(error)) from None
    print_json({"verified": True, **told, "trusted_height": newer.height})
    return 0


def _verified(bundle: dict[str, Any], trust: Trust) -> tuple[dict[str, Any], Trust]:
    provider = get_provider("openssl")
    found: VerifiedState | VerifiedObject | VerifiedAbsence
    if "kind" in bundle:
        found = verify_state(bundle, trust, provider)
        told: dict[str, Any] = {"kind": found.kind, "id": found.id, "value": found.value.hex()}
    else:
        absent = bundle.get("snapshot") is None
        found = (verify_absence if absent else verify_proof)(bundle, trust, provider)
        told = {"object_id": found.object_id, "version": found.version, "absent": absent}
    proof = {
        "height": found.height,
        "time_ms": found.time_ms,
        "block_hash": found.block_id.hex(),
        "validators": found.validators,
    }
    return told | proof, found.trust
