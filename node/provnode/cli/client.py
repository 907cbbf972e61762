"""What a client does: sign and submit objects, read them back with proofs verified here."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from provnode.cli.keys import find_kek, load_key
from provnode.cli.main import RefusalError, print_json
from provnode.crypto import CryptoError, get_provider
from provnode.crypto.sealed import opener
from provnode.ledger.canonical import CanonicalError, Json, decode
from provnode.ledger.errors import GenesisError
from provnode.ledger.genesis import Genesis, load_genesis
from provnode.ledger.transactions import KIND_OBJECT, sign_transaction
from provnode.light import ProofError, Trust, follow, verify_proof
from provnode.net.tls import Identity, NetError, Peer
from provnode.ops.config import Config, ConfigError, load_config
from provnode.rpc.client import CallError, Client

_LONGEST_LINE = 8 * 1024 * 1024
_WAIT_SECONDS = 60
_LAST_HEIGHT = 2**53 - 1


def tx(given: argparse.Namespace) -> int:
    """``tx put|get|prove``: one object."""
    return guarded(_tx(given))


def submit(given: argparse.Namespace) -> int:
    """Objects from standard input, results to standard output; 1 if any was refused."""
    return guarded(_submit_all(Host.load(given), list(_lines())))


def read(given: argparse.Namespace) -> int:
    """Object ids and versions from standard input, objects to standard output; 1 if any didn't verify."""
    return guarded(_read_all(Host.load(given)))


def guarded(work: Coroutine[None, None, int]) -> int:
    """Run a command that asks a node. Raises RefusalError for what went wrong with it."""
    try:
        return asyncio.run(work)
    except (CallError, CryptoError, NetError) as error:
        raise RefusalError(str(error)) from None


def _lines() -> Iterator[bytes]:
    number = 0
    while line := sys.stdin.buffer.readline(_LONGEST_LINE + 1):
        number += 1
        if len(line) > _LONGEST_LINE:
            raise RefusalError(f"standard input: line {number} is longer than {_LONGEST_LINE} bytes")
        if line.strip():
            yield line


class Caller(Protocol):
    """What a proof is asked of."""

    async def call(self, method: str, **params: object) -> Any:  # noqa: ANN401  # each method has its own result
        """Call a method and return its result. Raises CallError."""


@dataclass(frozen=True, slots=True)
class Host:
    """This host's configuration, the genesis that it trusts, and the node to ask (None: any)."""

    config: Config
    genesis: Genesis
    node: str | None

    @classmethod
    def load(cls, given: argparse.Namespace) -> Host:
        """Read what the command line names. Raises RefusalError."""
        try:
            config = load_config(given.config)
            return cls(config, load_genesis(Path(config.genesis)), given.node)
        except (ConfigError, GenesisError) as error:
            raise RefusalError(str(error)) from None

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[tuple[Client, str]]:
        """Connect to that node; without a name to this host's own, else to the first peer.

        Gives the client and the node's organisation. Raises RefusalError, CallError, NetError.
        """
        config, organisation = self.config, self.config.organisation
        if config.listen is not None and self.node in (None, config.name):
            client = await Client.local(Path(config.admin_socket))
        else:
            peer = next((p for p in config.peers if self.node in (None, p.name)), None)
            if peer is None:
                known = ", ".join(p.name for p in config.peers) or "none"
                raise RefusalError(f"node {self.node!r} is not in the configuration; known: {known}")
            files, organisation = config.identity, peer.organisation
            allowed = frozenset(self.genesis.organisations)
            paths = Path(files.key), Path(files.cert), Path(files.trust_dir)
            kek = find_kek(config.kek_credential, get_provider(config.provider), config.old_kek_credential)
            identity = Identity(*paths, allowed, opener("tls", kek))
            expected = Peer(peer.name, organisation)
            client = await Client.remote(peer.address, peer.rpc_port, identity, expected)
        try:
            yield client, organisation
        finally:
            await client.close()


@dataclass(frozen=True, slots=True)
class _Sent:
    """What became of one object on its way in."""

    object_id: object
    version: object
    txid: str = ""
    code: str = ""
    error: str = ""


class Signer:
    """Signs as the client that the configuration names. Raises RefusalError on making."""

    def __init__(self, host: Host) -> None:
        config = host.config
        if not config.client_key:
            raise RefusalError("client_key: is missing in the configuration; this host may not submit")
        self.provider = get_provider(config.provider)
        kek = find_kek(config.kek_credential, self.provider, config.old_kek_credential)
        self.key = load_key(Path(config.client_key), self.provider, "client", kek)
        self.id = config.client_id
        self._genesis = host.genesis.hash

    async def send(self, client: Client, line: bytes) -> _Sent:
        """Sign an object and hand it in."""
        try:
            found = decode(line)
            raw, txid = sign_transaction(self.provider, self.key, self.id, self._genesis, KIND_OBJECT, found)
        except CanonicalError as error:
            return _Sent(None, None, code="malformed", error=str(error))
        content: Any = found
        for key in ("header", "content"):
            content = content.get(key) if isinstance(content, dict) else None
        content = content if isinstance(content, dict) else {}
        object_id, version = content.get("object_id"), content.get("version")
        try:
            await client.call("submit_transaction", transaction=raw.hex())
        except CallError as error:
            return _Sent(object_id, version, txid.hex(), _code(error), str(error))
        return _Sent(object_id, version, txid.hex())

    async def hand_in(self, host: Host, kind: str, body: Json) -> int:
        """Sign a transaction of this kind, submit it, wait for its block, and print what became of it."""
        raw, txid = sign_transaction(self.provider, self.key, self.id, self._genesis, kind, body)
        result: dict[str, Any] = {"txid": txid.hex(), "height": None}
        async with host.connected() as (client, _):
            try:
                answer = await client.call(
                    "submit_transaction", transaction=raw.hex(), wait_seconds=_WAIT_SECONDS
                )
                result |= {"height": answer["height"], "ok": True, "code": "", "error": ""}
            except CallError as error:
                result |= {"ok": False, "code": _code(error), "error": str(error)}
        print_json(result)
        return 0 if result["ok"] else 1


def _code(error: CallError) -> str:
    return error.code or ("refused" if error.answered else "connection")


async def _submit_all(host: Host, lines: list[bytes]) -> int:
    signer = Signer(host)
    good = True
    async with host.connected() as (client, _):
        # all are handed in before the first is waited for, so that they share blocks
        sent = [await signer.send(client, line) for line in lines]
        for item in sent:
            result = await _outcome(client, item)
            good = good and result["ok"]
            print_json(result)
    return 0 if good else 1


async def _outcome(client: Client, item: _Sent) -> dict[str, Any]:
    result = {"object_id": item.object_id, "version": item.version, "txid": item.txid, "height": None}
    if item.code:
        return result | {"ok": False, "code": item.code, "error": item.error}
    try:
        answer = await client.call("wait_transaction", txid=item.txid, seconds=_WAIT_SECONDS)
    except CallError as error:
        return result | {"ok": False, "code": _code(error), "error": str(error)}
    height = answer.get("height") if isinstance(answer, dict) else None
    if type(height) is not int:
        return result | {"ok": False, "code": "connection", "error": "the node told no height"}
    return result | {"height": height, "ok": True, "code": "", "error": ""}


async def believe(host: Host, client: Caller) -> Trust:
    """From the genesis to the newest validators, as far as the node has proofs. Raises CallError."""
    provider = get_provider(host.config.provider)
    trust, height = Trust.of_genesis(host.genesis.document, provider), 0
    try:
        while height is not None:
            page = await client.call("handovers", from_height=trust.height + 1, to_height=_LAST_HEIGHT)
            trust = follow(trust, page["handovers"], provider)
            height = page["next_height"]
    except (ProofError, KeyError, TypeError) as error:
        raise CallError(f"the node's handovers prove nothing: {error}") from None
    return trust


async def prove(
    host: Host, client: Caller, organisation: str, trust: Trust, object_id: str, version: int | None
) -> dict[str, Any]:
    """Read an object with its proof and verify it; the result says whether it holds."""
    result = {"object_id": object_id, "version": version, "height": None, "organisation": organisation}
    try:
        bundle = await client.call(
            "object", object_id=object_id, version=version, proof=True, trusted_height=trust.height
        )
        if not isinstance(bundle, dict):
            raise ProofError("the node answered with no bundle")
        found = verify_proof(bundle, trust, get_provider(host.config.provider))
        if found.object_id != object_id or version not in (None, found.version):
            raise ProofError(f"the proof is of {found.object_id[:128]!r} version {found.version}")
    except ProofError as error:
        return result | {"verified": False, "error": str(error)}
    except CallError as error:
        if not error.answered:
            raise
        return result | {"verified": False, "error": str(error)}
    return result | {
        "version": found.version,
        "height": found.height,
        "verified": True,
        "object": found.object,
    }


async def _read_all(host: Host) -> int:
    good = True
    async with host.connected() as (client, organisation):
        trust = await believe(host, client)
        for line in _lines():
            result = await prove(host, client, organisation, trust, *_asked(line))
            good = good and result["verified"]
            print_json(result)
    return 0 if good else 1


def _asked(line: bytes) -> tuple[str, int | None]:
    try:
        asked = json.loads(line)
        object_id, version = asked["object_id"], asked.get("version")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        object_id = version = None
    if not isinstance(object_id, str) or isinstance(version, bool) or not isinstance(version, int | None):
        needed = '{"object_id": "…", "version": 0}'
        raise RefusalError(f"standard input: found {line[:80]!r}, needed is {needed}")
    return object_id, version


async def _tx(given: argparse.Namespace) -> int:
    host = Host.load(given)
    if given.verb == "put":
        try:
            text = await asyncio.to_thread(Path(given.what).read_bytes)
        except OSError as error:
            raise RefusalError(f"{given.what}: {error.strerror}") from None
        return await _submit_all(host, [text])
    async with host.connected() as (client, organisation):
        if given.verb == "prove":
            print_json(await client.call("object", object_id=given.what, version=given.version, proof=True))
            return 0
        trust = await believe(host, client)
        result = await prove(host, client, organisation, trust, given.what, given.version)
    print_json(result)
    return 0 if result["verified"] else 1
