"""The interfaces of JR/T 0314 clause 7, and genesis documents that are refused."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from provnode.crypto.hashing import pack
from provnode.ledger.app import Ledger
from provnode.ledger.errors import GenesisError, NotFoundError
from provnode.ledger.genesis import load_genesis, parse_genesis
from provnode.ledger.transactions import registration_body
from tests.ledger.ledgerkit import TIME_MS, Chain, item

CHAIN = Chain()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    ledger = CHAIN.ledger(tmp_path / "s.db")
    CHAIN.extend(ledger, item("a"), item("b"))
    body = registration_body(CHAIN.provider, CHAIN.provider.generate(), "clerk@zjex", CHAIN.genesis.hash)
    register = CHAIN.tx(body, kind="register_user")
    CHAIN.extend(ledger, item("a", 1, "update", {"amount": 1}), raws=[register])
    return ledger


def test_block(ledger: Ledger) -> None:
    first, second = ledger.block(1), ledger.block(2)
    assert first["previous"] == {"height": 0, "hash": CHAIN.genesis.hash.hex()}
    assert second["previous"] == {"height": 1, "hash": first["hash"]}
    assert (second["hash"], second["height"]) == (ledger.last_block_id.hex(), 2)
    assert (second["time_ms"], second["proposer"]) == (TIME_MS + 2000, "v1")
    assert isinstance(second["transactions"], list)
    assert len(second["transactions"]) == 2
    header: Any = second["header"]
    assert (header["state_root"], header["tx_count"]) == (ledger.state_root.hex(), 2)
    assert (first["chain_id"], first["network"]) == ("zhejiang", "test")
    json.dumps(first)


def test_transaction(ledger: Ledger) -> None:
    ids: Any = ledger.block(2)["transactions"]
    register, update = (ledger.transaction(bytes.fromhex(txid)) for txid in ids)
    assert register["operations"] == [{"type": "register_user", "user": "clerk@zjex", "result": "success"}]
    assert update["operations"] == [
        {"type": "update", "object_type": "note", "object_id": "a", "version": 1, "result": "success"}
    ]
    assert (update["height"], update["position"], update["kind"]) == (2, 1, "object")
    assert (update["signer"], update["organisation"]) == ("a1@zjex", "zjex")
    key = CHAIN.provider.public_key(CHAIN.signers["a1@zjex"])
    signed, signature = bytes.fromhex(str(update["signed"])), bytes.fromhex(str(update["signature"]))
    assert CHAIN.provider.verify_batch([(key, signed, signature)]) == [True]


def test_consensus_state(ledger: Ledger) -> None:
    state: Any = ledger.consensus_state(2)
    assert state["state_root"] == ledger.state_root.hex()
    assert state["transaction_root"] == ledger.block(2)["header"]["tx_root"]  # type: ignore[index, call-overload]  # JSON
    keys = {v["name"]: bytes.fromhex(v["public_key"]) for v in state["validators"]}
    assert sorted(keys) == ["v1", "v2", "v3", "v4"]
    signed = bytes.fromhex(state["signed"])
    assert signed == pack(["provnode.vote", CHAIN.genesis.hash, 2, 2, 0, ledger.last_block_id])
    voted = state["certificate"]["signatures"]
    items = [(keys[v["validator"]], signed, bytes.fromhex(v["signature"])) for v in voted]
    assert CHAIN.provider.verify_batch(items) == [True] * 3


def test_objects_in_a_block(ledger: Ledger) -> None:
    assert [(o["object_id"], o["version"], o["type"]) for o in ledger.objects(1)] == [
        ("a", 0, "create"),
        ("b", 0, "create"),
    ]
    assert [(o["object_id"], o["version"], o["type"]) for o in ledger.objects(2)] == [("a", 1, "update")]


def test_object(ledger: Ledger) -> None:
    newest, first = ledger.object("a"), ledger.object("a", 0)
    assert (newest["version"], first["version"], first["latest"]) == (1, 0, 1)
    assert (newest["height"], first["height"], newest["organisation"]) == (2, 1, "zjex")
    assert first["object"] == item("a")
    assert newest["object"] == item("a", 1, "update", {"title": "一", "amount": 1})


def test_what_is_not_there_is_said_to_be_not_there(ledger: Ledger) -> None:
    for ask in (
        lambda: ledger.block(0),
        lambda: ledger.block(3),
        lambda: ledger.consensus_state(-1),
        lambda: ledger.objects(9),
        lambda: ledger.stored_block(3),
        lambda: ledger.transaction(bytes(32)),
        lambda: ledger.object("c"),
        lambda: ledger.object("a", 2),
        lambda: ledger.prove("c"),
        lambda: ledger.prove("a", 2),
    ):
        with pytest.raises(NotFoundError):
            ask()


# --- genesis


def test_the_genesis_hash_does_not_depend_on_the_spelling(tmp_path: Path) -> None:
    path = tmp_path / "genesis.json"
    path.write_text(json.dumps(CHAIN.document, indent=4, ensure_ascii=True))
    assert load_genesis(path).hash == CHAIN.genesis.hash
    assert parse_genesis({**CHAIN.document, "time_ms": 1}).hash != CHAIN.genesis.hash


KEY = CHAIN.document["validators"][0]["public_key"]
BAD: list[tuple[tuple[str | int, ...], Any, str]] = [
    (("format",), 2, "format: found 2"),
    (("extra",), 1, "extra"),
    (("chain_id",), "", "chain_id"),
    (("time_ms",), -1, "time_ms"),
    (("organisations", 0, "uscc"), "123", "uscc"),
    (("organisations", 1, "name"), "zjex", "twice"),
    (("validators",), [], "at least one"),
    (("validators", 1, "name"), "v1", "twice"),
    (("validators", 0, "organisation"), "nobody", "nobody"),
    (("validators", 0, "public_key"), KEY.upper(), "public_key"),
    (("validators", 1, "public_key"), KEY, "twice"),
    (("validators", 0, "power"), 0, "power"),
    (("signers", 0, "id"), "a2@zjex", "twice"),
    (("signers", 0, "id"), "a1@zjfin", "<name>@zjex"),
    (("signers", 0, "public_key"), KEY, "twice"),
    (("params", "max_block_bytes"), 17 * 1024 * 1024, "max_block_bytes"),
    (("params", "max_tx_bytes"), 10, "max_tx_bytes"),
    (("params", "vote_timeout_ms"), 0, "vote_timeout_ms"),
    (("schemas",), {"note": {"type": "nonsense"}}, "schemas.note"),
    (("schemas",), {"note": {"$ref": "https://example.com/x.json"}}, "schemas.note"),
    (("schemas",), {"note": {"pattern": "(?=x)"}}, "schemas.note"),
    (("schemas",), {"note": 7}, "schemas.note"),
]


@pytest.mark.parametrize(("way", "value", "message"), BAD, ids=[f"{c[0]}={str(c[1])[:9]}" for c in BAD])
def test_a_bad_genesis_is_refused_and_named(way: tuple[str | int, ...], value: object, message: str) -> None:
    bad: Any = copy.deepcopy(CHAIN.document)
    at = bad
    for key in way[:-1]:
        at = at[key]
    at[way[-1]] = value
    with pytest.raises(GenesisError) as error:
        parse_genesis(bad)
    assert message in str(error.value)


def test_a_genesis_file_must_be_there_and_be_json(tmp_path: Path) -> None:
    path = tmp_path / "genesis.json"
    with pytest.raises(GenesisError, match="No such file"):
        load_genesis(path)
    path.write_text('{"format": 1, "format": 1}')
    with pytest.raises(GenesisError, match="twice"):
        load_genesis(path)
