"""All providers answer alike: a verdict or a hash that differs between two of them would split the chain."""

from __future__ import annotations

import base64

import pytest
from gmssl.sm2 import CryptSM2
from gmssl.sm3 import sm3_hash
from hypothesis import given, settings
from hypothesis import strategies as st
from provnode.crypto import CryptoError, get_provider

NATIVE, OPENSSL = get_provider("native"), get_provider("openssl")
PROVIDERS = (NATIVE, OPENSSL)
# one key in both
PEM = OPENSSL.save_private(OPENSSL.generate())
KEYS = [provider.load_private(PEM) for provider in PROVIDERS]
PUBLIC = KEYS[0].public
MESSAGE = b"message"
SIGNATURE = OPENSSL.sign(KEYS[1], MESSAGE)
ORDER = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123
FIELD = 0xFFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF00000000FFFFFFFFFFFFFFFF
KEY = bytes(range(16))

numbers = st.one_of(
    st.integers(0, 2**256 - 1),
    st.sampled_from([0, 1, 2, ORDER - 1, ORDER, ORDER + 1, FIELD - 1, FIELD, FIELD + 1, 2**256 - 1]),
)


def verdict(public: bytes, message: bytes, signature: bytes) -> bool:
    """What all providers say, alone and within a batch."""
    item = (public, message, signature)
    good = (PUBLIC, MESSAGE, SIGNATURE)
    found = {provider.verify(*item) for provider in PROVIDERS}
    for provider in PROVIDERS:
        batch = provider.verify_batch([good, item, *[good] * 8, item])
        found |= {batch[1], batch[10]}
        assert batch[0]
        assert all(batch[2:10])
    assert len(found) == 1, "the providers differ"
    return found.pop()


def secret() -> str:
    """The private number in hex, from the PKCS#8 DER: an OCTET STRING of 32 bytes after INTEGER 1."""
    der = base64.b64decode(PEM.decode().split("-----")[2])
    at = der.index(bytes.fromhex("0201010420")) + 5
    return der[at : at + 32].hex()


def integer(value: int, zeros: int = 0) -> bytes:
    raw = bytes(zeros) + value.to_bytes(value.bit_length() // 8 + 1, "big")
    return bytes([2, len(raw)]) + raw


def der(r: int, s: int) -> bytes:
    """A signature in DER."""
    body = integer(r) + integer(s)
    return bytes([0x30, len(body)]) + body


def parts(signature: bytes) -> tuple[int, int]:
    split = 4 + signature[3]
    return int.from_bytes(signature[4:split], "big"), int.from_bytes(signature[split + 2 :], "big")


R, S = parts(SIGNATURE)


def test_both_providers_hold_the_same_key() -> None:
    assert KEYS[0].public == KEYS[1].public
    again = NATIVE.save_private(KEYS[0])
    assert OPENSSL.load_private(again).public == PUBLIC


@settings(max_examples=150, deadline=None)
@given(st.binary(max_size=400))
def test_each_signature_holds_for_all(message: bytes) -> None:
    for provider, key in zip(PROVIDERS, KEYS, strict=True):
        signature = provider.sign(key, message)
        assert verdict(PUBLIC, message, signature)
        assert not verdict(PUBLIC, message + b"\0", signature)


@settings(max_examples=6, deadline=None)
@given(st.binary(max_size=120))
def test_an_independent_implementation_agrees_on_signatures(message: bytes) -> None:
    gmssl = CryptSM2(private_key=secret(), public_key=PUBLIC[1:].hex(), asn1=True)
    for provider, key in zip(PROVIDERS, KEYS, strict=True):
        assert gmssl.verify_with_sm3(provider.sign(key, message).hex(), message)
    theirs = bytes.fromhex(gmssl.sign_with_sm3(message))
    assert verdict(PUBLIC, message, theirs)


def spellings() -> dict[str, bytes]:
    """Other encodings of one signature's two numbers, and what is near one."""
    body = integer(R) + integer(S)
    padded_r, padded_s = integer(R, 1) + integer(S), integer(R) + integer(S, 1)
    long_integer = b"\x02\x81" + integer(R)[1:] + integer(S)
    negative = bytes([2, 32]) + (2**256 - R).to_bytes(32, "big") + integer(S)
    return {
        "longer length": b"\x30\x81" + bytes([len(body)]) + body,
        "longest length": b"\x30\x84\0\0\0" + bytes([len(body)]) + body,
        "indefinite length": b"\x30\x80" + body + b"\0\0",
        "zero before r": bytes([0x30, len(padded_r)]) + padded_r,
        "zero before s": bytes([0x30, len(padded_s)]) + padded_s,
        "longer length of r": bytes([0x30, len(long_integer)]) + long_integer,
        "negative r": bytes([0x30, len(negative)]) + negative,
        "byte behind": SIGNATURE + b"\0",
        "byte within": bytes([0x30, len(body) + 1]) + body + b"\0",
        "third number": bytes([0x30, len(body) + 3]) + body + b"\x02\x01\x01",
        "set": b"\x31" + SIGNATURE[1:],
        "octets": SIGNATURE[:2] + b"\x04" + SIGNATURE[3:],
        "high tag": b"\x3f\x10" + SIGNATURE[1:],
        "primitive": b"\x10" + SIGNATURE[1:],
        "raw": R.to_bytes(32, "big") + S.to_bytes(32, "big"),
        "hollow": b"\x30\x00",
        "empty numbers": bytes.fromhex("300402000200"),
        "s beyond the order": der(R, S + ORDER),
        "r beyond the order": der(R + ORDER, S),
        "r and s changed": der(S, R),
        "s negated": der(R, ORDER - S),
        "r + s = n": der(R, ORDER - R),
        "empty": b"",
    }


@pytest.mark.parametrize("signature", spellings().values(), ids=list(spellings()))
def test_a_signature_has_one_spelling(signature: bytes) -> None:
    assert verdict(PUBLIC, MESSAGE, SIGNATURE)
    assert not verdict(PUBLIC, MESSAGE, signature)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=90))
def test_no_garbage_is_a_signature(signature: bytes) -> None:
    assert not verdict(PUBLIC, MESSAGE, signature)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_edited_signature_holds(data: st.DataObject) -> None:
    """Bytes changed, inserted and removed: the encoding's lengths and tags included."""
    signature = bytearray(SIGNATURE)
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, max(0, len(signature) - 1)))
        cut = data.draw(st.integers(0, 2))
        signature[at : at + cut] = data.draw(st.binary(max_size=3))
    held = verdict(PUBLIC, MESSAGE, bytes(signature))
    assert held == (bytes(signature) == SIGNATURE)


@settings(max_examples=300, deadline=None)
@given(numbers, numbers)
def test_numbers_at_the_limits_do_not_hold(r: int, s: int) -> None:
    assert not verdict(PUBLIC, MESSAGE, der(r, s))


def points() -> dict[str, bytes]:
    x, y = PUBLIC[1:33], PUBLIC[33:]
    odd = bytes([2 + (y[31] & 1)])
    return {
        "infinity": b"\0",
        "padded infinity": bytes(65),
        "origin": b"\x04" + bytes(64),
        "compressed": odd + x,
        "compressed, padded": odd + x + bytes(32),
        "hybrid": bytes([6 + (y[31] & 1)]) + x + y,
        "off the curve": b"\x04" + y + x,
        "field's prime": b"\x04" + FIELD.to_bytes(32, "big") + y,
        "other y": b"\x04" + x + (FIELD - int.from_bytes(y, "big")).to_bytes(32, "big"),
        "cut": PUBLIC[:-1],
        "long": PUBLIC + b"\0",
        "huge": PUBLIC * 1000,
        "empty": b"",
    }


@pytest.mark.parametrize("public", points().values(), ids=list(points()))
def test_what_is_no_point_or_another_one_does_not_verify(public: bytes) -> None:
    assert not verdict(public, MESSAGE, SIGNATURE)


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 64), st.integers(1, 255))
def test_no_changed_key_verifies(place: int, change: int) -> None:
    changed = bytearray(PUBLIC)
    changed[place] ^= change
    assert not verdict(bytes(changed), MESSAGE, SIGNATURE)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.binary(max_size=200), max_size=40), st.binary(max_size=70))
def test_hashes_agree(messages: list[bytes], prefix: bytes) -> None:
    expected = [OPENSSL.hash(prefix + message) for message in messages]
    for provider in PROVIDERS:
        assert provider.hash_batch(messages, prefix) == expected
        assert [provider.hash(prefix + message) for message in messages] == expected
    assert [hash_.hex() for hash_ in expected[:2]] == [sm3_hash([*prefix, *one]) for one in messages[:2]]


def test_a_batch_on_all_processors_keeps_its_order() -> None:
    messages = [number.to_bytes(4, "big") * 64 for number in range(2000)]
    expected = [OPENSSL.hash(message) for message in messages]
    assert NATIVE.hash_batch(messages) == expected
    items = [(PUBLIC, MESSAGE if number % 3 else b"other", SIGNATURE) for number in range(200)]
    assert NATIVE.verify_batch(items) == [bool(number % 3) for number in range(200)]


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300), st.binary(max_size=100))
def test_what_one_seals_the_other_opens(plaintext: bytes, aad: bytes) -> None:
    for sealer, opener in ((NATIVE, OPENSSL), (OPENSSL, NATIVE)):
        sealed = sealer.seal(KEY, plaintext, aad)
        assert len(sealed) == len(plaintext) + 28
        assert opener.open(KEY, sealed, aad) == plaintext


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 59), st.integers(1, 255))
def test_what_was_changed_does_not_open(place: int, change: int) -> None:
    changed = bytearray(NATIVE.seal(KEY, b"p" * 32, b"aad"))
    changed[place] ^= change
    for provider in PROVIDERS:
        with pytest.raises(CryptoError, match="sealed data"):
            provider.open(KEY, bytes(changed), b"aad")
