"""Public keys as others write them."""

from __future__ import annotations

import base64

from provnode.crypto.provider import PUBLIC_KEY_BYTES, CryptoError

# SubjectPublicKeyInfo of an uncompressed point, up to the point: id-ecPublicKey, SM2 (1.2.156.10197.1.301)
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")


def point_of(pem: bytes) -> bytes:
    """The point in the PEM of an SM2 public key. Raises CryptoError."""
    lines = pem.strip().splitlines()
    try:
        if lines[:1] != [b"-----BEGIN PUBLIC KEY-----"] or lines[-1:] != [b"-----END PUBLIC KEY-----"]:
            raise ValueError("no such lines")
        der = base64.b64decode(b"".join(lines[1:-1]), validate=True)
    except ValueError:
        raise CryptoError("public key: allowed is one SM2 key as PEM") from None
    if not der.startswith(SPKI) or len(der) != len(SPKI) + PUBLIC_KEY_BYTES:
        raise CryptoError("public key: allowed is one SM2 key, its point uncompressed")
    return der[len(SPKI) :]


def public_pem(point: bytes) -> str:
    """The PEM of a public point (RFC 7468), as `openssl pkey -pubout` prints it."""
    text = base64.b64encode(SPKI + point).decode("ascii")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join(("-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""))
