"""Public keys as a description may hold them: of a known type, and nothing but that type's encoding."""

from __future__ import annotations

import base64

_PUBLIC_BYTES = {
    "ssh-ed25519": 32,
    "ecdsa-sha2-nistp256": 65,
    "ecdsa-sha2-nistp384": 97,
    "ecdsa-sha2-nistp521": 133,
}
"""The types of host keys that are accepted, and the length of their public part in bytes."""
_SECURITY_KEY = "sk-ssh-ed25519@openssh.com"
_APPLICATION = b"ssh:"


def host_key(text: str) -> str:
    """Check a host's public key (RFC 8709, 4; RFC 5656, 3.1); ValueError for anything else."""
    kind, blob = _read(text)
    length = _PUBLIC_BYTES.get(kind)
    named = [kind.encode()] if kind == "ssh-ed25519" else [kind.encode(), kind.rpartition("-")[2].encode()]
    if length is None or _strings(blob)[:-1] != named or len(_strings(blob)[-1]) != length:
        raise ValueError("a public host key as in /etc/ssh/ssh_host_ed25519_key.pub, without its comment")
    return text


def person_key(text: str) -> str:
    """Check a person's public key: Ed25519, on a FIDO token or not (RFC 8709, 4; OpenSSH PROTOCOL.u2f).

    ValueError for anything else; the baseline lets no other kind in.
    """
    kind, blob = _read(text)
    parts = _strings(blob)
    wanted = {"ssh-ed25519": 2, _SECURITY_KEY: 3}.get(kind)
    fits = (
        len(parts) == wanted and parts[0] == kind.encode() and len(parts[1]) == _PUBLIC_BYTES["ssh-ed25519"]
    )
    if not fits or not all(one.startswith(_APPLICATION) for one in parts[2:]):
        raise ValueError("a public key as in id_ed25519.pub or id_ed25519_sk.pub, without its comment")
    return text


# SubjectPublicKeyInfo of a point on curveSM2, not compressed (RFC 5480, 2; GB/T 35276, 7.1)
_SM2 = bytes.fromhex("3059301306072a8648ce3d020106082a811ccf5501822d03420004")
_PEM = "-----BEGIN PUBLIC KEY-----", "-----END PUBLIC KEY-----"


def sm2_public(text: str) -> str:
    """Check an SM2 public key in PEM; ValueError for anything else. That it lies on the curve is not seen."""
    lines = text.split()
    first, last = " ".join(lines[:3]), " ".join(lines[-3:])
    try:
        der = base64.b64decode("".join(lines[3:-3]), validate=True)
    except ValueError:
        der = b""
    if (first, last) != _PEM or not der.startswith(_SM2) or len(der) != len(_SM2) + 64:
        raise ValueError("an SM2 public key as PEM")
    return text


def _read(text: str) -> tuple[str, bytes]:
    """Return type and blob; the blob is empty where it is no base64, or a second spelling of the same."""
    kind, _, encoded = text.partition(" ")
    try:
        blob = base64.b64decode(encoded, validate=True)
    except ValueError:  # no base64, or no ASCII
        return kind, b""
    # a second spelling would make one key look like two
    return kind, blob if base64.b64encode(blob).decode() == encoded else b""


def _strings(blob: bytes) -> list[bytes]:
    """Return the strings that a blob consists of (RFC 4251, 5); one empty string if it does not."""
    parts = []
    while blob:
        end = 4 + int.from_bytes(blob[:4], "big")
        if len(blob) < max(end, 4):
            return [b""]
        parts.append(blob[4:end])
        blob = blob[end:]
    return parts or [b""]
