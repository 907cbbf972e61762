"""Verify a proof bundle, trusting nothing but a genesis."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from provnode.cli.main import RefusalError, print_json
from provnode.crypto import get_provider
from provnode.ledger.errors import GenesisError
from provnode.ledger.genesis import load_genesis
from provnode.light import ProofError, verify_proof

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


def verify(given: argparse.Namespace) -> int:
    """Print what the bundle proves; 1 if it doesn't prove it."""
    bundle = _read(given.bundle)
    try:
        genesis = load_genesis(given.genesis)
        found = verify_proof(bundle, genesis.document, get_provider("openssl"))
    except GenesisError as error:
        raise RefusalError(str(error)) from None
    except ProofError as error:
        print_json({"verified": False, "error": str(error)})
        return 1
    print_json(
        {
            "verified": True,
            "object_id": found.object_id,
            "version": found.version,
            "height": found.height,
            "block_hash": found.block_id.hex(),
            "validators": found.validators,
        }
    )
    return 0
