"""What is on the chain, and what leads to it: documents, transactions and what they carry, blocks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

import msgspec
from provnode import wire
from provnode.crypto.crl import read_crl
from provnode.crypto.hashing import pack
from provnode.ledger import canonical, merkle
from provnode.ledger.canonical import CanonicalError, Json
from provnode.ledger.changes import decode_state, encode_state, parse_change
from provnode.ledger.errors import BlockError, GenesisError, TxError
from provnode.ledger.genesis import load_genesis
from provnode.ledger.objects import parse_object
from provnode.ledger.objecttype import type_of
from provnode.ledger.snapshot import SnapshotError, check_manifest, rebuild
from provnode.ledger.transactions import decode_transaction
from provnode.wire import snapshots
from tests.fuzz import targets_wire
from tests.fuzz.certificates import CRL
from tests.fuzz.target import Target
from tests.fuzz.world import (
    PROVIDER,
    change,
    committed,
    document,
    genesis,
    item,
    registration,
    revocation,
    scratch,
    transaction,
    votes,
    world,
)

_JSON = (b'{"a":[1,-2.5,true,null,"\xe4\xb8\x80"],"b":{"c":""}}', b'["\\n\\"\\u0001",1e-7,9007199254740991]')
_numbers = itertools.count()


def _canonical(raw: bytes) -> None:
    found = canonical.decode_canonical(raw)
    assert canonical.encode(found) == raw, "two spellings of one value"
    # the quick way must take nothing that the full rules would not
    assert canonical.decode(raw) == found


def _any_json(raw: bytes) -> None:
    found = canonical.decode(raw)
    assert canonical.decode_canonical(canonical.encode(found)) == found


def _genesis(raw: bytes) -> None:
    path = scratch() / "genesis.json"
    path.write_bytes(raw)
    found = load_genesis(path)
    assert found.most_validators >= len(found.validators)


def _transaction(raw: bytes) -> None:
    found = decode_transaction(raw, genesis().hash, 65_536)
    payload = pack([1, genesis().hash, found.kind, found.raw_body])
    assert pack([payload, found.signer_id, found.signature]) == raw, "two spellings of one transaction"


def _applied(raw: bytes) -> None:
    """A transaction of any body, as if its signer had signed it: what check_tx says, a block does."""
    asked: Any = canonical.decode(raw)
    if not isinstance(asked, dict) or not isinstance(asked.get("kind"), str):
        return
    signer = asked.get("signer")
    made = transaction(asked["kind"], asked.get("body"), signer if isinstance(signer, str) else "s@zjex")
    if asked["kind"] == "evidence":
        made = pack([msgspec.msgpack.decode(made)[0], "", b""])
    ledger = world().ledger
    block = ledger.build_block(ledger.last_time_ms + 1, "v1", [made])
    ledger._prepared.clear()  # so that it is executed again, as on every other node
    included = ledger.validate_block(block, 2**50).txs == (made,)
    try:
        ledger.check_tx(made, ledger.last_time_ms + 1)
    except TxError:
        assert not included
        raise
    assert included


def _bodies() -> list[bytes]:
    other = wire.make_evidence(*votes(3))
    found: list[tuple[str, Json, str]] = [
        ("object", item(0, "create", {"title": "新"}, "o-9"), "u1@zjex"),
        ("object", item(2, "update", {"tags": ["b"]}), "s@zjex"),
        ("object", item(1, "overwrite", {"title": "改", "amount": 5}), "s@zjex"),
        ("object", item(2, "delete", {}), "s@zjex"),
        ("register_user", registration("u2@zjfin"), "s@zjfin"),
        ("membership", change(2, "v6", 99), "s@zjex"),
        ("revocation", revocation(), "s@zjex"),
        ("evidence", {"evidence": wire.encode_evidence(other).hex()}, ""),
    ]
    return [canonical.encode({"kind": kind, "body": body, "signer": who}) for kind, body, who in found]


def _object(raw: bytes) -> None:
    value = canonical.decode_canonical(raw)
    if isinstance(value, dict):
        found = parse_object(value, raw, genesis().schemas.check)
        assert canonical.decode_canonical(found.raw_body) == found.body


def _state(raw: bytes) -> None:
    assert encode_state(decode_state(raw)) == raw, "two spellings of one membership"


def _pending() -> bytes:
    pending = parse_change(change(2, "v6", 99)["change"])
    return encode_state(replace(world().ledger.membership, pending=(pending,)))


def _list(raw: bytes) -> None:
    found = read_crl(raw, "zjex")
    assert read_crl(found.der, "zjex") == found


def _validated(raw: bytes) -> None:
    """A proposed block whose parent, validators and time fit."""
    ledger = world().ledger
    with suppress(wire.WireError):
        found = wire.decode_block(raw)
        fitting = wire.decode_block(ledger.build_block(ledger.last_time_ms + 1, "v1", [])).header
        header = replace(
            fitting,
            proposer=found.header.proposer,
            time_ms=found.header.time_ms,
            tx_root=merkle.root([merkle.leaf_hash(tx) for tx in found.txs]),
            tx_count=len(found.txs),
            last_commit_hash=wire.certificate_hash(found.last_commit),
            state_root=found.header.state_root,
        )
        raw = wire.encode_block(replace(found, header=header))
    ledger.validate_block(raw, 2**50)


def _next_block() -> list[bytes]:
    ledger = world().ledger
    txs = [transaction("object", item(2, "update", {"amount": 5}))]
    return [ledger.build_block(ledger.last_time_ms + 1, "v1", txs), ledger.stored_block(1)[0]]


def _offered(raw: bytes) -> None:
    check_manifest(snapshots.decode_manifest(raw), genesis(), PROVIDER)


def _joined(raw: bytes) -> None:
    """A snapshot of one chunk that a validator made and signed, whatever is in it."""
    manifest = targets_wire.manifest([raw])
    path = scratch() / f"joined-{next(_numbers)}.sqlite"
    try:
        rebuild(manifest, [raw], genesis(), PROVIDER, path)
    finally:
        assert path.exists() == (raw == _chunk()), "a state that is not this chain's was taken"
        for left in scratch().glob(path.name + "*"):
            left.unlink()


def _chunk() -> bytes:
    return snapshots.encode_chunk(targets_wire.records())


def _chunks() -> list[bytes]:
    found = targets_wire.records()
    again = next(one for one in found if isinstance(one, snapshots.UserRecord))
    twice = [*found, snapshots.StateRecord("user", again.id, b"value")]
    return [_chunk(), snapshots.encode_chunk(found[:2]), snapshots.encode_chunk(twice)]


def _of(make: Callable[[], Json]) -> Callable[[], list[bytes]]:
    return lambda: [canonical.encode(make())]


TARGETS = (
    Target("canonical", _canonical, (CanonicalError,), lambda: _JSON, "json"),
    Target("json", _any_json, (CanonicalError,), lambda: [*_JSON, b' { "b" : 1.0 , "a" : 2 } '], "json"),
    Target("genesis", _genesis, (GenesisError,), _of(document), "json"),
    Target(
        "transaction",
        _transaction,
        (TxError,),
        lambda: [raw for txs in committed() for raw in txs],
        "msgpack",
    ),
    Target("applied", _applied, (TxError, CanonicalError), _bodies, "json"),
    Target(
        "object", _object, (TxError, CanonicalError), _of(lambda: item(0, "create", {"title": "一"})), "json"
    ),
    Target(
        "membership",
        _state,
        (ValueError,),
        lambda: [encode_state(world().ledger.membership), _pending()],
        "json",
    ),
    Target("snapshot_type", type_of, (ValueError,), _of(lambda: item(0, "create", {"title": "一"})), "json"),
    Target("crl", _list, (ValueError,), lambda: [CRL]),
    Target("proposed", _validated, (BlockError,), _next_block, "msgpack"),
    Target(
        "offered",
        _offered,
        (wire.WireError, SnapshotError),
        lambda: [snapshots.encode_manifest(targets_wire.manifest([_chunk()]))],
        "msgpack",
    ),
    Target("joined", _joined, (wire.WireError, SnapshotError), _chunks, "msgpack"),
)
