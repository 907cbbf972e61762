"""Who this node is, whom it trusts, and the TLS contexts made from that.

A node is `CN` of an organisation `O`. Its certificate counts only if it chains to the CA of that very
organisation (`<trust_dir>/<O>.pem`), so one organisation's CA can't issue a node of another. The files are
read anew for the next connection when they change on the disk: rotation needs no restart. A certificate that
its organisation has revoked counts no more, whether the chain says so or a list in `<trust_dir>/<O>.crl`.
"""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import Callable, Iterator, Mapping, Set
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import SSL, crypto

# for what pyOpenSSL has no method: signature algorithms and groups (RFC 8446 sections 4.2.3 and 4.2.7)
from OpenSSL._util import lib

from provnode.crypto.crl import read_crl
from provnode.crypto.provider import PUBLIC_KEY_BYTES, CryptoError, get_provider
from provnode.crypto.spki import SPKI
from provnode.net.errors import IdentityError, TlsError
from provnode.net.events import log_event

# RFC 8998 section 2: suite, group and signature algorithm of TLS 1.3 with the national algorithms
SUITE = "TLS_SM4_GCM_SM3"
GROUP = "curveSM2"
SIGNATURE = "sm2sig_sm3"
_SM2_WITH_SM3 = "1.2.156.10197.1.501"
# a certificate, at most one intermediate, and the CA
_DEPTH = 2

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PeerIdentity:
    """A node as its certificate names it; `expires` is the certificate's end.

    `serials` are those of the certificate and of any between it and the CA.
    """

    name: str
    organisation: str
    expires: datetime
    serials: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What was read from the files together."""

    own: PeerIdentity
    certificate: bytes
    cas: dict[str, bytes]
    server: SSL.Context
    client: SSL.Context
    revoked: Mapping[str, frozenset[int]]


class Identity:
    """The key, certificate and trusted CAs of this node.

    `organisations` are those that may take part (the genesis lists them); `unseal` gives the PEM of what lies
    in the key's file. Raises IdentityError when the files
    can't be used; later changes that can't be used are logged (`identity.reload_failed`), and the files read
    before stay in force.
    """

    def __init__(
        self,
        key: Path,
        cert: Path,
        trust_dir: Path,
        organisations: Set[str],
        unseal: Callable[[bytes], bytes] = bytes,
    ) -> None:
        self.key = key
        self.cert = cert
        self.trust_dir = trust_dir
        self.organisations = frozenset(organisations)
        self._unseal = unseal
        self._revoked: Mapping[str, frozenset[int]] = {}
        self._watchers: list[Callable[[], None]] = []
        self._stamp = self._look()
        self._loaded = self._load()

    @property
    def own(self) -> PeerIdentity:
        """This node, as its own certificate names it."""
        return self._current().own

    @property
    def shown(self) -> PeerIdentity:
        """The same as the files were when they were looked at last, which costs nothing."""
        return self._loaded.own

    @property
    def certificate(self) -> bytes:
        """This node's certificate, DER."""
        return self._current().certificate

    def context(self, *, server: bool) -> SSL.Context:
        """The TLS context for the next connection."""
        current = self._current()
        return current.server if server else current.client

    def check_peer(self, connection: SSL.Connection, *, server: bool) -> PeerIdentity:
        """Assert what was negotiated and who the other side is. Raises TlsError.

        The library's defaults silently fall back to AES, so what was asked for is asserted on every
        connection. The certificate's key is an SM2 key and only one signature algorithm is offered, so the
        handshake's own signature was SM2 with SM3 (RFC 8998 section 3.2.1).
        """
        _expect("version", connection.get_protocol_version_name(), "TLSv1.3")
        _expect("suite", connection.get_cipher_name(), SUITE)
        _expect("group", connection.get_group_name(), GROUP)
        if lib.SSL_session_reused(connection._ssl):
            raise TlsError("resumed", "a resumed session proves no identity")
        # on the side that verified, OpenSSL has checked dates, signatures and purpose of this chain
        with _reading():
            chain = connection.get_verified_chain(as_cryptography=True)
        if not chain:
            raise TlsError("no_certificate", "the other side showed no certificate")
        wanted = ExtendedKeyUsageOID.CLIENT_AUTH if server else ExtendedKeyUsageOID.SERVER_AUTH
        cas = self._current().cas
        with _reading():
            found = self._identify(chain[0], chain[-1], wanted, cas)
        found = replace(found, serials=tuple(cert.serial_number for cert in chain[:-1]))
        if self.is_revoked(found):
            raise TlsError("revoked", f"the certificate of {found.name!r} was revoked by its organisation")
        return found

    def is_revoked(self, peer: PeerIdentity) -> bool:
        """Whether its organisation has revoked the certificate, on the chain or by a list in a file."""
        loaded = self._current()
        revoked: Set[int] = frozenset().union(
            *(found.get(peer.organisation, frozenset()) for found in (self._revoked, loaded.revoked))
        )
        return not revoked.isdisjoint(peer.serials)

    def revoke(self, serials: Mapping[str, frozenset[int]]) -> None:
        """Let these certificates, by organisation, count no more: what the chain says now."""
        if serials != self._revoked:
            self._revoked = dict(serials)
            self._tell()

    def on_revoked(self, watcher: Callable[[], None]) -> None:
        """Call `watcher` whenever certificates are revoked, so that it ends the connections made by them."""
        self._watchers.append(watcher)

    def _tell(self) -> None:
        log_event(log, logging.INFO, "identity.revoked", organisations=len(self._revoked))
        for watcher in self._watchers:
            watcher()

    def _identify(
        self,
        cert: x509.Certificate,
        root: x509.Certificate,
        wanted: x509.ObjectIdentifier,
        cas: dict[str, bytes],
    ) -> PeerIdentity:
        found = _read_names(cert)
        _expect("certificate_signature", cert.signature_algorithm_oid.dotted_string, _SM2_WITH_SM3)
        if not _spki(cert).startswith(SPKI):
            raise TlsError("certificate_key", "the certificate's key is no SM2 key")
        try:
            usage = cert.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        except (x509.ExtensionNotFound, ValueError) as error:
            raise TlsError("key_usage", f"the certificate has no extended key usage: {error}") from error
        if wanted not in usage:
            raise TlsError("key_usage", f"the certificate is not for {wanted.dotted_string}")
        if found.organisation not in self.organisations:
            raise TlsError("organisation", f"organisation {found.organisation!r} is not of this network")
        if cas.get(found.organisation) != root.public_bytes(Encoding.DER):
            raise TlsError("issuer", f"{found.name!r} is not issued by the CA of {found.organisation!r}")
        return found

    def _current(self) -> _Loaded:
        try:
            stamp = self._look()
        except IdentityError as error:
            log_event(log, logging.ERROR, "identity.reload_failed", error=error)
            return self._loaded
        if stamp != self._stamp:
            # remember the stamp first: what can't be read is reported once, not with every connection
            self._stamp, before = stamp, self._loaded.revoked
            try:
                self._loaded = self._load()
            except IdentityError as error:
                log_event(log, logging.ERROR, "identity.reload_failed", error=error)
            else:
                log_event(log, logging.INFO, "identity.reloaded", expires=self._loaded.own.expires)
                if self._loaded.revoked != before:
                    self._tell()
        return self._loaded

    def _look(self) -> tuple[tuple[str, int, int, int], ...]:
        try:
            files = [self.key, self.cert, *sorted(self.trust_dir.glob("*.pem"))]
            files += sorted(self.trust_dir.glob("*.crl"))
            stats = [(str(path), path.stat()) for path in files]
        except OSError as error:
            raise IdentityError("files", f"{error.filename}: {error.strerror}") from error
        return tuple((name, found.st_mtime_ns, found.st_size, found.st_ino) for name, found in stats)

    def _load(self) -> _Loaded:
        try:
            mode = self.key.stat().st_mode & 0o777
            if mode & 0o077:
                raise IdentityError("key_mode", f"{self.key}: found mode {mode:04o}", "allowed: 0600")
            cas = {
                path.stem: x509.load_pem_x509_certificate(path.read_bytes())
                for path in sorted(self.trust_dir.glob("*.pem"))
            }
            leaf = x509.load_pem_x509_certificate(self.cert.read_bytes())
            ders = {name: ca.public_bytes(Encoding.DER) for name, ca in cas.items()}
            root = cas.get(_read_names(leaf).organisation)
            if root is None:
                raise IdentityError("trust", f"{self.trust_dir}: no CA of this node's own organisation")
            own = self._identify(leaf, root, ExtendedKeyUsageOID.CLIENT_AUTH, ders)
            _verify(leaf, root)
            # by DER: for PEM the library makes a callback, which MemoryDenyWriteExecute forbids
            der_key = _der(self._unseal(self.key.read_bytes()))
            key = crypto.load_privatekey(crypto.FILETYPE_ASN1, der_key)
            der = leaf.public_bytes(Encoding.DER)
            contexts = self._context(cas, key), self._context(cas, key)
            return _Loaded(own, der, ders, *contexts, self._read_lists(cas))
        except OSError as error:
            raise IdentityError("files", f"{error.filename}: {error.strerror}") from error
        except ValueError as error:
            raise IdentityError("files", f"{self.key}, {self.cert} or {self.trust_dir}: {error}") from error
        except CryptoError as error:
            raise IdentityError("key", f"{self.key}: {error}") from error
        except TlsError as error:
            raise IdentityError(error.reason, f"{self.cert}: {error}") from error
        except (SSL.Error, crypto.Error) as error:
            raise IdentityError("files", f"{self.key}, {self.cert}: {describe(error)}") from error

    def _read_lists(self, cas: dict[str, x509.Certificate]) -> dict[str, frozenset[int]]:
        """The lists beside the CAs, for emergencies and for where the chain takes none."""
        found = {}
        for path in sorted(self.trust_dir.glob("*.crl")):
            ca = cas.get(path.stem)
            if ca is None:
                raise IdentityError("crl", f"{path}: no CA of that organisation is trusted")
            try:
                crl = read_crl(path.read_bytes(), path.stem)
            except ValueError as error:
                raise IdentityError("crl", f"{path}: {error}") from error
            if not get_provider("openssl").verify(_spki(ca)[-PUBLIC_KEY_BYTES:], crl.signed, crl.signature):
                raise IdentityError("crl", f"{path}: not signed by the CA of {path.stem!r}")
            found[path.stem] = crl.serials
        return found

    def _context(self, cas: dict[str, x509.Certificate], key: crypto.PKey) -> SSL.Context:
        context = SSL.Context(SSL.TLS_METHOD)
        context.set_min_proto_version(SSL.TLS1_3_VERSION)
        context.set_max_proto_version(SSL.TLS1_3_VERSION)
        context.set_tls13_ciphersuites(SUITE.encode())
        # _context is the library's handle: the two lists below have no method in pyOpenSSL
        if not lib.SSL_CTX_set1_curves_list(context._context, GROUP.encode()) or not (
            lib.SSL_CTX_set1_sigalgs_list(context._context, SIGNATURE.encode())
        ):
            raise IdentityError("library", "this OpenSSL lacks the national algorithms", "use the locked one")
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
        context.set_options(SSL.OP_NO_TICKET | SSL.OP_NO_RENEGOTIATION)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT)
        context.set_verify_depth(_DEPTH)
        store = context.get_cert_store()
        if store is None:
            raise IdentityError("library", "the TLS context has no certificate store")
        for ca in cas.values():
            store.add_cert(crypto.X509.from_cryptography(ca))
        context.use_certificate_chain_file(str(self.cert))
        # pyOpenSSL's own call is deprecated in favour of keys of `cryptography`, which has none of SM2
        if not lib.SSL_CTX_use_PrivateKey(context._context, key._pkey):
            lib.ERR_clear_error()
            raise IdentityError("files", f"{self.key}: is not the key of {self.cert}")
        context.check_privatekey()
        return context


@contextlib.contextmanager
def _reading() -> Iterator[None]:
    """Refuse a certificate that the library can't take apart. Raises TlsError.

    Whose CA signed it doesn't make it well-formed, and the library's errors are of many kinds.
    """
    try:
        yield
    except TlsError:
        raise
    except Exception as error:
        raise TlsError("certificate", f"the certificate can't be read: {describe(error)}") from error


def _der(pem: bytes) -> bytes:
    """The PKCS#8 DER in an unencrypted PEM (RFC 7468). Raises ValueError."""
    lines = pem.strip().splitlines()
    if (lines[:1], lines[-1:]) != ([b"-----BEGIN PRIVATE KEY-----"], [b"-----END PRIVATE KEY-----"]):
        raise ValueError("the key is no unencrypted PKCS#8 PEM")
    return base64.b64decode(b"".join(lines[1:-1]), validate=True)


def describe(error: Exception) -> str:
    """OpenSSL's own words for an error, in one line."""
    parts = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return "; ".join(str(part[-1]) for part in parts) or str(error) or type(error).__name__


def _verify(leaf: x509.Certificate, root: x509.Certificate) -> None:
    """The CA's signature and dates of this node's own certificate."""
    store = crypto.X509Store()
    store.add_cert(crypto.X509.from_cryptography(root))
    try:
        crypto.X509StoreContext(store, crypto.X509.from_cryptography(leaf)).verify_certificate()
    except crypto.X509StoreContextError as error:
        raise TlsError("issuer", str(error)) from error


def _spki(cert: x509.Certificate) -> bytes:
    """The certificate's SubjectPublicKeyInfo, which PyPI cryptography can't read with an SM2 key in it."""
    return crypto.dump_publickey(crypto.FILETYPE_ASN1, crypto.X509.from_cryptography(cert).get_pubkey())


def _expect(what: str, found: object, allowed: str) -> None:
    if found != allowed:
        raise TlsError(what, f"{what}: found {found!r}, allowed: {allowed}")


def _read_names(cert: x509.Certificate) -> PeerIdentity:
    """CN and O, each exactly once: a second one could be read differently elsewhere."""
    values = []
    for oid, what in ((NameOID.COMMON_NAME, "CN"), (NameOID.ORGANIZATION_NAME, "O")):
        found = cert.subject.get_attributes_for_oid(oid)
        if len(found) != 1 or not found[0].value:
            raise TlsError("subject", f"the certificate names {len(found)} {what}, one is needed")
        values.append(str(found[0].value))
    if cert.not_valid_after_utc <= datetime.now(UTC):
        raise TlsError("expired", f"the certificate of {values[0]!r} ended {cert.not_valid_after_utc:%F %R}Z")
    return PeerIdentity(values[0], values[1], cert.not_valid_after_utc)
