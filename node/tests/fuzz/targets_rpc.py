"""What clients send, and what clients and auditors are given: requests, answers, bundles, files."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, cast

from provnode.cli import client as cli_client
from provnode.cli import membership as cli_membership
from provnode.cli import verify as cli_verify
from provnode.cli.main import RefusalError
from provnode.ledger.canonical import Json, encode
from provnode.light import ProofError, Trust, verify_absence, verify_proof, verify_state
from provnode.net.events import log_event
from provnode.ops import logs
from provnode.rpc.access import LOCAL
from provnode.rpc.client import CallError, Client
from provnode.rpc.dispatch import Dispatcher
from provnode.rpc.errors import INTERNAL
from provnode.rpc.methods import Methods
from provnode.rpc.server import RpcServer
from tests.fuzz.target import Target
from tests.fuzz.world import PROVIDER, change, document, genesis, item, scratch, transaction, world

# no request of a fuzzer is worth waiting for
_SECONDS = 0.05


class RefusedError(Exception):
    """The request was answered with an error, as it should be."""


def _transaction() -> str:
    return transaction("object", item(2, "update", {"amount": 5})).hex()


def calls() -> dict[str, list[dict[str, Json]]]:
    """For every method of the RPC, parameters that it takes."""
    ledger = world().ledger
    txid = str(ledger.objects(1)[0]["txid"])
    return {
        "node_status": [{}],
        "network_list": [{}],
        "network_options": [{}, {"id": "test"}],
        "network_status": [{"id": "test"}],
        "block": [{"height": 2}],
        "transaction": [{"txid": txid}],
        "consensus_state": [{"height": 12}],
        "objects": [{"height": 4}],
        "object": [
            {"object_id": "o-1"},
            {"object_id": "o-1", "version": 0, "proof": True, "trusted_height": 3},
        ],
        "state": [
            {"kind": "user", "id": "u1@zjex"},
            {"kind": "membership", "id": "", "trusted_height": 12},
            {"kind": "revocation", "id": "zjex"},
        ],
        "handovers": [{"from_height": 1, "to_height": 99}],
        "membership": [{}],
        "evidence": [{}, {"after": "", "count": 1}],
        "submit_transaction": [
            {"transaction": _transaction()},
            {"transaction": _transaction(), "wait_seconds": 1},
        ],
        "submit_transactions": [{"transactions": [_transaction(), "00"]}],
        "wait_transaction": [{"txid": txid, "seconds": 1}],
        "rekey": [{}],
        "log_level": [{}, {"level": "info"}],
    }


def _requests() -> list[bytes]:
    found: list[Json] = [
        {"jsonrpc": "2.0", "id": number, "method": name, "params": params}
        for name, every in calls().items()
        for number, params in enumerate(every)
    ]
    batch: Json = [found[0], {"jsonrpc": "2.0", "method": "block"}, found[1]]
    return [encode(one) for one in (*found, batch)]


@cache
def _dispatcher() -> Dispatcher:
    return Dispatcher(Methods(world().node), _SECONDS)


def _request(raw: bytes) -> None:
    level = logging.getLogger().level
    try:
        found = world().run(_dispatcher().answer(LOCAL, raw))
    finally:
        logging.getLogger().setLevel(level)
    if found is None:
        return
    answers = json.loads(found)
    refused = 0
    for one in answers if isinstance(answers, list) else [answers]:
        assert one.keys() in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"})
        if "error" in one:
            refused += 1
            assert one["error"]["code"] != INTERNAL, f"the node failed to answer: {one}"
            assert len(one["error"]["message"]) <= 2_000, "an answer as long as its asker likes"
    if refused:
        raise RefusedError("an error")


class _Channel:
    """A connection that brings these bytes, a few at a time, and then ends."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self.sent = b""

    async def read(self, most: int = 65_536) -> bytes:
        found, self._raw = self._raw[:most], self._raw[most:]
        return found

    async def write(self, data: bytes) -> None:
        self.sent += data

    async def close(self) -> None:
        pass


@cache
def _server() -> RpcServer:
    server = RpcServer(world().node)
    server._dispatcher = _dispatcher()
    return server


def _http(raw: bytes) -> None:
    channel = _Channel(raw)
    world().run(_server()._serve(channel, LOCAL))
    assert channel.sent[:9] in (b"", b"HTTP/1.1 ")
    # 503: the node is not well; 501: a transfer coding that h11 doesn't know
    assert channel.sent[9:12] not in (b"500", b"502", b"504")
    if not channel.sent.startswith(b"HTTP/1.1 2"):
        raise RefusedError("no good request")


def _https() -> list[bytes]:
    body = _requests()[0]
    post = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    chunked = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n"
    return [
        post + body + b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n",
        chunked % (len(body), body),
        b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\n{}",
    ]


def _answer(raw: bytes) -> None:
    async def ask() -> object:
        return await Client(cast(Any, _Channel(raw)), "a node", 1.0).call("node_status")

    world().run(ask())


def _answers() -> list[bytes]:
    bodies: list[Json] = [
        {"jsonrpc": "2.0", "id": 1, "result": {"height": 1}},
        {
            "jsonrpc": "2.0",
            "id": 1,
            "error": {"code": -32001, "message": "no", "data": {"code": "not_found"}},
        },
    ]
    head = b"HTTP/1.1 200 \r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n"
    return [head % len(encode(body)) + encode(body) for body in bodies]


def trust() -> Trust:
    """The genesis as the light client begins with it."""
    return Trust.of_genesis(document(), PROVIDER)


def _proven(verify: Callable[..., Any]) -> Callable[[bytes], None]:
    def run(raw: bytes) -> None:
        path = scratch() / "bundle.json"
        path.write_bytes(raw)
        found = verify(cli_verify._read(path), trust(), PROVIDER)
        assert found.trust.height <= found.height == world().ledger.height

    return run


def _bundles(make: Callable[[], Json]) -> Callable[[], Sequence[bytes]]:
    return lambda: [encode(make())]


def _told(raw: bytes) -> None:
    path = scratch() / "bundle.json"
    path.write_bytes(raw)
    cli_verify._verified(cli_verify._read(path), trust())


def _trusted(raw: bytes) -> None:
    path = scratch() / "trust.json"
    path.write_bytes(raw)
    found = cli_verify.read_trust(path)
    assert Trust.from_json(found.as_json()) == found


def _approval(raw: bytes) -> None:
    path = scratch() / "approval.json"
    path.write_bytes(raw)
    cli_membership._read(path, genesis())


def _approvals() -> list[bytes]:
    body = change()
    proposal: dict[str, Json] = {"genesis_hash": genesis().hash.hex(), "change": body["change"]}
    approvals = cast(list[Json], body["approvals"])
    return [encode(proposal), encode(proposal | {"approval": approvals[0]})]


def _log_line(raw: bytes) -> None:
    """What came from outside stands in a log line as a value, and makes no line or field of its own."""
    text = raw.decode(errors="surrogateescape")
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(logs.JsonLines().format(record))  # type: ignore[method-assign] # to look at
    logger = logging.Logger("fuzz")
    logger.addHandler(handler)
    log_event(logger, logging.ERROR, "peer.lost", peer=text, organisation="zjex")
    (line,) = lines
    assert "\n" not in line
    found = json.loads(line)
    assert (found["event"], found["fields"]) == ("peer.lost", {"peer": text[:200], "organisation": "zjex"})


TARGETS = (
    Target("rpc", _request, (RefusedError,), _requests, "json"),
    Target("http", _http, (RefusedError,), _https),
    Target("rpc_answer", _answer, (CallError,), _answers),
    Target(
        "proof",
        _proven(verify_proof),
        (ProofError, RefusalError),
        lambda: [encode(world().ledger.prove("o-1", 0)), encode(world().ledger.prove("o-1", 1, 12))],
        "json",
    ),
    Target(
        "proof_of_absence",
        _proven(verify_absence),
        (ProofError, RefusalError),
        _bundles(lambda: world().ledger.prove_absence("o-1", 7)),
        "json",
    ),
    Target(
        "proof_of_state",
        _proven(verify_state),
        (ProofError, RefusalError),
        _bundles(lambda: world().ledger.prove_state("membership", "")),
        "json",
    ),
    Target(
        "bundle",
        _told,
        (ProofError, RefusalError),
        _bundles(lambda: world().ledger.prove_state("user", "u1@zjex")),
        "json",
    ),
    Target("trust", _trusted, (ProofError, RefusalError), lambda: [encode(trust().as_json())], "json"),
    Target("approval", _approval, (RefusalError,), _approvals, "json"),
    Target("log_line", _log_line, (), lambda: [b"10.77.10.12", b"a b='c' \"d\"\n"]),
    Target(
        "asked",
        cli_client._asked,
        (RefusalError,),
        lambda: [b'{"object_id":"o","version":1}\n', b'{"object_id":"o"}'],
        "json",
    ),
)
