"""Signing keys on a token (HSM, UKey) by PKCS#11; all else is public or bulk and is done by `native`.

Where a provider loads a PEM, this one loads a PKCS#11 URI (RFC 7512), so that `consensus_key` names a file of
one line::

    pkcs11:token=LABEL;object=LABEL?module-path=/usr/lib/vendor.so&pin-source=CREDENTIAL&x-sm2-sign=0x80000211

CREDENTIAL is the name of a systemd credential that holds the PIN. PKCS#11 has no number of its own for SM2:
`x-sm2-sign` is the vendor's mechanism that signs a digest of 32 bytes, e of GB/T 32918.2, and returns r, s.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import PyKCS11
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from provnode.crypto.hashing import sm3
from provnode.crypto.provider import (
    MAX_PEM,
    PUBLIC_KEY_BYTES,
    SM2_ID,
    CryptoError,
    PrivateKey,
    Provider,
    TransactionReader,
)

_SCHEME = "pkcs11:"
_PARTS = ("token", "object", "module-path", "pin-source", "x-sm2-sign")
_LONGEST_PIN = 256
# a, b and the base point of the recommended curve, GB/T 32918.5: what Z hashes beside the id and the key
_CURVE = bytes.fromhex(
    "fffffffeffffffffffffffffffffffffffffffff00000000fffffffffffffffc"
    "28e9fa9e9d9f5e344d5a9e4bcf6509a7f39789f515ab8f92ddbcbd414d940e93"
    "32c4ae2c1f1981195f9904466a39c9948fe30bbff2660be1715a4589334c74c7"
    "bc3736a2f4f6779c59bdcee36b692153d0a9877cc62a474002df32e52139f0a0"
)


class _Handle:
    """A private key of a token, its public point, and the session that it is used in."""

    __slots__ = ("mechanism", "object", "public", "session", "z")

    def __init__(self, session: Any, found: Any, public: bytes, mechanism: int) -> None:  # noqa: ANN401 - untyped
        self.session = session
        self.object = found
        self.public = public
        self.mechanism = mechanism
        self.z = sm3((len(SM2_ID) * 8).to_bytes(2, "big") + SM2_ID + _CURVE + public[1:])

    def __reduce__(self) -> str:
        raise TypeError("a key handle can't be pickled")


class Pkcs11:
    """`Provider` whose private keys stay on a token. One call at a time signs."""

    name = "pkcs11"

    def __init__(self, software: Provider) -> None:
        """Let `software` verify, hash and seal."""
        self._software = software
        self._lock = threading.Lock()
        self._modules: dict[str, Any] = {}
        self.verify = software.verify
        self.verify_batch = software.verify_batch
        self.hash = software.hash
        self.hash_batch = software.hash_batch
        self.seal = software.seal
        self.open = software.open
        if isinstance(software, TransactionReader):
            self.read_transactions = software.read_transactions

    def generate(self) -> PrivateKey:
        """Refused: a token's key is made by its vendor's tool, under the organisation's rules for tokens."""
        raise CryptoError("key generation: not on a token", "make the key by the vendor's tool")

    def load_private(self, pem: bytes) -> PrivateKey:
        """The key that a PKCS#11 URI names. Raises CryptoError: no such token, key or PIN."""
        told = _parse(pem)
        pin = _pin(told["pin-source"])
        try:
            session = self._session(told["module-path"], told["token"])
            with self._lock:
                _login(session, pin)
                private = _only(session, PyKCS11.CKO_PRIVATE_KEY, told["object"])
                public = _only(session, PyKCS11.CKO_PUBLIC_KEY, told["object"])
                (point,) = session.getAttributeValue(public, [PyKCS11.CKA_EC_POINT])
        except PyKCS11.PyKCS11Error as error:
            raise CryptoError(f"key on token {told['token']!r}: {error}") from None
        return _Handle(session, private, _point(bytes(point)), int(told["x-sm2-sign"], 0))

    def save_private(self, key: PrivateKey) -> bytes:
        """Refused: the key stays on its token."""
        _own(key)
        raise CryptoError("private key: stays on its token")

    def public_key(self, key: PrivateKey) -> bytes:
        """The public point, 65 bytes uncompressed. Raises CryptoError."""
        return _own(key).public

    def sign(self, key: PrivateKey, message: bytes) -> bytes:
        """A DER signature over `message`. Raises CryptoError, also when the token is gone."""
        own = _own(key)
        digest = self._software.hash_batch([message], own.z)[0]
        try:
            with self._lock:
                mechanism = PyKCS11.Mechanism(own.mechanism)
                signed = bytes(own.session.sign(own.object, digest, mechanism))
        except PyKCS11.PyKCS11Error as error:
            raise CryptoError(f"signature by the token: {error}") from None
        if len(signed) != 64:
            raise CryptoError(f"signature by the token: found {len(signed)} bytes, allowed: 64 (r, s)")
        return encode_dss_signature(int.from_bytes(signed[:32], "big"), int.from_bytes(signed[32:], "big"))

    def _session(self, module: str, token: str) -> Any:  # noqa: ANN401 - PyKCS11 has no types
        with self._lock:
            if module not in self._modules:
                library = PyKCS11.PyKCS11Lib()
                library.load(module)
                self._modules[module] = library
            library = self._modules[module]
            for slot in library.getSlotList(tokenPresent=True):
                if library.getTokenInfo(slot).label.strip() == token:
                    return library.openSession(slot)
        raise CryptoError(f"key: {module} has no token {token!r}")


def _parse(uri: bytes) -> dict[str, str]:
    """The parts of a URI, each once and none else. Raises CryptoError."""
    allowed = f"{_SCHEME}token=…;object=…?module-path=…&pin-source=…&x-sm2-sign=…"
    try:
        text = uri[:MAX_PEM].decode().strip()
        path, _, query = text.removeprefix(_SCHEME).partition("?")
        words = [word.partition("=") for word in (*path.split(";"), *query.split("&"))]
        told = {name: unquote(value, errors="strict") for name, _, value in words}
        right = text.startswith(_SCHEME) and len(uri) <= MAX_PEM
        right = right and sorted(name for name, _, _ in words) == sorted(_PARTS) and all(told.values())
        right = right and 0 <= int(told["x-sm2-sign"], 0) < 2**32
    except (ValueError, KeyError):
        right = False
    if not right:
        raise CryptoError(f"key: not the URI of one on a token, allowed: {allowed}")
    return told


def _pin(name: str) -> str:
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    if not folder or Path(name).name != name:
        raise CryptoError(
            f"PIN: systemd gave this process no credential {name!r}",
            f"LoadCredentialEncrypted={name}:FILE in its unit",
        )
    try:
        with Path(folder, name).open(encoding="utf-8") as source:
            return source.read(_LONGEST_PIN).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise CryptoError(f"PIN: credential {name!r}: {error}") from None


def _login(session: Any, pin: str) -> None:  # noqa: ANN401 - PyKCS11 has no types
    try:
        session.login(pin)
    except PyKCS11.PyKCS11Error as error:
        # a login counts for all sessions of a process on a token
        if error.value != PyKCS11.CKR_USER_ALREADY_LOGGED_IN:
            raise


def _only(session: Any, kind: int, label: str) -> Any:  # noqa: ANN401 - PyKCS11 has no types
    found: Sequence[Any] = session.findObjects([(PyKCS11.CKA_CLASS, kind), (PyKCS11.CKA_LABEL, label)])
    if len(found) != 1:
        raise CryptoError(f"key: the token has {len(found)} objects {label!r} of class {kind}, allowed: 1")
    return found[0]


def _point(value: bytes) -> bytes:
    """The point of CKA_EC_POINT: bare, or as tokens mostly give it in a DER OCTET STRING."""
    point = value[2:] if value[:2] == bytes([4, PUBLIC_KEY_BYTES]) else value
    if len(point) != PUBLIC_KEY_BYTES or point[0] != 4:
        raise CryptoError("public key: not an uncompressed SM2 point")
    return point


def _own(key: PrivateKey) -> _Handle:
    if not isinstance(key, _Handle):
        raise CryptoError("key: not made by this provider")
    return key
