"""A TLS client of the suite's own, through a relay on a host: what is negotiated, and who is refused.

It is not the engine's code, so it tells what the other side accepts, not what the engine offers by itself.
"""

from __future__ import annotations

import selectors
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from OpenSSL._util import lib  # pyOpenSSL has no method for groups and signature algorithms

SUITE, GROUP, SIGNATURE = "TLS_SM4_GCM_SM3", "curveSM2", "sm2sig_sm3"
"""RFC 8998, section 2."""


@dataclass(frozen=True)
class Offer:
    """What a client offers: the suite's names in OpenSSL's words, and its certificate if it has one."""

    suites: str = SUITE
    groups: str = GROUP
    signatures: str = SIGNATURE
    certificate: Path | None = None
    key: Path | None = None


AES_SUITES, AES_GROUPS = "TLS_AES_256_GCM_SHA384:TLS_AES_128_GCM_SHA256", "X25519:P-256"
AES_SIGNATURES = f"ecdsa_secp256r1_sha256:ed25519:rsa_pss_rsae_sha256:{SIGNATURE}"
"""What a client offers that knows nothing of the national suites; the last so that its certificate fits."""


class RefusedError(Exception):
    """The other side ended the connection, with a TLS alert or without."""


class Session:
    """One connection. A context manager, as it holds a process: the relay."""

    def __init__(self, relay: Sequence[str], offer: Offer, seconds: float = 15.0) -> None:
        """Start the relay and prepare the offer; nothing is sent yet."""
        self._relay, self._seconds = relay, seconds
        self._connection = SSL.Connection(_context(offer), None)
        self._connection.set_connect_state()

    def __enter__(self) -> Session:
        self._process = subprocess.Popen(
            self._relay,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def handshake(self) -> None:
        """Complete the client's side; raises RefusedError."""
        deadline = time.monotonic() + self._seconds
        while True:
            try:
                self._connection.do_handshake()
            except SSL.WantReadError:
                self._flush()
                self._fill(deadline)
            except SSL.Error as problem:
                self._flush()
                raise RefusedError(_words(problem)) from problem
            else:
                return self._flush()

    def exchange(self, request: bytes) -> bytes:
        """Send a request, if any, and return the first data of the answer; raises RefusedError."""
        deadline = time.monotonic() + self._seconds
        try:
            if request:
                self._connection.send(request)
            self._flush()
            while True:
                try:
                    return self._connection.recv(65536)
                except SSL.WantReadError:
                    self._fill(deadline)
        except SSL.Error as problem:
            raise RefusedError(_words(problem)) from problem

    @property
    def suite(self) -> str | None:
        """Return the negotiated cipher suite."""
        return self._connection.get_cipher_name()

    @property
    def group(self) -> str | None:
        """Return the negotiated group."""
        return self._connection.get_group_name()

    @property
    def version(self) -> str:
        """Return the negotiated version of TLS."""
        return self._connection.get_protocol_version_name()

    @property
    def certificate(self) -> x509.Certificate:
        """Return the certificate that the other side showed."""
        found = self._connection.get_peer_certificate(as_cryptography=True)
        assert found is not None, "the server showed no certificate"
        return found

    def _flush(self) -> None:
        assert self._process.stdin is not None
        try:
            while True:
                self._process.stdin.write(self._connection.bio_read(65536))
                self._process.stdin.flush()
        except SSL.WantReadError:
            return
        except BrokenPipeError:
            return  # what the other side said before it left can still be read

    def _fill(self, deadline: float) -> None:
        assert self._process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self._process.stdout, selectors.EVENT_READ)
            if not selector.select(max(0.0, deadline - time.monotonic())):
                raise TimeoutError(f"no answer within {self._seconds:g} s")
        data = self._process.stdout.read1(65536)  # type: ignore[attr-defined] # a BufferedReader
        if data:
            self._connection.bio_write(data)
            return
        self._process.wait(timeout=10)
        assert self._process.stderr is not None
        complaint = self._process.stderr.read().decode(errors="replace").strip()
        if complaint:  # the relay itself failed: that is no refusal by the service
            raise OSError(f"the relay failed: {complaint}")
        raise RefusedError("closed")


def _context(offer: Offer) -> SSL.Context:
    context = SSL.Context(SSL.TLS_METHOD)
    context.set_min_proto_version(SSL.TLS1_3_VERSION)
    context.set_tls13_ciphersuites(offer.suites.encode())
    handle = context._context  # pyOpenSSL's own; see the import of lib
    assert lib.SSL_CTX_set1_curves_list(handle, offer.groups.encode()), offer.groups
    assert lib.SSL_CTX_set1_sigalgs_list(handle, offer.signatures.encode()), offer.signatures
    # the chain is proven apart, against the CA of the very organisation
    context.set_verify(SSL.VERIFY_NONE)
    if offer.certificate is not None and offer.key is not None:
        context.use_certificate_file(str(offer.certificate))
        context.use_privatekey_file(str(offer.key))
    return context


def _words(problem: SSL.Error) -> str:
    if isinstance(problem, SSL.ZeroReturnError):
        return "closed"
    return "; ".join(str(part[-1]) for part in problem.args[0]) if problem.args else "closed"


def subject(certificate: x509.Certificate, name: x509.ObjectIdentifier) -> list[str]:
    """Return every value of one attribute of a certificate's subject."""
    return [str(found.value) for found in certificate.subject.get_attributes_for_oid(name)]


def pem(certificate: x509.Certificate) -> str:
    """Return a certificate in PEM."""
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


def public_key(certificate: x509.Certificate) -> bytes:
    """Return the public key of a certificate as DER; that of SM2 too, which cryptography can't parse."""
    key = crypto.X509.from_cryptography(certificate).get_pubkey()
    return crypto.dump_publickey(crypto.FILETYPE_ASN1, key)


ORGANISATION, COMMON_NAME = NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME
