"""Keys at rest: a sealed file opens with its KEK, for its purpose, whole; and with nothing else."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest
from provnode.crypto import CryptoError, get_provider
from provnode.crypto.sealed import Kek, load_kek, open_key, public_of, seal_key
from provnode.crypto.spki import public_pem

PROVIDER = get_provider("openssl")
KEK, OTHER = Kek(bytes(range(16)), PROVIDER), Kek(bytes(16), PROVIDER)


@pytest.fixture(scope="module")
def pem() -> bytes:
    return PROVIDER.save_private(PROVIDER.generate())


@pytest.fixture(scope="module")
def sealed(pem: bytes) -> bytes:
    return seal_key(KEK, "consensus", PROVIDER.public_key(PROVIDER.load_private(pem)), pem)


def test_it_opens_with_its_kek_for_its_purpose(pem: bytes, sealed: bytes) -> None:
    assert open_key(sealed, "consensus", KEK) == pem
    assert public_of(sealed) == PROVIDER.public_key(PROVIDER.load_private(pem))


def test_it_tells_nothing_of_the_key(pem: bytes, sealed: bytes) -> None:
    secret = b"".join(pem.splitlines()[1:-1])
    body = base64.b64decode(sealed.split(b"\n")[1])
    for raw in (sealed, body):
        assert b"PRIVATE" not in raw and secret[:40] not in raw
    assert base64.b64decode(secret)[:24] not in body


def test_it_is_sealed_anew_each_time(pem: bytes, sealed: bytes) -> None:
    assert seal_key(KEK, "consensus", public_of(sealed) or b"", pem) != sealed


def test_another_kek_or_purpose_is_named(sealed: bytes) -> None:
    with pytest.raises(CryptoError, match=f"sealed under KEK {KEK.id}, this host has {OTHER.id}"):
        open_key(sealed, "consensus", OTHER)
    with pytest.raises(CryptoError, match="found consensus, allowed: tls"):
        open_key(sealed, "tls", KEK)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b" consensus ", b" tls "),
        (KEK.id.encode(), OTHER.id.encode()),
    ],
    ids=["purpose", "kek"],
)
def test_a_line_that_was_changed_does_not_open(sealed: bytes, old: bytes, new: bytes) -> None:
    """What the line says is checked before, and is part of what is authenticated."""
    changed = sealed.replace(old, new)
    assert changed != sealed
    kek = Kek(bytes(range(16)), PROVIDER)
    kek.id = OTHER.id if old == KEK.id.encode() else KEK.id
    with pytest.raises(CryptoError, match="damaged"):
        open_key(changed, "tls" if old == b" consensus " else "consensus", kek)


def test_a_swapped_public_key_does_not_open(sealed: bytes) -> None:
    public = PROVIDER.public_key(PROVIDER.generate())
    changed = sealed.replace((public_of(sealed) or b"").hex().encode(), public.hex().encode())
    with pytest.raises(CryptoError, match="damaged"):
        open_key(changed, "consensus", KEK)


def test_no_byte_can_be_changed_or_missing(sealed: bytes) -> None:
    line, body = sealed.rstrip().split(b"\n")
    raw = base64.b64decode(body)
    for at in range(len(raw)):
        changed = raw[:at] + bytes([raw[at] ^ 1]) + raw[at + 1 :]
        with pytest.raises(CryptoError, match="damaged"):
            open_key(line + b"\n" + base64.b64encode(changed) + b"\n", "consensus", KEK)
    for length in range(len(b"provnode-sealed-key-1"), len(sealed) - 1):
        with pytest.raises(CryptoError, match=r"damaged|no sealed key"):
            open_key(sealed[:length], "consensus", KEK)


@pytest.mark.parametrize("more", [b"\n", b"x", b"A" * 40_000, b"\nprovnode-sealed-key-1"])
def test_nothing_may_follow(sealed: bytes, more: bytes) -> None:
    with pytest.raises(CryptoError, match="no sealed key"):
        open_key(sealed + more, "consensus", KEK)


def test_a_host_with_a_kek_takes_no_plain_key_and_one_without_no_sealed_key(
    pem: bytes, sealed: bytes
) -> None:
    assert open_key(pem, "tls", None) == pem
    with pytest.raises(CryptoError, match="keygen --seal FILE --purpose tls"):
        open_key(pem, "tls", KEK)
    with pytest.raises(CryptoError, match="kek_credential"):
        open_key(sealed, "consensus", None)


@pytest.mark.parametrize("length", [0, 15, 17, 32])
def test_a_credential_that_is_no_sm4_key_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, length: int
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    (tmp_path / "kek").write_bytes(bytes(length))
    with pytest.raises(CryptoError, match=f"found {min(length, 17)} bytes, allowed: 16"):
        load_kek("kek", PROVIDER)


def test_the_credential_is_where_systemd_puts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load_kek("", PROVIDER) is None
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    with pytest.raises(CryptoError, match=r"no credential 'kek' .*LoadCredentialEncrypted=kek"):
        load_kek("kek", PROVIDER)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    with pytest.raises(CryptoError, match="credential 'kek': No such file"):
        load_kek("kek", PROVIDER)
    (tmp_path / "kek").write_bytes(bytes(range(16)))
    found = load_kek("kek", PROVIDER)
    assert found is not None and found.id == KEK.id


def test_a_public_key_is_told_as_openssl_tells_it() -> None:
    import subprocess

    key = PROVIDER.generate()
    command = ["openssl", "pkey", "-pubout"]
    done = subprocess.run(command, input=PROVIDER.save_private(key), capture_output=True, check=True)
    assert public_pem(PROVIDER.public_key(key)) == done.stdout.decode()
