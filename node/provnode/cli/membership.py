"""Changing who decides: a proposal passes from organisation to organisation as a file, and is handed in.

One organisation proposes, each approves on its own host and sends back its approval, anyone of them submits
the proposal with the approvals. Nothing but these files passes between them, and nothing in them is secret.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from provnode.cli.client import Host, Signer, guarded
from provnode.cli.main import RefusalError, print_json
from provnode.crypto.crl import read_crl
from provnode.ledger.canonical import Json, JsonObject
from provnode.ledger.changes import approve, change_json, parse_change
from provnode.ledger.errors import TxError
from provnode.ledger.genesis import Genesis
from provnode.ledger.membership import Action, Change
from provnode.ledger.revocation import revocation_body
from provnode.ledger.transactions import KIND_MEMBERSHIP, KIND_REVOCATION

_LONGEST = 1024 * 1024
_LONGEST_LIST = 4 * 1024 * 1024
# what stands in a proposal for a validator that is there already
_AS_IT_IS = ("organisation", "public_key", "power")


def membership(given: argparse.Namespace) -> int:
    """``membership list|propose|approve|submit``."""
    if given.verb == "list":
        return guarded(_list(given))
    if given.verb == "propose":
        return guarded(_propose(given))
    if given.verb == "approve":
        return _approve(given)
    return guarded(_submit(given))


def revoke(given: argparse.Namespace) -> int:
    """Hand in this organisation's revocation list."""
    return guarded(_revoke(given))


async def _list(given: argparse.Namespace) -> int:
    async with Host.load(given).connected() as (client, _):
        print_json(await client.call("membership"))
    return 0


async def _propose(given: argparse.Namespace) -> int:
    host = Host.load(given)
    async with host.connected() as (client, _):
        found = await client.call("membership")
    try:
        every = [*found["validators"], *found["suspended"]]
        present: dict[str, Any] = next((one for one in every if one["name"] == given.name), {})
        sequence = found["sequence"] + 1
        height = given.effective_height or found["height"] + given.in_blocks
    except (KeyError, TypeError):
        raise RefusalError("the node's answer is no membership") from None
    validator = {"name": given.name} | {key: present[key] for key in _AS_IT_IS if key in present}
    for key in (*_AS_IT_IS, "address", "port"):
        if getattr(given, key) is not None:
            validator[key] = getattr(given, key)
    value = {
        "action": given.action,
        "effective_height": height,
        "sequence": sequence,
        "validator": validator,
    }
    change = _parsed(value, "the proposal")
    if (change.place is not None) != (change.action is Action.ADD):
        raise RefusalError("address and port: are needed to add a validator, and not otherwise")
    _write(given.out, {"genesis_hash": host.genesis.hash.hex(), "change": change_json(change)})
    return 0


def _approve(given: argparse.Namespace) -> int:
    host = Host.load(given)
    found, change = _read(given.files[0], host.genesis)
    signer = Signer(host)
    if signer.id not in host.genesis.signers:
        raise RefusalError(f"{signer.id}: is no founding signer, which this takes")
    approval = approve(signer.provider, signer.key, signer.id, host.genesis, change)
    _write(given.out, {key: found[key] for key in ("genesis_hash", "change")} | {"approval": approval})
    return 0


async def _submit(given: argparse.Namespace) -> int:
    host = Host.load(given)
    _, change = _read(given.files[0], host.genesis)
    approvals: dict[str, Json] = {}
    for path in given.files[1:]:
        found, other = _read(path, host.genesis)
        approval = found.get("approval")
        if other != change:
            raise RefusalError(f"{path}: approves another change than {given.files[0]} proposes")
        if not isinstance(approval, dict) or not isinstance(approval.get("organisation"), str):
            raise RefusalError(f"{path}: holds no approval")
        approvals[approval["organisation"]] = approval
    listed: list[Json] = [approvals[name] for name in sorted(approvals)]
    body: JsonObject = {"change": change_json(change), "approvals": listed}
    return await Signer(host).hand_in(host, KIND_MEMBERSHIP, body)


async def _revoke(given: argparse.Namespace) -> int:
    host = Host.load(given)
    try:
        found = read_crl(_bytes(given.crl, _LONGEST_LIST), host.config.organisation)
    except ValueError as error:
        raise RefusalError(f"{given.crl}: {error}") from None
    return await Signer(host).hand_in(host, KIND_REVOCATION, revocation_body(found))


def _read(path: Path, genesis: Genesis) -> tuple[dict[str, Any], Change]:
    try:
        found = json.loads(_bytes(path, _LONGEST))
        of, value = found["genesis_hash"], found["change"]
    except (ValueError, RecursionError, KeyError, TypeError):
        raise RefusalError(f"{path}: is no proposal and no approval") from None
    if of != genesis.hash.hex():
        raise RefusalError(f"{path}: is for a chain with another genesis")
    return found, _parsed(value, str(path))


def _parsed(value: object, where: str) -> Change:
    try:
        return parse_change(value)
    except TxError as error:
        raise RefusalError(f"{where}: {error.message}") from None


def _bytes(path: Path, longest: int) -> bytes:
    try:
        if path.stat().st_size > longest:
            raise RefusalError(f"{path}: larger than {longest} bytes")
        return path.read_bytes()
    except OSError as error:
        raise RefusalError(f"{path}: {error.strerror}") from None


def _write(path: Path | None, value: dict[str, Any]) -> None:
    if path is None:
        print_json(value)
        return
    try:
        path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    except OSError as error:
        raise RefusalError(f"{path}: {error.strerror}") from None
