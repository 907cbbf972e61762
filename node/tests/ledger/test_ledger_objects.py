"""JR/T 0314 objects: form, seals, canonical JSON, and every rule of the life cycle."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ledgerkit import TIME_MS, Chain, item
from provnode.crypto.provider import get_provider
from provnode.ledger.app import Ledger
from provnode.ledger.canonical import CanonicalError, Json, decode, decode_canonical, encode
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.lifecycle import MAX_REWRITTEN, merge
from provnode.ledger.objects import parse_object, seal_bytes

CHAIN = Chain()
NOW = TIME_MS // 1000
Place = tuple[str, ...]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return CHAIN.ledger(tmp_path / "s.db")


def refused(ledger: Ledger, body: dict[str, Any], signer: str = "a1@zjex") -> TxError:
    """The refusal of an object, by check_tx and by a block alike."""
    raw = CHAIN.tx(body, signer)
    with pytest.raises(TxError) as error:
        ledger.check_tx(raw, ledger.last_time_ms)
    height = ledger.height
    block = ledger.build_block(ledger.last_time_ms + 1, "v1", [raw])
    assert ledger.validate_block(block, 2**50).txs == ()
    assert ledger.height == height
    return error.value


def body_of(ledger: Ledger, version: int | None = None) -> Any:
    found: Any = ledger.object("o-1", version)["object"]
    return found["body"]


# --- form

BAD_FORM: list[tuple[str, Place, Any, str]] = [
    ("no header", ("header",), None, "header"),
    ("no body", ("body",), None, "body"),
    ("body is a list", ("body",), [], "$.body"),
    ("unknown key at the top", ("extra",), 1, "extra"),
    ("unknown key in the header", ("header", "extra"), 1, "extra"),
    ("unknown key in the model", ("header", "model", "extra"), 1, "extra"),
    ("unknown key in the content", ("header", "content", "extra"), 1, "extra"),
    ("wrong protocol", ("header", "model", "protocol"), "区域性股权市场跨链业务数据", "protocol"),
    ("no protocol", ("header", "model", "protocol"), None, "protocol"),
    ("model version too long", ("header", "model", "version"), "1" * 33, "length <= 32"),
    ("model version is a number", ("header", "model", "version"), 1, "version"),
    ("type too long", ("header", "content", "type"), "t" * 33, "length <= 32"),
    ("object id too long", ("header", "content", "object_id"), "编" * 129, "length <= 128"),
    ("object id empty", ("header", "content", "object_id"), "", "length >= 1"),
    ("object id with a newline", ("header", "content", "object_id"), "a\nb", "printable"),
    ("object id with outer space", ("header", "content", "object_id"), " a", "outer spaces"),
    ("version is a string", ("header", "content", "version"), "0", "version"),
    ("version is a float", ("header", "content", "version"), 0.5, "version"),
    ("version is a boolean", ("header", "content", "version"), False, "version"),
    ("version is negative", ("header", "content", "version"), -1, "version"),
    ("unknown operation", ("header", "content", "operation"), "upsert", "operation"),
    ("operation in capitals", ("header", "content", "operation"), "CREATE", "operation"),
    ("timestamp in milliseconds", ("header", "content", "timestamp"), TIME_MS, "timestamp"),
    ("timestamp zero", ("header", "content", "timestamp"), 0, "timestamp"),
    ("timestamp is text", ("header", "content", "timestamp"), "2025-01-01", "timestamp"),
    ("remark too long", ("header", "remark"), "注" * 2049, "length <= 2048"),
    ("metadata is a list", ("header", "metadata"), [], "metadata"),
    ("seal is an object", ("header", "seal"), {}, "seal"),
    ("create at version 1", ("header", "content", "version"), 1, "0 for a create"),
    ("update at version 0", ("header", "content", "operation"), "update", "1 or more"),
    ("delete at version 0", ("header", "content", "operation"), "delete", "1 or more"),
]


@pytest.mark.parametrize(
    ("place", "value", "message"), [c[1:] for c in BAD_FORM], ids=[c[0] for c in BAD_FORM]
)
def test_a_bad_form_is_refused_and_named(ledger: Ledger, place: Place, value: Json, message: str) -> None:
    bad = item()
    at = bad
    for key in place[:-1]:
        at = at[key]
    if value is None:
        del at[place[-1]]
    else:
        at[place[-1]] = value
    error = refused(ledger, bad)
    assert error.code == TxCode.BAD_OBJECT
    assert message in error.message


def test_the_longest_allowed_fields_pass(ledger: Ledger) -> None:
    whole = item("编" * 128, remark="注" * 2048, metadata={"任意": [1, None, {"x": True}]}, seal=[])
    whole["header"]["model"]["version"] = "1" * 32
    CHAIN.extend(ledger, whole)
    assert ledger.object("编" * 128)["object"] == whole


def test_a_delete_with_a_body_is_refused(ledger: Ledger) -> None:
    CHAIN.extend(ledger, item())
    error = refused(ledger, item(version=1, operation="delete", body={"title": "x"}))
    assert error.code == TxCode.BAD_OBJECT
    assert "empty object" in error.message


# --- canonical JSON

VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


@given(VALUES.filter(lambda v: "\\ud8" not in repr(v)))
def test_canonical_json_round_trips(value: Json) -> None:
    try:
        raw = encode(value)
    except CanonicalError:
        return  # a lone surrogate in a key
    assert decode_canonical(raw) == value
    assert encode(decode(raw)) == raw


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b'{"a":1,"a":1}', "twice"),
        (b'{"a":{"b":1,"b":2}}', "twice"),
        (b"[NaN]", "NaN"),
        (b"[Infinity]", "Infinity"),
        (b"[1e999]", "too large"),
        (b"[9007199254740992]", "2^53"),
        (b"[-9007199254740992]", "2^53"),
        (b'["\\ud800"]', "surrogate"),
        (b'{"\\udfff":1}', "surrogate"),
        (b'["\xff"]', "UTF-8"),
        (b"[1,]", "JSON"),
        (b"", "JSON"),
        (b"[" * 33 + b"]" * 33, "32 levels"),
        (b"[" * 200_000, "32 levels"),
    ],
)
def test_what_readers_may_disagree_on_is_refused(raw: bytes, message: str) -> None:
    with pytest.raises(CanonicalError, match=message.replace("^", r"\^")):
        decode(raw)


@pytest.mark.parametrize(
    "raw", [b'{"b":1,"a":2}', b'{"a": 1}', b'"\\u4e00"', b"1.0e0", b"[1]\n", b'"\\/"', b"1E400"]
)
def test_another_spelling_is_refused(raw: bytes) -> None:
    with pytest.raises(CanonicalError):
        decode_canonical(raw)


# --- seals


def sealed(value: dict[str, Any], count: int = 1) -> dict[str, Any]:
    """The object with seals of fresh keys."""
    provider = get_provider("openssl")
    keys = [provider.generate() for _ in range(count)]
    value = copy.deepcopy(value)
    value["header"]["seal"] = [
        {
            "pub_key": {"type": "SM2", "value": provider.public_key(key).hex()},
            "digest_algo": "SM3",
            "signature": provider.sign(key, seal_bytes(value)).hex(),
        }
        for key in keys
    ]
    return value


def test_seals_that_hold_pass_and_stay(ledger: Ledger) -> None:
    whole = sealed(item(), 3)
    CHAIN.extend(ledger, whole)
    assert ledger.object("o-1")["object"] == whole


def test_a_seal_over_something_else_is_refused(ledger: Ledger) -> None:
    whole = sealed(item(), 2)
    whole["body"]["title"] = "二"
    error = refused(ledger, whole)
    assert (error.code, "seal/0" in error.message) == (TxCode.BAD_SEAL, True)


def test_one_bad_seal_among_good_ones_is_named(ledger: Ledger) -> None:
    whole = sealed(item(), 3)
    whole["header"]["seal"][1]["signature"] = whole["header"]["seal"][2]["signature"]
    error = refused(ledger, whole)
    assert (error.code, "seal/1" in error.message) == (TxCode.BAD_SEAL, True)


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("pub_key", "type"), "RSA"),
        (("pub_key", "value"), "04" + "AB" * 64),
        (("pub_key", "value"), "02" + "ab" * 32),
        (("digest_algo",), "SHA256"),
        (("signature",), "zz"),
        (("signature",), ""),
        (("signature",), "ab" * 513),
        (("extra",), 1),
    ],
)
def test_a_malformed_seal_is_refused(ledger: Ledger, place: Place, value: Json) -> None:
    whole = sealed(item())
    at = whole["header"]["seal"][0]
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    assert refused(ledger, whole).code == TxCode.BAD_OBJECT


def test_one_key_may_not_seal_twice_and_nine_are_too_many(ledger: Ledger) -> None:
    whole = sealed(item())
    whole["header"]["seal"] *= 2
    assert refused(ledger, whole).code == TxCode.BAD_OBJECT
    assert refused(ledger, sealed(item(), 9)).code == TxCode.BAD_OBJECT


def test_a_key_that_is_no_point_of_the_curve_is_a_bad_seal(ledger: Ledger) -> None:
    whole = sealed(item())
    whole["header"]["seal"][0]["pub_key"]["value"] = "04" + "00" * 64
    assert refused(ledger, whole).code == TxCode.BAD_SEAL


# --- life cycle


def test_the_whole_life_of_an_object(ledger: Ledger) -> None:
    full = {"title": "一", "amount": 1, "tags": ["a"], "place": {"city": "杭州", "street": "文三路"}}
    CHAIN.extend(ledger, item(body=full))
    patch: dict[str, Json] = {"amount": None, "tags": ["b"], "place": {"street": None}}
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
    code = refused(ledger, item(version=version, operation=operation, body=body)).code
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
    error = refused(ledger, item(version=version, operation=operation, body=body))
    assert error.code == code
    assert error.may_come_true == (code == TxCode.VERSION_AHEAD)


@pytest.mark.parametrize("operation", ["update", "overwrite", "delete"])
def test_what_does_not_exist_can_not_change(ledger: Ledger, operation: str) -> None:
    error = refused(ledger, item(version=1, operation=operation, body={}))
    assert (error.code, error.may_come_true) == (TxCode.MISSING, True)


def test_the_type_never_changes(ledger: Ledger) -> None:
    CHAIN.extend(ledger, item())
    for operation, version in (("update", 1), ("overwrite", 0)):
        error = refused(ledger, item(version=version, operation=operation, kind="blob"))
        assert error.code == TxCode.TYPE_CHANGED


def test_an_unknown_type_is_refused(ledger: Ledger) -> None:
    error = refused(ledger, item(kind="other"))
    assert (error.code, "blob, note" in error.message) == (TxCode.UNKNOWN_TYPE, True)


def test_bodies_must_pass_the_schema_after_merging(ledger: Ledger) -> None:
    assert refused(ledger, item(body={})).code == TxCode.SCHEMA
    CHAIN.extend(ledger, item())
    for body in ({"title": None}, {"amount": "1"}, {"unknown": 1}, {"place": {"street": "无城市"}}):
        assert refused(ledger, item(version=1, operation="update", body=body)).code == TxCode.SCHEMA
    error = refused(ledger, item(operation="overwrite", body={"title": "x", "amount": 1.5}))
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
    place: dict[str, Json] = {"place": {"city": "杭州"}}
    CHAIN.extend(ledger, item(body={"title": "一", **place}))
    CHAIN.extend(ledger, item(version=1, operation="update", body={"place": {"street": "文三路"}}))
    error = refused(ledger, item(operation="overwrite", body={"title": "一"}))
    assert error.code == TxCode.SCHEMA
    assert error.message.startswith("version 1 on the new base: body/place")
    assert body_of(ledger, 0) == {"title": "一", **place}


def test_an_overwrite_has_a_bound_on_what_it_rewrites(ledger: Ledger) -> None:
    count = MAX_REWRITTEN + 1
    updates = [item(version=n, operation="update", body={"amount": n}) for n in range(1, count + 1)]
    CHAIN.extend(ledger, item(), *updates)
    assert refused(ledger, item(operation="overwrite")).code == TxCode.TOO_MANY_VERSIONS
    CHAIN.extend(ledger, item(version=1, operation="overwrite", body={"title": "改"}))
    assert body_of(ledger) == {"title": "改", "amount": count}


def test_a_merged_object_may_not_outgrow_the_limit(ledger: Ledger) -> None:
    big = "x" * 100_000
    CHAIN.extend(ledger, item(kind="blob", body={"a": big}))
    CHAIN.extend(ledger, item(kind="blob", version=1, operation="update", body={"b": big}))
    error = refused(ledger, item(kind="blob", version=2, operation="update", body={"c": big}))
    assert error.code == TxCode.TOO_LARGE


def test_only_the_owner_changes_an_object(ledger: Ledger) -> None:
    CHAIN.extend(ledger, item())
    for operation, version in (("update", 1), ("overwrite", 0), ("delete", 1)):
        body: Any = {} if operation == "delete" else None
        foreign = item(version=version, operation=operation, body=body)
        assert refused(ledger, foreign, "m1@zjfin").code == TxCode.NOT_OWNER
    colleague = CHAIN.tx(item(version=1, operation="update", body={"amount": 5}), "a2@zjex")
    CHAIN.extend(ledger, raws=[colleague])
    assert body_of(ledger)["amount"] == 5


def test_an_object_from_the_future_is_refused(ledger: Ledger) -> None:
    assert refused(ledger, item(timestamp=NOW + 700)).code == TxCode.TIMESTAMP
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
def test_merging_is_that_of_the_rfc(base: Any, patch: Any, merged: Any) -> None:
    assert merge(base, patch) == merged


def test_parse_gives_what_was_written() -> None:
    found = parse_object(item("x", 3, "update", {"a": 1}))
    assert (found.object_id, found.version, found.type, found.operation) == ("x", 3, "note", "update")
    assert (found.timestamp, found.body, found.seals) == (NOW, {"a": 1}, ())
