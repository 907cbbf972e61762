"""The chain that targets meet: the same with every run, so that a corpus keeps its meaning.

Its keys are made up, and signatures hold unless they begin with FF: what is fuzzed is what lies behind them,
and a fuzzer doesn't sign. The real signatures have targets of their own.
"""

from __future__ import annotations

import asyncio
import atexit
import base64
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar, cast

from provnode import wire
from provnode.core.types import Certificate, CommitSig, Validator, Vote, VoteType
from provnode.crypto.hashing import sm3
from provnode.crypto.provider import PrivateKey, Provider, get_provider
from provnode.ledger.app import Ledger
from provnode.ledger.canonical import Json, JsonObject
from provnode.ledger.changes import approve, change_json
from provnode.ledger.genesis import Genesis, parse_genesis
from provnode.ledger.membership import Action, Change, Place
from provnode.ledger.misconduct import evidence_transaction
from provnode.ledger.objects import PROTOCOL
from provnode.ledger.transactions import sign_transaction
from provnode.net.connection import Connection
from provnode.net.identity import Identity, PeerIdentity
from provnode.ops.node import Node, Setup
from tests.fuzz.certificates import CRL

TIME_MS = 1_770_000_000_000
SIGNATURE = b"a signature that holds"
ORGANISATIONS = ("zjcsd", "zjdata", "zjex", "zjfin")
T = TypeVar("T")


@cache
def scratch() -> Path:
    """A folder of this process, gone when it ends."""
    found = Path(tempfile.mkdtemp(prefix="provnode-fuzz-"))
    atexit.register(shutil.rmtree, found, ignore_errors=True)
    return found


def point(name: str) -> bytes:
    """The public key that goes by this name."""
    return b"\x04" + sm3(name.encode()) + sm3(name.encode() + b"y")


@dataclass(frozen=True)
class _Key:
    public: bytes


class Lenient:
    """`Provider` whose signatures hold unless they begin with FF; all else is the native library's."""

    name = "lenient"

    def __init__(self) -> None:
        real = get_provider("native")
        self.hash, self.hash_batch, self.seal, self.open = real.hash, real.hash_batch, real.seal, real.open

    def generate(self) -> PrivateKey:
        return _Key(point("generated"))

    def load_private(self, pem: bytes) -> PrivateKey:
        return _Key(point(pem.decode()))

    def save_private(self, key: PrivateKey) -> bytes:
        return key.public

    def public_key(self, key: PrivateKey) -> bytes:
        return key.public

    def sign(self, key: PrivateKey, message: bytes) -> bytes:
        return SIGNATURE

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        return signature[:1] != b"\xff"

    def verify_batch(self, items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
        return [self.verify(*item) for item in items]


PROVIDER: Provider = Lenient()


def document() -> dict[str, Any]:
    """The genesis document."""
    return {
        "format": 1,
        "network": "test",
        "chain_id": "zhejiang",
        "time_ms": TIME_MS,
        "organisations": [
            {"name": name, "title": name, "uscc": "91330000000000000X", "role": "operator"}
            | ({"ca": point("ca").hex()} if name == "zjex" else {})
            for name in ORGANISATIONS
        ],
        "validators": [
            {"name": f"v{n}", "organisation": name, "public_key": point(f"v{n}").hex(), "power": 1}
            for n, name in enumerate(ORGANISATIONS, start=1)
        ],
        "signers": [
            {"id": f"s@{name}", "organisation": name, "public_key": point(f"s@{name}").hex()}
            for name in ORGANISATIONS
        ],
        "params": {
            "max_block_bytes": 262_144,
            "max_tx_bytes": 65_536,
            "block_interval_ms": 100,
            "propose_timeout_ms": 1_000,
            "vote_timeout_ms": 500,
            "timeout_delta_ms": 250,
        },
        "schemas": {
            "note": {
                "type": "object",
                "required": ["title"],
                "properties": {
                    "title": {"type": "string", "pattern": "^[^x]*$"},
                    "amount": {"type": "integer", "multipleOf": 5},
                    "tags": {"type": "array", "items": {"type": "string"}, "uniqueItems": True},
                },
            },
            "any": {},
        },
    }


@cache
def genesis() -> Genesis:
    """The genesis."""
    return parse_genesis(document())


def item(version: int, operation: str, body: JsonObject, object_id: str = "o-1") -> dict[str, Json]:
    """A business object."""
    content: JsonObject = {
        "type": "note",
        "object_id": object_id,
        "version": version,
        "operation": operation,
        "timestamp": TIME_MS // 1000,
    }
    seal: Json = {
        "pub_key": {"type": "SM2", "value": point("owner").hex()},
        "digest_algo": "SM3",
        "signature": SIGNATURE.hex(),
    }
    header: JsonObject = {
        "model": {"protocol": PROTOCOL, "version": "1.0"},
        "content": content,
        "remark": "备注",
        "seal": [seal],
        "metadata": {"a": [1, None, {"b": True}]},
    }
    return {"header": header, "body": body}


def transaction(kind: str, body: Json, signer: str = "s@zjex") -> bytes:
    """A signed transaction."""
    return sign_transaction(PROVIDER, _Key(point(signer)), signer, genesis().hash, kind, body)[0]


def votes(height: int = 1) -> tuple[Vote, Vote]:
    """Two precommits of v2 that contradict each other."""
    one, other = (Vote(VoteType.PRECOMMIT, height, 0, block * 32, "v2", SIGNATURE) for block in (b"A", b"B"))
    return one, other


def change(sequence: int = 1, name: str = "v5", at: int = 12) -> JsonObject:
    """The body of a transaction that adds a validator, which every organisation approves."""
    validator = Validator(name, "zjex", point(name), 1)
    found = Change(Action.ADD, validator, at, sequence, Place("192.0.2.9", 26656))
    approvals: list[Json] = [
        approve(PROVIDER, _Key(point(f"s@{one}")), f"s@{one}", genesis(), found) for one in ORGANISATIONS
    ]
    return {"change": change_json(found), "approvals": approvals}


def revocation() -> JsonObject:
    """The body of a transaction that revokes a certificate."""
    return {"organisation": "zjex", "crl": base64.b64encode(CRL).decode()}


def registration(user: str = "u1@zjex") -> JsonObject:
    """The body of a transaction that registers a user."""
    return {"id": user, "public_key": point(user).hex(), "proof": SIGNATURE.hex()}


def committed() -> list[list[bytes]]:
    """The transactions of the chain, block by block."""
    return [
        [transaction("object", item(0, "create", {"title": "一", "amount": 5, "tags": ["a"]}))],
        [
            transaction("object", item(1, "update", {"amount": 10, "tags": None})),
            transaction("register_user", registration()),
            evidence_transaction(genesis().hash, wire.make_evidence(*votes())),
        ],
        [transaction("membership", change(), "s@zjfin"), transaction("revocation", revocation())],
        [
            transaction("object", item(0, "overwrite", {"title": "二"})),
            transaction("object", item(0, "create", {"title": "三"}, "o-2"), "u1@zjex"),
        ],
        [transaction("object", item(1, "delete", {}, "o-2"), "u1@zjex")],
        *([] for _ in range(8)),
    ]


def grow(ledger: Ledger) -> None:
    """Commit the chain's blocks."""
    for txs in committed():
        raw = ledger.build_block(ledger.last_time_ms + 1000, "v1", txs)
        block_id = wire.decode_block(raw).block_id
        signatures = tuple(CommitSig(one.name, SIGNATURE) for one in ledger.validators)
        done = ledger.commit(raw, Certificate(ledger.height + 1, 0, block_id, signatures))
        assert len(done.txids) == len(txs), "a transaction of the chain was left out"


class _Inline(ThreadPoolExecutor):
    """Runs at once what is for another thread: the same each time, and seen by who watches this thread."""

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:  # noqa: ANN401 - as its base
        done: Future[T] = Future()
        try:
            done.set_result(fn(*args, **kwargs))
        except BaseException as error:
            done.set_exception(error)
        return done


class World:
    """A node that has the chain and no network, in an event loop that runs while it is asked something."""

    def __init__(self) -> None:
        own = PeerIdentity("v1", "zjcsd", datetime(2126, 1, 1, tzinfo=UTC))
        identity = cast(
            Identity, SimpleNamespace(own=own, shown=own, revoke=lambda _: None, on_revoked=lambda _: None)
        )
        folder = scratch() / "node"
        setup = Setup(genesis(), identity, None, PROVIDER, folder, "127.0.0.1", 1, ())
        self.loop = asyncio.new_event_loop()
        self.loop.set_default_executor(_Inline())
        self.node = self.run(self._start(setup))
        self.ledger = self.node.ledger
        grow(self.ledger)

    async def _start(self, setup: Setup) -> Node:
        node = Node(setup)
        node._threads._writer = node._threads._checkers = _Inline()
        # the one part that answers what clients and peers bring
        self._task = asyncio.create_task(node._submissions.run())
        return node

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run until it is done. Raises what ended a part of the node meanwhile."""
        try:
            return self.loop.run_until_complete(work)
        finally:
            if self._task.done():
                self._task.result()


@cache
def world() -> World:
    """The world of this process."""
    return World()


class Peer:
    """A connected peer, as far as gossip looks at it; what it is sent is dropped."""

    name = "v2"
    organisation = "zjdata"

    def send(self, body: bytes, *, urgent: bool) -> bool:
        wire.decode_message(body)
        return True


def peer() -> Connection:
    """A peer."""
    return cast(Connection, Peer())
