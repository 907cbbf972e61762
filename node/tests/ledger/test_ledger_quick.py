"""The native library reads transactions as the full way does, whatever the bytes."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provnode.core.types import ValidatorSet
from provnode.crypto.hashing import pack, sm3
from provnode.crypto.provider import Provider, TransactionReader, Verdict, get_provider
from provnode.ledger.canonical import encode
from provnode.ledger.checks import CheckedTx, Checker
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.objects import DataObject, seal_bytes
from provnode.ledger.transactions import (
    KIND_OBJECT,
    decode_transaction,
    plain_form,
    transaction_sign_bytes,
)
from tests.ledger.ledgerkit import Chain, item

CHAIN = Chain(max_tx_bytes=4096)
GENESIS = CHAIN.genesis
NATIVE, OPENSSL = get_provider("native"), get_provider("openssl")
STRANGER = OPENSSL.generate()
PLAIN = CHAIN.tx(item(body={"title": "一", "amount": 7, "tags": ["a", "b"]}))
HARD = (
    '{"a":1.5}', '{"a":1e3}', '{"a":-0}', '{"a":01}', '{"a":9007199254740991}', '{"a":9007199254740992}',
    '{"a":-9007199254740992}', '{"a":"\\u00e9"}', '{"a":"\\n"}', '{"a":"\u007f"}', '{"a":"\U0001f600"}',
    '{"b":1,"a":2}', '{"a":1,"a":2}', '{"a":1,}', '{"a" :1}', '{"a":[1,2,[]],"b":{}}', '{"a":nul}',
    '{"a":tru}', '{"":null,"a":true,"é":false}', "{}", "[]", '"a"', "1", "", "{",
    '{"a":' * 32 + "1" + "}" * 32,
    '{"a":' * 31 + "[[]]" + "}" * 31, '{"a":' * 31 + "[]" + "}" * 31, '{"a":"\t"}', '{"a":1}x',
    '{"a":--1}',
)  # fmt: skip


def checker(provider: Provider) -> Checker:
    """One that has learned of the signer that the tests use."""
    found = Checker(GENESIS, provider, GENESIS.signers.get, lambda height: ValidatorSet(()))
    assert isinstance(found.check([CHAIN.tx(item("learned"))])[0], CheckedTx)
    return found


def facts(verdict: CheckedTx | TxError) -> tuple[object, ...]:
    """All that a verdict says."""
    if isinstance(verdict, TxError):
        return verdict.code, verdict.message
    content = verdict.content
    assert isinstance(content, DataObject)
    return verdict.tx, verdict.signer, content, content.header, content.body


def same(*raws: bytes) -> list[CheckedTx | TxError]:
    """The verdicts, which both ways must come to."""
    quick, full = (checker(provider).check(raws) for provider in (NATIVE, OPENSSL))
    assert [facts(one) for one in quick] == [facts(one) for one in full]
    return quick


def signed(body: bytes, *, head: list[Any] | None = None, signer: str = "a1@zjex", key: Any = None) -> bytes:  # noqa: ANN401
    """A transaction of any body, signed as it is."""
    payload = pack([*(head or [1, GENESIS.hash, KIND_OBJECT]), body])
    form = plain_form(GENESIS.hash, KIND_OBJECT, "body")
    txid = sm3(form.id + pack([payload, signer])[1:])
    signature = OPENSSL.sign(key or CHAIN.signers[signer], transaction_sign_bytes(txid))
    return pack([payload, signer, signature])


def spelled(value: bytes) -> list[bytes]:
    """The ways in which MessagePack could write it."""
    size = len(value)
    heads = [b"\xc5" + size.to_bytes(2, "big"), b"\xc6" + size.to_bytes(4, "big")]
    return [head + value for head in (heads if size > 255 else [b"\xc4" + bytes([size]), *heads])]


def quickly(*raws: bytes) -> list[int]:
    """What the library alone says."""
    assert isinstance(NATIVE, TransactionReader)
    who = GENESIS.signers["a1@zjex"]
    form = plain_form(GENESIS.hash, KIND_OBJECT, "body")
    return list(NATIVE.read_transactions(form, [who.id.encode()], [who.public_key], raws).verdicts)


def test_the_library_reads_what_is_plain_and_leaves_the_rest() -> None:
    text = CHAIN.tx(item(body={"title": 'a "quoted" word'}))
    forged = PLAIN[:-1] + bytes([PLAIN[-1] ^ 1])
    user = CHAIN.tx({"id": "u@zjex"}, kind="register_user")
    stranger = signed(encode(item()), signer="a2@zjex")
    assert quickly(PLAIN, forged, text, user, stranger, b"") == [
        Verdict.SIGNED,
        Verdict.FORGED,
        Verdict.UNREAD,
        Verdict.UNREAD,
        Verdict.UNKNOWN,
        Verdict.UNREAD,
    ]
    (good, bad, *_) = same(PLAIN, forged, text, user, stranger, b"")
    assert isinstance(good, CheckedTx)
    assert good.tx == decode_transaction(PLAIN, GENESIS.hash, 4096)
    assert isinstance(bad, TxError)
    assert bad.code is TxCode.BAD_SIGNATURE


def test_each_length_of_a_field_is_read_the_same() -> None:
    def padded(length: int) -> bytes:
        return CHAIN.tx(item(body={"title": "x" * length}, remark="y" * (length % 50)))

    lengths = [*range(60), *range(200, 320, 7)]
    raws = [padded(length) for length in lengths]
    assert set(quickly(*raws)) == {Verdict.SIGNED}
    assert all(isinstance(one, CheckedTx) for one in same(*raws))


@pytest.mark.parametrize("number", range(len(HARD)))
def test_hard_bodies_are_read_the_same(number: int) -> None:
    whole = encode(item(kind="blob", body={}))
    text = HARD[number].encode()
    same(
        signed(whole.replace(b'"body":{}', b'"body":' + text)),
        signed(text),
        signed(b'{"body":' + text + b"}"),
    )


def test_other_spellings_of_the_frame_are_read_the_same() -> None:
    body, form = encode(item()), plain_form(GENESIS.hash, KIND_OBJECT, "body")
    inner = form.payload
    heads = ([2, GENESIS.hash, KIND_OBJECT], [1, bytes(32), KIND_OBJECT], [1, GENESIS.hash, "other"], [1])
    names = [b"\xa7a1@zjex", b"\xd9\x07a1@zjex", b"\xda\x00\x07a1@zjex", b"\xc4\x07a1@zjex"]
    frames = []
    # each signed as it is spelled, so that the spelling is all that is wrong with it
    for packed, name in itertools.product((spelled(inner + one) for one in spelled(body)), names):
        for head in (one + name for one in packed):
            txid = sm3(form.id + head)
            signature = OPENSSL.sign(CHAIN.signers["a1@zjex"], transaction_sign_bytes(txid))
            frames += [b"\x93" + head + one for one in spelled(signature)]
    verdicts = same(*frames)
    assert [isinstance(one, CheckedTx) for one in verdicts].count(True) == 1
    same(*(signed(body, head=head) for head in heads), signed(body, key=STRANGER))
    same(PLAIN + b"\x00", PLAIN[:-1], b"\x94" + PLAIN[1:], b"\xdc\x00\x03" + PLAIN[1:], bytes(5000))


def test_sealed_objects_are_verified_whole() -> None:
    owner, body = OPENSSL.generate(), item()
    seal: dict[str, Any] = {"pub_key": {"type": "SM2", "value": owner.public.hex()}, "digest_algo": "SM3"}
    good = {**seal, "signature": OPENSSL.sign(owner, seal_bytes(body)).hex()}
    bad = {**seal, "signature": OPENSSL.sign(owner, b"another").hex()}
    whole, broken = (CHAIN.tx({**body, "header": {**body["header"], "seal": [one]}}) for one in (good, bad))
    assert quickly(whole, broken) == [Verdict.SIGNED] * 2
    found, refused = same(whole, broken)
    assert isinstance(found, CheckedTx)
    assert isinstance(refused, TxError)
    assert refused.code is TxCode.BAD_SEAL


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32))
def test_damaged_transactions_are_read_the_same(seed: int) -> None:
    chance = random.Random(seed)
    raws = []
    for _ in range(8):
        raw = bytearray(PLAIN)
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(raw))
            match chance.randrange(3):
                case 0:
                    raw[at] ^= 1 << chance.randrange(8)
                case 1:
                    raw[at : at + chance.randint(1, 4)] = b""
                case _:
                    raw[at:at] = chance.choice([b'"', b",", b"{", b"0", b"\\", b"\xff", b" ", raw[:at]])
        raws.append(bytes(raw))
    same(*raws)


_texts = st.text(st.characters(codec="utf-8"), max_size=8)
_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**54), 2**54) | st.floats(allow_nan=False) | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=80, deadline=None)
@given(st.dictionaries(_texts, _values, max_size=5), st.integers(0, 3), st.booleans())
def test_any_json_is_read_the_same(body: dict[str, Any], spelling: int, escaped: bool) -> None:
    whole = item(kind="blob", body=body)
    separators = [(",", ":"), (", ", ":"), (",", ": "), (",", ":")][spelling]
    text = json.dumps(whole, sort_keys=spelling < 3, separators=separators, ensure_ascii=escaped)
    same(signed(text.encode("utf-8", "surrogatepass")))


def test_a_batch_is_as_its_parts(tmp_path: Path) -> None:
    raws = [CHAIN.tx(item(f"o-{number}")) for number in range(20)]
    raws[7] = raws[7][:-1] + bytes([raws[7][-1] ^ 1])
    raws[11] = b"\x93"
    together = same(*raws)
    assert [facts(one) for one in together] == [facts(same(raw)[0]) for raw in raws]
    assert [isinstance(one, TxError) for one in together].count(True) == 2
