"""Public keys as others write them."""

from __future__ import annotations

import base64

# SubjectPublicKeyInfo of an uncompressed point, up to the point: id-ecPublicKey, SM2 (1.2.156.10197.1.301)
SPKI = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d034200")


def public_pem(point: bytes) -> str:
    """The PEM of a public point (RFC 7468), as `openssl pkey -pubout` prints it."""
    text = base64.b64encode(SPKI + point).decode("ascii")
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join(("-----BEGIN PUBLIC KEY-----", *lines, "-----END PUBLIC KEY-----", ""))
