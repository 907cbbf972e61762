"""Certificates by the OpenSSL command: throwaway ones to knock with, and the checks of real ones."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

_SM2_ID = "distid:1234567812345678"
_PURPOSES = "extendedKeyUsage=serverAuth,clientAuth"


@dataclass(frozen=True)
class Issued:
    """A certificate and its private key, in files."""

    certificate: Path
    key: Path


def _openssl(*argv: str, cwd: Path | None = None) -> str:
    done = subprocess.run(["openssl", *argv], capture_output=True, text=True, check=False, cwd=cwd)
    assert done.returncode == 0, f"openssl {argv[0]} failed: {done.stderr.strip()}"
    return done.stdout


def _key(path: Path) -> Path:
    _openssl("genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2", "-out", str(path))
    path.chmod(0o600)
    return path


def authority(folder: Path, organisation: str) -> Issued:
    """Make a CA that names itself after an organisation and that nobody trusts."""
    key, certificate = _key(folder / "foreign-ca.key"), folder / "foreign-ca.pem"
    _openssl(
        "req", "-x509", "-new", "-key", str(key), "-sm3", "-sigopt", _SM2_ID, "-days", "1",
        "-out", str(certificate), "-subj", f"/O={organisation}/CN={organisation} CA",
        "-addext", "keyUsage=critical,keyCertSign,cRLSign",
    )  # fmt: skip
    return Issued(certificate, key)


def issue(folder: Path, name: str, organisation: str, ca: Issued) -> Issued:
    """Issue a certificate of one day for ``CN=name, O=organisation`` by a CA, with a new SM2 key."""
    stem = folder / f"{name}-{organisation}-{ca.certificate.stem}"
    asked, extensions = request(folder, stem.name, organisation, name), folder / "purposes"
    extensions.write_text(_PURPOSES + "\n", encoding="ascii")
    certificate = stem.with_suffix(".pem")
    _openssl(
        "x509", "-req", "-in", str(asked.certificate), "-CA", str(ca.certificate), "-CAkey", str(ca.key),
        "-sm3", "-vfyopt", _SM2_ID, "-sigopt", _SM2_ID, "-days", "1", "-set_serial", "1",
        "-extfile", str(extensions), "-out", str(certificate),
    )  # fmt: skip
    return Issued(certificate, asked.key)


def request(folder: Path, stem: str, organisation: str, name: str = "") -> Issued:
    """Make an SM2 key and a request for ``CN=name, O=organisation``, which is in the certificate's place."""
    key, asked = _key(folder / f"{stem}.key"), folder / f"{stem}.csr"
    _openssl(
        "req", "-new", "-key", str(key), "-sm3", "-sigopt", _SM2_ID,
        "-subj", f"/CN={name or stem}/O={organisation}", "-out", str(asked),
    )  # fmt: skip
    return Issued(asked, key)


def serial(certificate: Path) -> str:
    """Return a certificate's serial in hexadecimal."""
    return _openssl("x509", "-in", str(certificate), "-noout", "-serial").strip().partition("=")[2].lower()


def chains(certificate: Path, ca: Path) -> bool:
    """Say whether a certificate is valid now and signed by a CA, by OpenSSL's verdict."""
    argv = ["openssl", "verify", "-vfyopt", _SM2_ID, "-no-CApath", "-no-CAstore", "-CAfile", str(ca)]
    return subprocess.run([*argv, str(certificate)], capture_output=True, check=False).returncode == 0


def described(certificate: Path) -> str:
    """Return a certificate in OpenSSL's words."""
    return _openssl("x509", "-in", str(certificate), "-noout", "-text", "-nameopt", "RFC2253,utf8")
