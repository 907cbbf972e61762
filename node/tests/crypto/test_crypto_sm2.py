"""SM2 by OpenSSL: against the standard's example, gmssl and OpenSSL's own command; and what is refused."""

from __future__ import annotations

import base64
import copy
import ctypes
import pickle
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from gmssl.sm2 import CryptSM2
from hypothesis import given, settings
from hypothesis import strategies as st
from provnode.crypto import CryptoError, PrivateKey, get_provider

PROVIDER = get_provider("openssl")
KEY = PROVIDER.generate()
PUBLIC = PROVIDER.public_key(KEY)
SIGNATURE = PROVIDER.sign(KEY, b"message")
DISTID = "distid:1234567812345678"


def secret_of(key: PrivateKey) -> str:
    """The private number in hex, from the PKCS#8 DER: an OCTET STRING of 32 bytes after INTEGER 1."""
    pem = PROVIDER.save_private(key).decode().split("-----")[2]
    der = base64.b64decode(pem)
    at = der.index(bytes.fromhex("0201010420")) + 5
    return der[at : at + 32].hex()


def der(r: int, s: int) -> bytes:
    """A signature in DER."""

    def number(value: int) -> bytes:
        raw = value.to_bytes(value.bit_length() // 8 + 1, "big")
        return bytes([2, len(raw)]) + raw

    body = number(r) + number(s)
    return bytes([0x30, len(body)]) + body


def test_the_example_of_the_standard() -> None:
    """GB/T 32918.5-2017, annex A.2: the recommended curve, ID 1234567812345678."""
    public = bytes.fromhex(
        "0409f9df311e5421a150dd7d161e4bc5c672179fad1833fc076bb08ff356f35020"
        "ccea490ce26775a52dc6ea718cc1aa600aed05fbf35e084a6632f6072da9ad13"
    )
    signature = der(
        0xF5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3,
        0xB1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA,
    )
    assert PROVIDER.verify(public, b"message digest", signature)
    assert not PROVIDER.verify(public, b"message digesT", signature)


@settings(max_examples=6, deadline=None)
@given(st.binary(max_size=120))
def test_an_independent_implementation_agrees(message: bytes) -> None:
    gmssl = CryptSM2(private_key=secret_of(KEY), public_key=PUBLIC[1:].hex(), asn1=True)
    assert gmssl.verify_with_sm3(PROVIDER.sign(KEY, message).hex(), message)
    theirs = bytes.fromhex(gmssl.sign_with_sm3(message))
    assert PROVIDER.verify(PUBLIC, message, theirs)
    assert not PROVIDER.verify(PUBLIC, message + b"!", theirs)


def test_openssl_s_command_agrees(tmp_path: Path) -> None:
    for name, content in (("key.pem", PROVIDER.save_private(KEY)), ("message", b"m"), ("ours", b"")):
        (tmp_path / name).write_bytes(content)
    sign = ["openssl", "dgst", "-sm3", "-sigopt", DISTID, "-sign", "key.pem", "-out", "theirs", "message"]
    subprocess.run(sign, cwd=tmp_path, check=True, capture_output=True)
    assert PROVIDER.verify(PUBLIC, b"m", (tmp_path / "theirs").read_bytes())
    (tmp_path / "ours").write_bytes(PROVIDER.sign(KEY, b"m"))
    verify = ["openssl", "dgst", "-sm3", "-sigopt", DISTID, "-prverify", "key.pem", "-signature", "ours"]
    done = subprocess.run([*verify, "message"], cwd=tmp_path, check=True, capture_output=True)
    assert done.stdout.strip() == b"Verified OK"


def test_a_key_survives_its_pem() -> None:
    pem = PROVIDER.save_private(KEY)
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    again = PROVIDER.load_private(pem)
    assert PROVIDER.public_key(again) == PUBLIC == again.public
    assert len(PUBLIC) == 65
    assert PUBLIC[0] == 4
    assert PROVIDER.verify(PUBLIC, b"x", PROVIDER.sign(again, b"x"))


def test_two_signatures_of_one_message_differ_and_both_hold() -> None:
    pair = [PROVIDER.sign(KEY, b"m") for _ in range(2)]
    assert pair[0] != pair[1]
    assert [PROVIDER.verify(PUBLIC, b"m", signature) for signature in pair] == [True, True]


@settings(max_examples=200, deadline=None)
@given(st.integers(0, len(SIGNATURE) - 1), st.integers(1, 255))
def test_a_changed_signature_does_not_hold(place: int, change: int) -> None:
    changed = bytearray(SIGNATURE)
    changed[place] ^= change
    assert not PROVIDER.verify(PUBLIC, b"message", bytes(changed))


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 64), st.integers(1, 255))
def test_a_changed_key_does_not_verify(place: int, change: int) -> None:
    changed = bytearray(PUBLIC)
    changed[place] ^= change
    assert not PROVIDER.verify(bytes(changed), b"message", SIGNATURE)


@settings(deadline=None)
@given(st.binary(max_size=80), st.binary(max_size=80))
def test_garbage_does_not_verify(public: bytes, signature: bytes) -> None:
    assert not PROVIDER.verify(public, b"message", SIGNATURE)
    assert not PROVIDER.verify(PUBLIC, b"message", signature)


def test_a_signature_has_one_spelling() -> None:
    """What follows the DER, or a longer form of it, must not make a second valid signature."""
    assert PROVIDER.verify(PUBLIC, b"message", SIGNATURE)
    assert not PROVIDER.verify(PUBLIC, b"message", SIGNATURE + b"\0")
    assert not PROVIDER.verify(PUBLIC, b"message", b"\x30\x81" + SIGNATURE[1:])


def test_a_point_that_is_off_the_curve_is_no_key() -> None:
    assert not PROVIDER.verify(b"\x04" + bytes(64), b"message", SIGNATURE)
    assert not PROVIDER.verify(b"\x03" + PUBLIC[1:33], b"message", SIGNATURE)


def foreign(form: PrivateFormat = PrivateFormat.PKCS8, password: bytes | None = None) -> bytes:
    """A P-256 key."""
    encryption = BestAvailableEncryption(password) if password else NoEncryption()
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, form, encryption)


@pytest.mark.parametrize(
    "pem",
    [
        b"",
        b"\0" * 100,
        b"-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n",
        PROVIDER.save_private(KEY)[:-40],
        PROVIDER.save_private(KEY).replace(b"\nM", b"\nN"),
        foreign(),
        foreign(PrivateFormat.TraditionalOpenSSL),
        foreign(password=b"secret"),
        b"-----BEGIN PRIVATE KEY-----\n" + b"A" * 100_000,
    ],
    ids=["empty", "zeros", "hollow", "cut", "changed", "P-256", "SEC1", "encrypted", "huge"],
)
def test_what_is_no_sm2_key_is_refused(pem: bytes) -> None:
    with pytest.raises(CryptoError, match="key"):
        PROVIDER.load_private(pem)


def test_a_handle_stays_where_it_is() -> None:
    with pytest.raises(TypeError):
        pickle.dumps(KEY)
    with pytest.raises(TypeError):
        copy.copy(KEY)
    assert secret_of(KEY) not in repr(KEY)


def test_a_key_of_another_provider_is_refused() -> None:
    class Foreign:
        public = PUBLIC

    with pytest.raises(CryptoError, match="not made by this provider"):
        PROVIDER.sign(Foreign(), b"m")


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(CryptoError, match="'hsm', allowed: native, openssl"):
        get_provider("hsm")


@given(st.lists(st.booleans(), max_size=40))
@settings(max_examples=20, deadline=None)
def test_a_batch_tells_of_each_in_order(good: list[bool]) -> None:
    items = [(PUBLIC, b"message" if one else b"massage", SIGNATURE) for one in good]
    assert PROVIDER.verify_batch(items) == good


def test_threads_do_not_meet() -> None:
    keys = [PROVIDER.generate() for _ in range(4)]

    def work(number: int) -> list[bool]:
        key, wrong = keys[number % 4], keys[(number + 1) % 4]
        out = []
        for turn in range(25):
            message = f"{number} {turn}".encode()
            signature = PROVIDER.sign(key, message)
            out.append(PROVIDER.verify(key.public, message, signature))
            out.append(not PROVIDER.verify(wrong.public, message, signature))
            out.append(not PROVIDER.verify(key.public, message, b"\x30\x00"))
        return out

    with ThreadPoolExecutor(8) as pool:
        assert all(all(found) for found in pool.map(work, range(16)))


class Mallinfo(ctypes.Structure):
    """glibc's struct mallinfo2; `uordblks` is what is allocated and not freed, in bytes."""

    _fields_ = tuple(
        (name, ctypes.c_size_t)
        for name in [
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        ]
    )


def allocated() -> int:
    """The bytes that C code holds in this thread's arena."""
    mallinfo = ctypes.CDLL(None).mallinfo2
    mallinfo.restype = Mallinfo
    return int(mallinfo().uordblks)


def test_nothing_is_left_allocated() -> None:
    """One block that stays behind with each round would be 300 of them."""

    def work() -> None:
        for turn in range(300):
            key = PROVIDER.load_private(PROVIDER.save_private(PROVIDER.generate()))
            signature = PROVIDER.sign(key, b"m")
            assert not PROVIDER.verify(PUBLIC, b"m", signature)
            assert not PROVIDER.verify(PUBLIC, b"m", signature[:-1])
            assert not PROVIDER.verify(b"\x04" + turn.to_bytes(64, "big"), b"m", signature)
            with pytest.raises(CryptoError):
                PROVIDER.load_private(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")

    grown = []
    for _ in range(4):
        before = allocated()
        work()
        grown.append(allocated() - before)
    assert min(grown) < 300 * 16  # a leak shows in every round, a table that once grew does not
