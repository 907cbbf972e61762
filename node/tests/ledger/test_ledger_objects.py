"""JR/T 0314 objects: their form, their seals, and canonical JSON."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from provnode.crypto.provider import get_provider
from provnode.ledger import canonical
from provnode.ledger.app import Ledger
from provnode.ledger.canonical import CanonicalError, Json, decode, decode_canonical, encode
from provnode.ledger.errors import TxCode
from provnode.ledger.objects import parse_object, seal_bytes
from tests.ledger.ledgerkit import TIME_MS, Chain, item, refused

CHAIN = Chain()
NOW = TIME_MS // 1000
Place = tuple[str, ...]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return CHAIN.ledger(tmp_path / "s.db")


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
    error = refused(CHAIN, ledger, bad)
    assert error.code == TxCode.BAD_OBJECT
    assert message in error.message


def test_the_longest_allowed_fields_pass(ledger: Ledger) -> None:
    whole = item("编" * 128, remark="注" * 2048, metadata={"任意": [1, None, {"x": True}]}, seal=[])
    whole["header"]["model"]["version"] = "1" * 32
    CHAIN.extend(ledger, whole)
    assert ledger.object("编" * 128)["object"] == whole


def test_a_delete_with_a_body_is_refused(ledger: Ledger) -> None:
    CHAIN.extend(ledger, item())
    error = refused(CHAIN, ledger, item(version=1, operation="delete", body={"title": "x"}))
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


SPELLINGS = st.text('{}[]":,01.eE-u \\\x7f\x00\ud800一é', max_size=24).map(
    lambda text: text.encode("utf-8", "surrogatepass")
)
PIECES = [
    b'{"a":1',
    b',"a":2',
    b',"b":"\xe4\xb8\x80"',
    b"}",
    b"[",
    b"]",
    b",",
    b"-0",
    b"1.0",
    b"1e5",
    b"null",
]
PIECES += [
    b"9007199254740992",
    b"18446744073709551616",
    b'"\\n"',
    b'"\x7f"',
    b'"\xed\xa0\x80"',
    b" ",
    b"[[1]]",
]
FRAGMENTS = st.lists(st.sampled_from(PIECES), max_size=8).map(b"".join)


@given(
    SPELLINGS
    | FRAGMENTS
    | VALUES.map(
        lambda value: json.dumps(value, ensure_ascii=False, sort_keys=True).encode("utf-8", "surrogatepass")
    )
)
def test_the_quick_way_takes_nothing_that_the_full_rules_refuse(raw: bytes) -> None:
    quick = canonical._decode_plain(raw)
    if quick is not None:
        full = decode(raw)
        assert (repr(quick), encode(full)) == (repr(full), raw)


def test_the_quick_way_is_taken() -> None:
    raw = encode({"a": [1, True, None, {"b": "一", "c": ""}], "b": -(2**53) + 1})
    assert canonical._decode_plain(raw) == decode(raw)
    for refused_ in (b"1.5", b'"\\n"', b"[" * 33 + b"]" * 33, b"9007199254740992", b'{"b":1,"a":1}', b"{ }"):
        assert canonical._decode_plain(refused_) is None


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
    error = refused(CHAIN, ledger, whole)
    assert (error.code, "seal/0" in error.message) == (TxCode.BAD_SEAL, True)


def test_one_bad_seal_among_good_ones_is_named(ledger: Ledger) -> None:
    whole = sealed(item(), 3)
    whole["header"]["seal"][1]["signature"] = whole["header"]["seal"][2]["signature"]
    error = refused(CHAIN, ledger, whole)
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
    assert refused(CHAIN, ledger, whole).code == TxCode.BAD_OBJECT


def test_one_key_may_not_seal_twice_and_nine_are_too_many(ledger: Ledger) -> None:
    whole = sealed(item())
    whole["header"]["seal"] *= 2
    assert refused(CHAIN, ledger, whole).code == TxCode.BAD_OBJECT
    assert refused(CHAIN, ledger, sealed(item(), 9)).code == TxCode.BAD_OBJECT


def test_a_key_that_is_no_point_of_the_curve_is_a_bad_seal(ledger: Ledger) -> None:
    whole = sealed(item())
    whole["header"]["seal"][0]["pub_key"]["value"] = "04" + "00" * 64
    assert refused(CHAIN, ledger, whole).code == TxCode.BAD_SEAL


def test_parse_gives_what_was_written() -> None:
    whole = item("x", 3, "update", {"a": 1})
    checked: list[tuple[object, ...]] = []
    found = parse_object(whole, encode(whole), lambda *asked: checked.append(asked))
    assert (found.raw, found.raw_body, found.conforms, checked) == (encode(whole), b'{"a":1}', False, [])
    assert (found.object_id, found.version, found.type, found.operation) == ("x", 3, "note", "update")
    assert (found.timestamp, found.body, found.seals) == (NOW, {"a": 1}, ())
