"""One provider against the standards' examples, and against what must not pass. See `conformance`."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from provnode.crypto import CryptoError, PrivateKey, Provider
from tests.crypto.conformance import (
    EXAMPLE_HASHES,
    EXAMPLE_KEY,
    EXAMPLE_MESSAGE,
    EXAMPLE_R,
    EXAMPLE_S,
    SEAL_AAD,
    SEAL_KEY,
    SEAL_PLAIN,
    SEALED,
    der,
    points,
    spellings,
)

MESSAGE = b"message"


def test_the_signature_of_the_standard(provider: Provider) -> None:
    signature = der(EXAMPLE_R, EXAMPLE_S)
    assert provider.verify(EXAMPLE_KEY, EXAMPLE_MESSAGE, signature)
    assert not provider.verify(EXAMPLE_KEY, b"message digesT", signature)


def test_the_hashes_of_the_standard(provider: Provider) -> None:
    expected = [bytes.fromhex(text) for text in EXAMPLE_HASHES.values()]
    assert [provider.hash(data) for data in EXAMPLE_HASHES] == expected
    assert provider.hash_batch(list(EXAMPLE_HASHES)) == expected
    assert provider.hash_batch([b"c", b""], b"ab") == [expected[0], provider.hash(b"ab")]
    assert provider.hash_batch([]) == []


def test_the_sealed_text_of_the_standard(provider: Provider) -> None:
    assert provider.open(SEAL_KEY, SEALED, SEAL_AAD) == SEAL_PLAIN


def test_what_is_signed_holds_and_nothing_else(provider: Provider, key: PrivateKey) -> None:
    assert provider.public_key(key) == key.public
    for message in (b"", MESSAGE, bytes(64), bytes(100_000)):
        signature = provider.sign(key, message)
        assert len(signature) <= 72
        assert provider.verify(key.public, message, signature)
        assert not provider.verify(key.public, message + b"\0", signature)
        assert not provider.verify(EXAMPLE_KEY, message, signature)


def test_two_signatures_of_one_message_differ(provider: Provider, key: PrivateKey) -> None:
    assert provider.sign(key, MESSAGE) != provider.sign(key, MESSAGE)


# enough to meet short r and s, whose encodings are shorter
@pytest.mark.parametrize("turn", range(3))
def test_a_signature_has_one_spelling(provider: Provider, key: PrivateKey, turn: int) -> None:
    message = bytes([turn])
    signature = provider.sign(key, message)
    assert provider.verify(key.public, message, signature)
    for name, other in spellings(signature).items():
        assert not provider.verify(key.public, message, other), name


def test_what_is_no_point_or_another_does_not_verify(provider: Provider, key: PrivateKey) -> None:
    signature = provider.sign(key, MESSAGE)
    for name, other in points(key.public).items():
        assert not provider.verify(other, MESSAGE, signature), name


def test_a_batch_tells_of_each_in_order(provider: Provider, key: PrivateKey) -> None:
    signature = provider.sign(key, MESSAGE)
    bad = [(key.public, MESSAGE, other) for other in spellings(signature).values()]
    bad += [(other, MESSAGE, signature) for other in points(key.public).values()]
    good = (key.public, MESSAGE, signature)
    items = [item for one in bad for item in (good, one)]
    assert provider.verify_batch(items) == [True, False] * len(bad)
    assert provider.verify_batch([]) == []


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 100_000])
def test_what_is_sealed_opens_again(provider: Provider, size: int) -> None:
    sealed = provider.seal(SEAL_KEY, bytes(size), b"aad")
    assert len(sealed) == size + 28
    assert provider.open(SEAL_KEY, sealed, b"aad") == bytes(size)
    assert provider.seal(SEAL_KEY, bytes(size), b"aad")[:12] != sealed[:12], "a nonce came twice"


def test_what_was_changed_does_not_open(provider: Provider) -> None:
    sealed = provider.seal(SEAL_KEY, b"plain", b"aad")
    changed = [sealed[:at] + bytes([sealed[at] ^ 1]) + sealed[at + 1 :] for at in range(len(sealed))]
    for other in (*changed, sealed[:-1], sealed + b"\0", sealed[:28], sealed[:27], b""):
        with pytest.raises(CryptoError, match="sealed data"):
            provider.open(SEAL_KEY, other, b"aad")
    for aad, seal_key in ((b"", SEAL_KEY), (b"aad", bytes(16))):
        with pytest.raises(CryptoError, match="sealed data"):
            provider.open(seal_key, sealed, aad)


@pytest.mark.parametrize("size", [0, 15, 17, 32])
def test_a_key_of_another_length_seals_nothing(provider: Provider, size: int) -> None:
    calls: list[Callable[..., bytes]] = [provider.seal, provider.open]
    for call in calls:
        with pytest.raises(CryptoError, match=f"SM4 key: found {size} bytes, allowed: 16"):
            call(bytes(size), bytes(40), b"")


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"\0" * 100,
        b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n",
        b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 100_000,
    ],
    ids=["empty", "zeros", "hollow", "no key", "huge"],
)
def test_what_is_no_key_is_refused(provider: Provider, text: bytes) -> None:
    with pytest.raises(CryptoError, match="key"):
        provider.load_private(text)


def test_a_handle_stays_where_it_is(key: PrivateKey) -> None:
    with pytest.raises(TypeError):
        pickle.dumps(key)
    with pytest.raises(TypeError):
        copy.copy(key)


def test_a_key_of_another_provider_is_refused(provider: Provider, key: PrivateKey) -> None:
    class Foreign:
        public = key.public

    for call in (provider.public_key, provider.save_private, lambda found: provider.sign(found, b"m")):
        with pytest.raises(CryptoError, match="not made by this provider"):
            call(Foreign())


def test_threads_do_not_meet(provider: Provider, key: PrivateKey) -> None:
    def work(number: int) -> list[bool]:
        out = []
        for turn in range(25):
            message = f"{number} {turn}".encode()
            signature = provider.sign(key, message)
            out.append(provider.verify(key.public, message, signature))
            out.append(not provider.verify(EXAMPLE_KEY, message, signature))
            out.append(not provider.verify(key.public, message, b"\x30\x00"))
        return out

    with ThreadPoolExecutor(8) as pool:
        assert all(all(found) for found in pool.map(work, range(16)))
