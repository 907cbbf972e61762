"""Sealed files: they open for one key, whole or not at all."""

from __future__ import annotations

import io

import pytest
from provnode.crypto import CryptoError, get_provider
from provnode.crypto.openssl import OpenSSL
from provnode.crypto.provider import Provider
from provnode.crypto.spki import point_of, public_pem
from provnode.storage.envelope import seal, unseal
from provnode.storage.errors import StoreError

MIB = 1 << 20
PROVIDER = OpenSSL()
KEY = PROVIDER.generate()


def sealed(data: bytes, note: bytes = b"note", provider: Provider = PROVIDER) -> bytes:
    out = io.BytesIO()
    seal(io.BytesIO(data), out, KEY.public, note, provider)
    return out.getvalue()


def opened(raw: bytes, provider: Provider = PROVIDER) -> tuple[bytes, bytes]:
    note, pieces = unseal(io.BytesIO(raw), KEY, provider)
    return note, b"".join(pieces)


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 3 * MIB])
@pytest.mark.parametrize("note", [b"", b"keys" * 500])
def test_what_was_sealed_opens(size: int, note: bytes) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    assert opened(sealed(data[:size], note)) == (note, data[:size])


def test_each_provider_opens_what_the_other_sealed() -> None:
    native = get_provider("native")
    assert opened(sealed(b"text", provider=native)) == opened(sealed(b"text"), native) == (b"note", b"text")


def test_nothing_of_it_can_be_read() -> None:
    raw = sealed(b"text" * 1000, b"data keys")
    assert b"text" not in raw and b"data keys" not in raw
    assert raw != sealed(b"text" * 1000, b"data keys")


@pytest.mark.parametrize("place", [0, 21, 40, 100, 150, -MIB - 100, -MIB, -1])
def test_a_turned_bit_is_seen(place: int) -> None:
    raw = bytearray(sealed(bytes(2 * MIB)))
    raw[place] ^= 1
    with pytest.raises(StoreError) as error:
        opened(bytes(raw))
    assert error.value.code in {"corrupt", "key"}


def test_pieces_are_not_left_out_or_swapped_or_cut_off() -> None:
    raw = sealed(bytes(3 * MIB))
    piece = MIB + 28 + 4
    head, body = raw[: len(raw) - 3 * piece], raw[-3 * piece :]
    one, two, three = body[:piece], body[piece : 2 * piece], body[2 * piece :]
    assert opened(head + one + two + three)[1] == bytes(3 * MIB)
    for wrong in (
        one + two,
        one + three,
        two + three,
        one + three + two,
        one + two + three + three,
        b"",
        one + two + three[:-1],
        one + two + three + b"\0",
        one + two[:3],
    ):
        with pytest.raises(StoreError) as error:
            opened(head + wrong)
        assert error.value.code == "corrupt"


def test_another_key_or_another_file_is_refused() -> None:
    with pytest.raises(StoreError) as error:
        unseal(io.BytesIO(sealed(b"text")), PROVIDER.generate(), PROVIDER)
    assert error.value.code == "key"
    for raw in (b"", b"provnode-envelope-2\n\0\1x", sealed(b"text")[:30], b"provnode-envelope-1\n\0\0"):
        with pytest.raises(StoreError) as error:
            opened(raw)
        assert error.value.code in {"corrupt", "key"}
    with pytest.raises(CryptoError, match="not an uncompressed SM2 point"):
        seal(io.BytesIO(b""), io.BytesIO(), b"\4" + bytes(64), b"", PROVIDER)


def test_public_keys_are_read_as_they_are_written() -> None:
    pem = public_pem(KEY.public).encode()
    assert point_of(pem) == point_of(b"\n" + pem + b"\n") == KEY.public
    for wrong in (
        b"",
        pem[:-30],
        PROVIDER.save_private(KEY),
        pem.replace(b"MFkw", b"MFkx"),
        pem.replace(b"A", b"!"),
    ):
        with pytest.raises(CryptoError, match="public key: allowed is one SM2 key"):
            point_of(wrong)
