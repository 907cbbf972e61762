"""OpenSSL's command, with SM2's identity where it needs it. No secret is ever an argument."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

from provchain.errors import ProvchainError

# GM/T 0009: the identity that SM2 signatures are made under unless the parties agree on another
DISTID = "distid:1234567812345678"
SIGN = ("-sigopt", DISTID)
VERIFY = ("-vfyopt", DISTID)


@dataclass(frozen=True)
class Algorithm:
    """How an authority and those that it certifies sign: curve, digest, and what openssl needs besides."""

    curve: str
    digest: str
    sign: tuple[str, ...] = ()
    verify: tuple[str, ...] = ()


SM2 = Algorithm("SM2", "-sm3", SIGN, VERIFY)
"""The nodes' own (GB/T 32918)."""
P256 = Algorithm("P-256", "-sha256")
"""For software that knows no SM2, such as rsyslog (FIPS 186-5)."""
ALGORITHMS = {"sm2": SM2, "p256": P256}


class PkiError(ProvchainError):
    """A key, request, certificate or signature that is refused."""


def openssl(*argv: str | Path, stdin: bytes = b"") -> bytes:
    """Run openssl and return its standard output; raises PkiError with its words if it fails."""
    done = subprocess.run(
        ["openssl", *map(str, argv)], input=stdin, capture_output=True, check=False, timeout=60
    )
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip()[-400:]
        raise PkiError(f"openssl {argv[0]} refused", cause=words)
    return done.stdout


def verify_manifest(folder: Path, public_key: Path) -> dict[str, str]:
    """Check MANIFEST.sm3 of a package folder: its SM2 signature, then every file's SM3 digest.

    Returns the digests by file name. Raises PkiError for a missing, unsigned, foreign or altered file.
    """
    import hashlib

    manifest, signature = folder / "MANIFEST.sm3", folder / "MANIFEST.sm3.sig"
    if not manifest.is_file() or not signature.is_file():
        raise PkiError(f"{folder} is no signed package", cause="MANIFEST.sm3 or its signature is missing")
    # the options of `dgst -verify` are named as those of signing
    openssl("dgst", "-sm3", *SIGN, "-verify", public_key, "-signature", signature, manifest)
    digests: dict[str, str] = {}
    for line in manifest.read_text(encoding="utf-8").splitlines():
        digest, _, name = line.partition("  ")
        path = folder / name
        if not name or "/" in name or not path.is_file():
            raise PkiError(f"{manifest} lists {name!r}", cause="no such file in the package folder")
        found = hashlib.new("sm3", path.read_bytes()).hexdigest()
        if found != digest:
            raise PkiError(f"{path} was altered", cause=f"SM3 {found}, the manifest says {digest}")
        digests[name] = digest
    return digests
