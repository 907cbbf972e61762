"""A TLS client of the suite's own, through a relay on a host: what is negotiated, and who is refused.

It is not the engine's code, so it tells what the other side accepts, not what the engine offers by itself.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from OpenSSL import SSL, crypto
from OpenSSL._util import lib  # pyOpenSSL has no method for groups and signature algorithms

_T = TypeVar("_T")

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
    """TLS on one connection, which the caller keeps and closes."""

    def __init__(self, connection: socket.socket, offer: Offer) -> None:
        """Prepare the offer; nothing is sent yet."""
        self._socket = connection
        self._tls = SSL.Connection(_context(offer), None)
        self._tls.set_connect_state()

    def handshake(self) -> None:
        """Complete the client's side; raises RefusedError."""
        self._step(self._tls.do_handshake)

    def exchange(self, request: bytes) -> bytes:
        """Send a request, if any, and return the first data of the answer; raises RefusedError."""
        if request:
            self._step(lambda: self._tls.send(request))
        return self._step(lambda: self._tls.recv(65536))

    def _step(self, action: Callable[[], _T]) -> _T:
        """Do one thing with TLS, moving bytes until it is done; TimeoutError when none come."""
        while True:
            try:
                done = action()
            except SSL.WantReadError:
                self._send()
                data = self._receive()
                if not data:
                    raise RefusedError("closed") from None
                self._tls.bio_write(data)
            except SSL.Error as problem:
                self._send()
                raise RefusedError(_words(problem)) from problem
            else:
                self._send()
                return done

    def _send(self) -> None:
        # a pipe that broke: what the other side said before it left can still be read
        with contextlib.suppress(SSL.WantReadError, BrokenPipeError, ConnectionResetError):
            while True:
                self._socket.sendall(self._tls.bio_read(65536))

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except ConnectionResetError:
            return b""

    @property
    def suite(self) -> str | None:
        """Return the negotiated cipher suite."""
        return self._tls.get_cipher_name()

    @property
    def group(self) -> str | None:
        """Return the negotiated group."""
        return self._tls.get_group_name()

    @property
    def version(self) -> str:
        """Return the negotiated version of TLS."""
        return self._tls.get_protocol_version_name()

    @property
    def certificate(self) -> x509.Certificate:
        """Return the certificate that the other side showed."""
        found = self._tls.get_peer_certificate(as_cryptography=True)
        assert found is not None, "the server showed no certificate"
        return found


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
