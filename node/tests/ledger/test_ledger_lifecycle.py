"""The life cycle of an object, JR/T 0314 clause 6.5: every rule, and every way to break it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from provnode.ledger.app import Ledger
from provnode.ledger.canonical import JsonObject
from provnode.ledger.errors import TxCode
from provnode.ledger.lifecycle import MAX_REWRITTEN, merge
from tests.ledger.ledgerkit import TIME_MS, Chain, item, refused

CHAIN = Chain()
NOW = TIME_MS // 1000


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return CHAIN.ledger(tmp_path / "s.db")


def body_of(ledger: Ledger, version: int | None = None) -> JsonObject:
    found: Any = ledger.object("o-1", version)["object"]
    body: JsonObject = found["body"]
    return body


def test_the_whole_life_of_an_object(ledger: Ledger) -> None:
    full: JsonObject = {
        "title": "一",
        "amount": 1,
        "tags": ["a"],
        "place": {"city": "杭州", "street": "文三路"},
    }
    CHAIN.extend(ledger, item(body=full))
    patch: JsonObject = {"amount": None, "tags": ["b"], "place": {"street": None}}
    CHAIN.extend(ledger, item(version=1, operation="update", body=patch))
    merged = {"title": "一", "tags": ["b"], "place": {"city": "杭州"}}
    assert (body_of(ledger, 0), body_of(ledger, 1), body_of(ledger)) == (full, merged, merged)
    CHAIN.extend(ledger, item(version=1, operation="overwrite", body={"title": "二"}))
    assert (body_of(ledger, 0), body_of(ledger)) == (full, {"title": "二"})
    CHAIN.extend(ledger, item(version=2, operation="delete", body={}))
    assert ledger.object("o-1")["deleted"] is True
    assert (body_of(ledger), body_of(ledger, 1), body_of(ledger, 0)) == ({}, {"title": "二"}, full)


@pytest.mark.parametrize(
    ("version", "operation"),
    [(3, "update"), (3, "delete"), (0, "overwrite"), (2, "overwrite"), (0, "create")],
)
def test_nothing_follows_a_delete(ledger: Ledger, version: int, operation: str) -> None:
    update, delete = item(version=1, operation="update"), item(version=2, operation="delete", body={})
    CHAIN.extend(ledger, item(), update, delete)
    body: Any = {} if operation == "delete" else {"title": "再"}
    code = refused(CHAIN, ledger, item(version=version, operation=operation, body=body)).code
    assert code == (TxCode.EXISTS if operation == "create" else TxCode.DELETED)


@pytest.mark.parametrize(
    ("version", "operation", "code"),
    [
        (0, "create", TxCode.EXISTS),
        (1, "update", TxCode.STALE_VERSION),
        (1, "delete", TxCode.STALE_VERSION),
        (3, "update", TxCode.VERSION_AHEAD),
        (3, "delete", TxCode.VERSION_AHEAD),
        (2, "overwrite", TxCode.VERSION_AHEAD),
    ],
)
def test_versions_go_up_by_one(ledger: Ledger, version: int, operation: str, code: TxCode) -> None:
    CHAIN.extend(ledger, item(), item(version=1, operation="update"))
    body: Any = {} if operation == "delete" else {"title": "x"}
    error = refused(CHAIN, ledger, item(version=version, operation=operation, body=body))
    assert error.code == code
    assert error.may_come_true == (code == TxCode.VERSION_AHEAD)


@pytest.mark.parametrize("operation", ["update", "overwrite", "delete"])
def test_what_does_not_exist_can_not_change(ledger: Ledger, operation: str) -> None:
    error = refused(CHAIN, ledger, item(version=1, operation=operation, body={}))
    assert (error.code, error.may_come_true) == (TxCode.MISSING, True)


def test_the_type_never_changes(ledger: Ledger) -> None:
    CHAIN.extend(ledger, item())
    for operation, version in (("update", 1), ("overwrite", 0)):
        error = refused(CHAIN, ledger, item(version=version, operation=operation, kind="blob"))
        assert error.code == TxCode.TYPE_CHANGED


def test_an_unknown_type_is_refused(ledger: Ledger) -> None:
    error = refused(CHAIN, ledger, item(kind="other"))
    assert (error.code, "blob, note" in error.message) == (TxCode.UNKNOWN_TYPE, True)


def test_bodies_must_pass_the_schema_after_merging(ledger: Ledger) -> None:
    assert refused(CHAIN, ledger, item(body={})).code == TxCode.SCHEMA
    CHAIN.extend(ledger, item())
    bad: list[JsonObject] = [{"title": None}, {"amount": "1"}, {"unknown": 1}, {"place": {"street": "x"}}]
    for body in bad:
        assert refused(CHAIN, ledger, item(version=1, operation="update", body=body)).code == TxCode.SCHEMA
    error = refused(CHAIN, ledger, item(operation="overwrite", body={"title": "x", "amount": 1.5}))
    assert (error.code, error.message.startswith("body/amount")) == (TxCode.SCHEMA, True)


def test_an_earlier_overwrite_rewrites_every_later_snapshot(ledger: Ledger) -> None:
    CHAIN.extend(ledger, item(body={"title": "旧", "amount": 1}))
    CHAIN.extend(ledger, item(version=1, operation="update", body={"tags": ["x"]}))
    CHAIN.extend(ledger, item(version=2, operation="update", body={"amount": 2}))
    first = ledger.object("o-1", 1)
    CHAIN.extend(ledger, item(operation="overwrite", body={"title": "新", "place": {"city": "宁波"}}))
    base = {"title": "新", "place": {"city": "宁波"}}
    assert body_of(ledger, 0) == base
    assert body_of(ledger, 1) == {**base, "tags": ["x"]}
    assert body_of(ledger, 2) == {**base, "tags": ["x"], "amount": 2}
    again: Any = ledger.object("o-1", 1)
    assert again["latest"] == 2
    assert (again["txid"], again["height"]) == (first["txid"], first["height"])
    assert again["object"]["header"]["content"]["operation"] == "update"


def test_a_later_full_snapshot_ends_the_rewriting(ledger: Ledger) -> None:
    CHAIN.extend(ledger, item(), item(version=1, operation="update", body={"amount": 1}))
    CHAIN.extend(ledger, item(version=2, operation="update", body={"tags": ["x"]}))
    CHAIN.extend(ledger, item(version=1, operation="overwrite", body={"title": "全"}))
    assert body_of(ledger, 2) == {"title": "全", "tags": ["x"]}
    CHAIN.extend(ledger, item(operation="overwrite", body={"title": "头", "amount": 9}))
    assert [body_of(ledger, v) for v in range(3)] == [
        {"title": "头", "amount": 9},
        {"title": "全"},
        {"title": "全", "tags": ["x"]},
    ]


def test_an_overwrite_that_would_break_a_later_version_is_refused(ledger: Ledger) -> None:
    place: JsonObject = {"place": {"city": "杭州"}}
    CHAIN.extend(ledger, item(body={"title": "一", **place}))
    CHAIN.extend(ledger, item(version=1, operation="update", body={"place": {"street": "文三路"}}))
    error = refused(CHAIN, ledger, item(operation="overwrite", body={"title": "一"}))
    assert error.code == TxCode.SCHEMA
    assert error.message.startswith("version 1 on the new base: body/place")
    assert body_of(ledger, 0) == {"title": "一", **place}


def test_an_overwrite_has_a_bound_on_what_it_rewrites(ledger: Ledger) -> None:
    count = MAX_REWRITTEN + 1
    updates = [item(version=n, operation="update", body={"amount": n}) for n in range(1, count + 1)]
    CHAIN.extend(ledger, item(), *updates)
    assert refused(CHAIN, ledger, item(operation="overwrite")).code == TxCode.TOO_MANY_VERSIONS
    CHAIN.extend(ledger, item(version=1, operation="overwrite", body={"title": "改"}))
    assert body_of(ledger) == {"title": "改", "amount": count}


def test_a_merged_object_may_not_outgrow_the_limit(ledger: Ledger) -> None:
    big = "x" * 100_000
    CHAIN.extend(ledger, item(kind="blob", body={"a": big}))
    CHAIN.extend(ledger, item(kind="blob", version=1, operation="update", body={"b": big}))
    error = refused(CHAIN, ledger, item(kind="blob", version=2, operation="update", body={"c": big}))
    assert error.code == TxCode.TOO_LARGE


def test_only_the_owner_changes_an_object(ledger: Ledger) -> None:
    CHAIN.extend(ledger, item())
    for operation, version in (("update", 1), ("overwrite", 0), ("delete", 1)):
        body: Any = {} if operation == "delete" else None
        foreign = item(version=version, operation=operation, body=body)
        assert refused(CHAIN, ledger, foreign, "m1@zjfin").code == TxCode.NOT_OWNER
    colleague = CHAIN.tx(item(version=1, operation="update", body={"amount": 5}), "a2@zjex")
    CHAIN.extend(ledger, raws=[colleague])
    assert body_of(ledger)["amount"] == 5


def test_an_object_from_the_future_is_refused(ledger: Ledger) -> None:
    assert refused(CHAIN, ledger, item(timestamp=NOW + 700)).code == TxCode.TIMESTAMP
    CHAIN.extend(ledger, item(timestamp=NOW + 500))


def test_full_and_partial_updates_in_one_block(ledger: Ledger) -> None:
    CHAIN.extend(
        ledger,
        item(),
        item(version=1, operation="update", body={"title": "二", "amount": 1}),
        item(version=2, operation="update", body={"amount": None}),
        item(version=1, operation="overwrite", body={"title": "三", "tags": []}),
    )
    assert [body_of(ledger, v) for v in range(3)] == [
        {"title": "一"},
        {"title": "三", "tags": []},
        {"title": "三", "tags": []},
    ]


@pytest.mark.parametrize(
    ("base", "patch", "merged"),
    [  # RFC 7396 appendix A, those with objects at the top
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merging_is_that_of_the_rfc(base: JsonObject, patch: JsonObject, merged: JsonObject) -> None:
    assert merge(base, patch) == merged
