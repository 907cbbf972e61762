"""Keys in PEM files, which native and openssl read and write alike; OpenSSL's own command reads them too."""

from __future__ import annotations

import base64
import ctypes
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from provnode.crypto import CryptoError, Provider, get_provider
from tests.crypto.conformance import ORDER

PROVIDER = get_provider("openssl")
KEY = PROVIDER.generate()
PUBLIC = PROVIDER.public_key(KEY)
DISTID = "distid:1234567812345678"


def secret_of(pem: bytes) -> str:
    """The private number in hex, from the PKCS#8 DER: an OCTET STRING of 32 bytes after INTEGER 1."""
    der = base64.b64decode(pem.decode().split("-----")[2])
    at = der.index(bytes.fromhex("0201010420")) + 5
    return der[at : at + 32].hex()


def test_openssl_s_command_agrees(provider: Provider, tmp_path: Path) -> None:
    key = provider.load_private(PROVIDER.save_private(KEY))
    for name, content in (("key.pem", provider.save_private(key)), ("message", b"m"), ("ours", b"")):
        (tmp_path / name).write_bytes(content)
    sign = ["openssl", "dgst", "-sm3", "-sigopt", DISTID, "-sign", "key.pem", "-out", "theirs", "message"]
    subprocess.run(sign, cwd=tmp_path, check=True, capture_output=True)
    assert provider.verify(PUBLIC, b"m", (tmp_path / "theirs").read_bytes())
    (tmp_path / "ours").write_bytes(provider.sign(key, b"m"))
    verify = ["openssl", "dgst", "-sm3", "-sigopt", DISTID, "-prverify", "key.pem", "-signature", "ours"]
    done = subprocess.run([*verify, "message"], cwd=tmp_path, check=True, capture_output=True)
    assert done.stdout.strip() == b"Verified OK"


def test_a_key_survives_its_pem(provider: Provider) -> None:
    key = provider.generate()
    pem = provider.save_private(key)
    assert pem.startswith(b"-----BEGIN PRIVATE KEY-----\n")
    again = provider.load_private(pem)
    assert provider.public_key(again) == key.public == again.public
    assert len(key.public) == 65
    assert key.public[0] == 4
    assert provider.verify(key.public, b"x", provider.sign(again, b"x"))
    assert secret_of(pem) not in repr(key)


def with_number(number: int) -> bytes:
    """A PEM of the private number, with the public key of another one."""
    pem = PROVIDER.save_private(KEY)
    head, _, tail = base64.b64decode(pem.decode().split("-----")[2]).partition(bytes.fromhex("0201010420"))
    body = head + bytes.fromhex("0201010420") + number.to_bytes(32, "big") + tail[32:]
    return b"-----BEGIN PRIVATE KEY-----\n" + base64.encodebytes(body) + b"-----END PRIVATE KEY-----\n"


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
        with_number(0),
        with_number(ORDER - 1),
        with_number(ORDER),
        with_number(2**256 - 1),
    ],
    ids=[
        "empty",
        "zeros",
        "hollow",
        "cut",
        "changed",
        "P-256",
        "SEC1",
        "encrypted",
        "huge",
        "0",
        "n-1",
        "n",
        "max",
    ],
)
def test_what_is_no_sm2_key_is_refused(provider: Provider, pem: bytes) -> None:
    with pytest.raises(CryptoError, match="key"):
        provider.load_private(pem)


def test_an_unknown_provider_is_refused() -> None:
    with pytest.raises(CryptoError, match="'hsm', allowed: native, openssl, pkcs11"):
        get_provider("hsm")


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
