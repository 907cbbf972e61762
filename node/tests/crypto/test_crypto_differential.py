"""All providers answer alike: a verdict or a hash that differs between two of them would split the chain."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from Cryptodome.Util.asn1 import DerOctetString, DerSequence
from gmssl.sm2 import CryptSM2
from gmssl.sm3 import sm3_hash
from hypothesis import given, settings
from hypothesis import strategies as st
from provnode.crypto import CryptoError, get_provider
from provnode.crypto.openssl import OpenSSL
from tests.crypto.conformance import FIELD, ORDER, der, spellings

NATIVE, OPENSSL = get_provider("native"), get_provider("openssl")
PROVIDERS = (NATIVE, OPENSSL)
# one key in both
PEM = OPENSSL.save_private(OPENSSL.generate())
KEYS = [provider.load_private(PEM) for provider in PROVIDERS]
PUBLIC = KEYS[0].public
MESSAGE = b"message"
SIGNATURE = OPENSSL.sign(KEYS[1], MESSAGE)
KEY = bytes(range(16))

limits = st.one_of(
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


@settings(max_examples=6, deadline=None)
@given(st.binary(min_size=1, max_size=200))
def test_an_independent_implementation_agrees_on_encryption(message: bytes) -> None:
    """GM/T 0009-2012: SEQUENCE of x, y, hash and text, which gmssl has one behind the other (C1 C3 C2)."""
    provider = OpenSSL()
    key, gmssl = (
        provider.load_private(PEM),
        CryptSM2(private_key=secret(), public_key=PUBLIC[1:].hex(), mode=1),
    )
    ours: Any = DerSequence().decode(provider.encrypt(PUBLIC, message))
    point = ours[0].to_bytes(32, "big") + ours[1].to_bytes(32, "big")
    assert (
        gmssl.decrypt(point + b"".join(DerOctetString().decode(one).payload for one in ours[2:])) == message
    )
    theirs = gmssl.encrypt(message)
    made: Any = [int.from_bytes(theirs[at : at + 32], "big") for at in (0, 32)]
    made += [DerOctetString(part).encode() for part in (theirs[64:96], theirs[96:])]
    assert provider.decrypt(key, DerSequence(made).encode()) == message


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=40))
def test_a_signature_has_one_spelling(message: bytes) -> None:
    signature = NATIVE.sign(KEYS[0], message)
    assert verdict(PUBLIC, message, signature)
    for name, other in spellings(signature).items():
        assert not verdict(PUBLIC, message, other), name


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
@given(limits, limits)
def test_numbers_at_the_limits_do_not_hold(r: int, s: int) -> None:
    assert not verdict(PUBLIC, MESSAGE, der(r, s))


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
