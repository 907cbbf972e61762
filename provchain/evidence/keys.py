"""The auditor's SM2 key, born where it is used, and what is signed with it; all by OpenSSL."""

from __future__ import annotations

import os
import stat
import tempfile
from datetime import datetime
from pathlib import Path

from provchain.evidence.bundle import EvidenceError
from provchain.pki.openssl import SIGN, VERIFY, openssl

MOST_PEM = 16_384


def make(path: Path) -> str:
    """Make a key, mode 0600, and ``<path>.pub`` beside it; return the public point in hexadecimal.

    Raises EvidenceError if either is there already: a key is never replaced.
    """
    public = path.with_name(path.name + ".pub")
    for one in (path, public):
        if one.exists():
            raise EvidenceError(
                f"{one} is there already", remedy="give another --out; a key is never replaced"
            )
    pem = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2")
    shown = openssl("pkey", "-pubout", stdin=pem)
    write(path, pem, 0o600)
    write(public, shown, 0o644)
    return point(shown)


def write(path: Path, content: bytes, mode: int) -> None:
    """Write a new file durably. Raises EvidenceError if it is there already or can't be written."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(handle, "wb") as sink:
            sink.write(content)
            sink.flush()
            os.fsync(sink.fileno())
    except OSError as error:
        raise EvidenceError(f"{path} can't be written", cause=error.strerror or "") from None


def public_of(key: Path) -> bytes:
    """Return the public half of a private key as PEM. Raises EvidenceError if others may read the key."""
    try:
        mode = stat.S_IMODE(key.stat().st_mode)
    except OSError as error:
        raise EvidenceError(f"{key} can't be read", cause=error.strerror or "") from None
    if mode & 0o077:
        raise EvidenceError(
            f"others may read {key}", cause=f"its mode is {mode:04o}", remedy=f"chmod 600 {key}"
        )
    return openssl("pkey", "-in", key, "-pubout")


def point(public: bytes) -> str:
    """Return the point of a public key (PEM), in hexadecimal. Raises EvidenceError if it is not SM2."""
    if len(public) > MOST_PEM or b"SM2" not in openssl("pkey", "-pubin", "-noout", "-text", stdin=public):
        raise EvidenceError("the signer's key is not an SM2 key")
    return openssl("pkey", "-pubin", "-outform", "DER", stdin=public)[-65:].hex()


def point_of_certificate(certificate: bytes) -> str:
    """Return the point that a certificate (PEM) is about. Raises PkiError, EvidenceError."""
    return point(openssl("x509", "-noout", "-pubkey", stdin=certificate[: MOST_PEM + 1]))


def sign(key: Path, data: bytes) -> bytes:
    """Return the SM2 signature, DER."""
    return openssl("dgst", "-sm3", *SIGN, "-sign", key, stdin=data)


def verify(public: bytes, signature: bytes, data: bytes) -> None:
    """Raises PkiError if the signature is not this key's on this data."""
    with tempfile.TemporaryDirectory(prefix="pc-verify-") as name:
        folder = Path(name)
        (folder / "public.pem").write_bytes(public)
        (folder / "signature").write_bytes(signature)
        # the options of `dgst -verify` are named as those of signing
        argv = ("-verify", folder / "public.pem", "-signature", folder / "signature")
        openssl("dgst", "-sm3", *SIGN, *argv, stdin=data)


def certified(certificate: bytes, authority: Path, when: datetime) -> str:
    """Return the point of a certificate that an authority issued and that was valid then. Raises PkiError."""
    found = point_of_certificate(certificate)
    at = ("-attime", str(int(when.timestamp())))
    openssl(
        "verify",
        *VERIFY,
        *at,
        "-x509_strict",
        "-CAfile",
        authority,
        "-no-CApath",
        "-no-CAstore",
        stdin=certificate,
    )
    return found
