"""What a client does: sign and submit objects, read them back with proofs verified here."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from provnode.cli.keys import load_key
from provnode.cli.main import RefusalError, print_json
from provnode.cli.verify import read_json
from provnode.crypto import get_provider
from provnode.ledger.canonical import CanonicalError, decode
from provnode.ledger.genesis import parse_genesis
from provnode.ledger.transactions import sign_transaction
from provnode.light import ProofError, verify_proof
from provnode.net.errors import NetError
from provnode.net.identity import Identity
from provnode.net.tls import Peer
from provnode.ops.config import Config, ConfigError, load_config
from provnode.rpc.client import CallError, Client

_LONGEST_LINE = 8 * 1024 * 1024
_WAIT_SECONDS = 60


def tx(given: argparse.Namespace) -> int:
    """``tx put|get|prove``: one object."""
    return asyncio.run(_guarded(_tx(given)))


def submit(given: argparse.Namespace) -> int:
    """Objects from standard input, results to standard output; 1 if any was refused."""
    return asyncio.run(_guarded(_submit_all(given, list(_lines()))))


def read(given: argparse.Namespace) -> int:
    """Object ids and versions from standard input, objects to standard output; 1 if any didn't verify."""
    return asyncio.run(_guarded(_read_all(given)))


async def _guarded(work: Any) -> int:  # noqa: ANN401 - a coroutine that returns an exit code
    try:
        code: int = await work
    except (CallError, ConfigError, NetError) as error:
        raise RefusalError(str(error)) from None
    return code


def _lines() -> Iterator[str]:
    while line := sys.stdin.readline(_LONGEST_LINE):
        if line.strip():
            yield line


@asynccontextmanager
async def _connected(config: Config, name: str | None) -> AsyncIterator[Client]:
    """Connect to the node of that name; without a name to this host's own, else to the first peer."""
    if name is None and config.listen is not None:
        client = await Client.local(Path(config.admin_socket))
    else:
        names = [peer.name for peer in config.peers]
        peer = next((p for p in config.peers if name in (None, p.name)), None)
        if peer is None:
            raise RefusalError(
                f"node {name!r} is not in the configuration; known: {', '.join(names) or 'none'}"
            )
        genesis = parse_genesis(read_json(Path(config.genesis)))
        allowed = frozenset(genesis.organisations)
        files = config.identity
        identity = Identity(Path(files.key), Path(files.cert), Path(files.trust_dir), allowed)
        client = await Client.remote(
            peer.address, peer.rpc_port, identity, Peer(peer.name, peer.organisation)
        )
    try:
        yield client
    finally:
        await client.close()


@dataclass(frozen=True, slots=True)
class _Sent:
    """What became of one object on its way in."""

    object_id: object
    version: object
    txid: str = ""
    error: str = ""
    code: str = ""


class _Signer:
    """Signs objects as the client that the configuration names."""

    def __init__(self, config: Config) -> None:
        if not config.client_key:
            raise RefusalError("client_key: is missing in the configuration; this host may not submit")
        self._provider = get_provider(config.provider)
        self._key = load_key(Path(config.client_key), self._provider)
        self._id = config.client_id
        self._genesis = parse_genesis(read_json(Path(config.genesis))).hash

    def sign(self, line: str) -> tuple[bytes, object, object]:
        """Return the signed transaction of an object, its id and version. Raises CanonicalError."""
        found = decode(line.encode())
        content: Any = found
        for key in ("header", "content"):
            content = content.get(key) if isinstance(content, dict) else None
        content = content if isinstance(content, dict) else {}
        raw, _ = sign_transaction(self._provider, self._key, self._id, self._genesis, "object", found)
        return raw, content.get("object_id"), content.get("version")


async def _send(client: Client, signer: _Signer, line: str) -> _Sent:
    try:
        raw, object_id, version = signer.sign(line)
    except CanonicalError as error:
        return _Sent(None, None, error=str(error), code="malformed")
    try:
        answer = await client.call("submit_transaction", transaction=raw.hex())
    except CallError as error:
        if not error.code:
            raise
        return _Sent(object_id, version, error=str(error), code=error.code)
    return _Sent(object_id, version, txid=answer["txid"])


async def _submit_all(given: argparse.Namespace, lines: list[str]) -> int:
    config = load_config(given.config)
    signer = _Signer(config)
    good = True
    async with _connected(config, given.node) as client:
        sent = [await _send(client, signer, line) for line in lines]
        for item in sent:
            result = await _outcome(client, item)
            good = good and result["ok"]
            print_json(result)
    return 0 if good else 1


async def _outcome(client: Client, item: _Sent) -> dict[str, Any]:
    result: dict[str, Any] = {"object_id": item.object_id, "version": item.version, "txid": item.txid}
    if item.error:
        return result | {"height": None, "ok": False, "code": item.code, "error": item.error}
    try:
        answer = await client.call("wait_transaction", txid=item.txid, seconds=_WAIT_SECONDS)
    except CallError as error:
        return result | {"height": None, "ok": False, "code": error.code or "timeout", "error": str(error)}
    return result | {"height": answer["height"], "ok": True, "code": "", "error": ""}


async def _prove(
    client: Client, trust: dict[str, Any], object_id: str, version: int | None
) -> dict[str, Any]:
    """Read an object with its proof and verify it; the result says whether it holds."""
    result: dict[str, Any] = {"object_id": object_id, "version": version, "organisation": client.organisation}
    try:
        bundle = await client.call("object", object_id=object_id, version=version, proof=True)
        found = verify_proof(bundle, trust, get_provider("openssl"))
    except (CallError, ProofError) as error:
        return result | {"height": None, "verified": False, "error": str(error)}
    if (found.object_id, found.version) != (object_id, found.version if version is None else version):
        return result | {"height": None, "verified": False, "error": "the proof is of another object"}
    return result | {
        "version": found.version,
        "height": found.height,
        "verified": True,
        "object": bundle["snapshot"],
    }


async def _read_all(given: argparse.Namespace) -> int:
    config = load_config(given.config)
    trust = read_json(Path(config.genesis))
    good = True
    async with _connected(config, given.node) as client:
        for line in _lines():
            try:
                asked = json.loads(line)
                object_id, version = asked["object_id"], asked.get("version")
            except (ValueError, TypeError, KeyError, AttributeError):
                raise RefusalError(f"standard input: {line[:80]!r} is no object id with version") from None
            result = await _prove(client, trust, object_id, version)
            good = good and result["verified"]
            print_json(result)
    return 0 if good else 1


async def _tx(given: argparse.Namespace) -> int:
    config = load_config(given.config)
    if given.verb == "put":
        try:
            text = await asyncio.to_thread(Path(given.what).read_text, encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise RefusalError(f"{given.what}: {error}") from None
        return await _submit_all(given, [text])
    async with _connected(config, given.node) as client:
        if given.verb == "prove":
            print_json(await client.call("object", object_id=given.what, version=given.version, proof=True))
            return 0
        trust = read_json(Path(config.genesis))
        result = await _prove(client, trust, given.what, given.version)
    print_json(result)
    return 0 if result["verified"] else 1
