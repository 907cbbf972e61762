"""One certificate authority an organisation: it signs requests of that organisation's hosts only."""

from __future__ import annotations

import fcntl
import ipaddress
import os
import re
import secrets
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from provchain.pki.openssl import SM2, Algorithm, PkiError, openssl

MAX_DAYS = 397
# An authority outlives what it issues many times over; it is replaced by a new trust bundle.
_AUTHORITY_DAYS = 3650
_NAME = re.compile(r"[a-z][a-z0-9-]{0,31}")
_DNS = re.compile(r"[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63})+")


@dataclass(frozen=True)
class Wanted:
    """What a host's certificate must say: its name, its organisation, its alternative names, its days."""

    host: str
    organisation: str
    dns: str
    address: str
    days: int


class Authority:
    """The authority of one organisation, kept in a folder of its own (mode 0700).

    It signs by one algorithm, and certifies keys of that alone.
    """

    def __init__(self, folder: Path, organisation: str, algorithm: Algorithm = SM2) -> None:
        if not _NAME.fullmatch(organisation):
            raise PkiError(f"organisation {organisation!r} can't name an authority")
        self.organisation, self.algorithm = organisation, algorithm
        self.folder = folder / organisation
        self._key, self.certificate = self.folder / "ca.key", self.folder / "ca.pem"

    def ensure(self) -> str:
        """Make key and certificate unless they are there; return the certificate as PEM."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            if not self._key.exists():
                curve = f"ec_paramgen_curve:{self.algorithm.curve}"
                pem = openssl("genpkey", "-algorithm", "EC", "-pkeyopt", curve)
                _write(self._key, pem, 0o600)
            if not self.certificate.exists():
                _write(self.certificate, self._self_signed(), 0o644)
        return self.certificate.read_text(encoding="ascii")

    def _self_signed(self) -> bytes:
        return openssl(
            "req", "-x509", "-new", "-key", self._key, self.algorithm.digest, *self.algorithm.sign,
            "-subj", f"/O={self.organisation}/CN={self.organisation} authority",
            "-days", str(_AUTHORITY_DAYS), "-set_serial", _serial(),
            "-addext", "basicConstraints=critical,CA:TRUE,pathlen:0",
            "-addext", "keyUsage=critical,keyCertSign,cRLSign",
        )  # fmt: skip

    def issue(self, request: str, wanted: Wanted) -> str:
        """Sign a request for just what is wanted and return the certificate as PEM.

        Raises PkiError if the request's own signature doesn't hold, its key is of another curve, its subject
        is another, or more than 397 days are wanted. Nothing that the request asks for beyond its key and
        subject is taken over.
        """
        self._refuse(request, wanted)
        self.ensure()
        extensions = (
            "basicConstraints=critical,CA:FALSE\n"
            "keyUsage=critical,digitalSignature\n"
            "extendedKeyUsage=serverAuth,clientAuth\n"
            f"subjectAltName=DNS:{wanted.dns},IP:{wanted.address}\n"
            "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid:always\n"
        )
        serial, by = _serial(), self.algorithm
        with tempfile.NamedTemporaryFile("w", suffix=".cnf") as file:
            file.write(extensions)
            file.flush()
            pem = openssl(
                "x509", "-req", "-CA", self.certificate, "-CAkey", self._key, by.digest, *by.sign, *by.verify,
                "-days", str(wanted.days), "-set_serial", serial, "-extfile", file.name,
                stdin=request.encode(),
            )  # fmt: skip
        openssl("verify", *by.verify, "-CAfile", self.certificate, stdin=pem)
        issued = self.folder / "issued"
        issued.mkdir(exist_ok=True, mode=0o700)
        _write(issued / f"{wanted.host}-{serial[2:]}.pem", pem, 0o644)
        return pem.decode("ascii")

    def public_key(self) -> str:
        """Return the point that certificates and revocation lists are verified with, in hexadecimal."""
        pem = openssl("x509", "-noout", "-pubkey", stdin=self.ensure().encode())
        return openssl("pkey", "-pubin", "-outform", "DER", stdin=pem)[-65:].hex()

    def revoke(self, serial: str) -> str:
        """Revoke an issued certificate by its serial (hexadecimal) and return the new list as PEM.

        Raises PkiError for a serial that this authority hasn't issued. The list counts once the nodes have
        it; it names all that were ever revoked, and its number grows, also if the serial was in it before.
        """
        return self.crl(self.issued(serial))

    def issued(self, serial: str) -> Path:
        """Return the certificate with a serial (hexadecimal); raises PkiError, naming those there are."""
        wanted = serial.lower().removeprefix("0x").lstrip("0")
        every = sorted((self.folder / "issued").glob("*.pem"))
        found = [path for path in every if path.stem.rpartition("-")[2] == wanted]
        if len(found) != 1:
            raise PkiError(
                f"the authority of {self.organisation} has issued no certificate {serial!r}",
                cause="host and serial of those it has: "
                + (", ".join(path.stem for path in every) or "none"),
            )
        return found[0]

    def crl(self, revoked: Path | None = None) -> str:
        """Return a new revocation list as PEM, with ``revoked`` added to it. Raises PkiError."""
        self.ensure()
        index, number = self.folder / "index.txt", self.folder / "crlnumber"
        with self._locked(), tempfile.NamedTemporaryFile("w", suffix=".cnf") as file:
            index.touch()
            if not number.exists():
                _write(number, b"01\n", 0o644)
            file.write(
                f"[ca]\ndefault_ca=own\n[own]\ndatabase={index}\ncrlnumber={number}\n"
                f"default_md={self.algorithm.digest[1:]}\ndefault_crl_days={_AUTHORITY_DAYS}\n"
            )
            file.flush()
            base = ("ca", "-config", file.name, "-cert", self.certificate, "-keyfile", self._key)
            if revoked is not None and not _is_in(index, revoked):
                openssl(*base, "-revoke", revoked)
            return openssl(*base, "-gencrl", *self.algorithm.sign).decode("ascii")

    def _refuse(self, request: str, wanted: Wanted) -> None:
        if wanted.organisation != self.organisation:
            raise PkiError(f"the authority of {self.organisation} signs nothing for {wanted.organisation}")
        # these become lines of OpenSSL's configuration
        if not _NAME.fullmatch(wanted.host) or not _DNS.fullmatch(wanted.dns):
            raise PkiError(f"{wanted.host!r} with the DNS name {wanted.dns!r} can't be certified")
        try:
            ipaddress.ip_address(wanted.address)
        except ValueError as error:
            raise PkiError(f"{wanted.host}: no address", cause=str(error)) from None
        if not 1 <= wanted.days <= MAX_DAYS:
            raise PkiError(f"{wanted.days} days are wanted", cause=f"1 to {MAX_DAYS} are allowed")
        raw = request.encode()
        public = openssl("req", "-noout", "-pubkey", stdin=raw)
        curve = self.algorithm.curve
        if f": {curve}\n".encode() not in openssl("pkey", "-pubin", "-noout", "-text", stdin=public):
            raise PkiError(f"{wanted.host}: the request's key is not {curve}")
        openssl("req", "-verify", "-noout", *self.algorithm.verify, stdin=raw)
        subject = openssl("req", "-noout", "-subject", "-nameopt", "RFC2253", stdin=raw).decode().strip()
        expected = f"subject=O={wanted.organisation},CN={wanted.host}"
        if subject != expected:
            raise PkiError(
                f"{wanted.host}: the request's subject is another", cause=f"{subject}, not {expected}"
            )

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with (self.folder / ".lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _is_in(index: Path, certificate: Path) -> bool:
    """Say whether OpenSSL's index lists a certificate as revoked: status, end, date and serial by tabs."""
    serial = int(certificate.stem.rpartition("-")[2], 16)
    rows = [line.split("\t") for line in index.read_text(encoding="ascii").splitlines()]
    return any(row[0] == "R" and int(row[3], 16) == serial for row in rows)


def _serial() -> str:
    """Return a random serial of 126 bits (CA/Browser Forum asks for 64 or more)."""
    return f"0x{secrets.randbits(126) | 1 << 125:x}"


def _write(path: Path, content: bytes, mode: int) -> None:
    new = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    with os.fdopen(handle, "wb") as sink:
        sink.write(content)
        sink.flush()
        os.fsync(sink.fileno())
    new.replace(path)
