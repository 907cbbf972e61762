"""Public keys of people, and of whoever opens backups: what is taken, and what only looks like one."""

from __future__ import annotations

import base64
import subprocess

import pytest

from provchain.pki.openssl import openssl
from provchain.spec.keys import person_key, sm2_public

TOKEN = "sk-ssh-ed25519@openssh.com"


def blob(*parts: bytes) -> str:
    return base64.b64encode(b"".join(len(one).to_bytes(4, "big") + one for one in parts)).decode()


def public(curve: str) -> str:
    key = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", f"ec_paramgen_curve:{curve}")
    return openssl("pkey", "-pubout", stdin=key).decode()


@pytest.mark.parametrize(
    "key",
    [
        f"ssh-ed25519 {blob(b'ssh-ed25519', bytes(32))}",
        f"{TOKEN} {blob(TOKEN.encode(), bytes(32), b'ssh:')}",
        f"{TOKEN} {blob(TOKEN.encode(), bytes(32), b'ssh:zhang')}",
    ],
)
def test_a_persons_key_is_ed25519_on_a_token_or_not(key: str) -> None:
    assert person_key(key) == key
    told = subprocess.run(["ssh-keygen", "-lf", "-"], input=key, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr


@pytest.mark.parametrize(
    "key",
    [
        "",
        "ssh-ed25519",
        f"ssh-ed25519 {blob(b'ssh-ed25519', bytes(31))}",
        f"ssh-ed25519 {blob(b'ssh-ed25519', bytes(32), b'')}",
        f"ssh-ed25519 {blob(b'ssh-ed25519', bytes(32))} zhang",
        f"ssh-ed25519 {blob(TOKEN.encode(), bytes(32), b'ssh:')}",
        f"{TOKEN} {blob(TOKEN.encode(), bytes(32), b'https://x')}",
        f"{TOKEN} {blob(TOKEN.encode(), bytes(32))}",
        "ssh-ed25519 AAAA",
        "ssh-ed25519 /////w==",
    ],
)
def test_what_is_no_such_key_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match="a public key as in"):
        person_key(key)


def test_a_recovery_key_is_sm2() -> None:
    key = public("SM2")
    assert sm2_public(key) == key
    for other in (public("P-256"), key[:-30], key.replace("PUBLIC", "PRIVATE"), key.replace("M", "!", 1), ""):
        with pytest.raises(ValueError, match="an SM2 public key"):
            sm2_public(other)
