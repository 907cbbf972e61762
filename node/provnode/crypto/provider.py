"""The interface that every source of SM2 and SM3 has: OpenSSL now; native libraries, HSM and UKey later."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

PUBLIC_KEY_BYTES = 65
DIGEST_BYTES = 32


class CryptoError(Exception):
    """A key or an operation that the provider refuses; the message says which and why."""


class PrivateKey(Protocol):
    """A handle of a private key, which needn't be in memory."""

    @property
    def public(self) -> bytes:
        """Return the uncompressed point, 65 bytes."""


KeyPair = PrivateKey
"""A private key is never without its public point."""


class Provider(Protocol):
    """SM2 with SM3 (GB/T 32918, GB/T 32905) under the identity 1234567812345678."""

    name: str

    def generate(self) -> PrivateKey:
        """Make a new key pair."""

    def load_private(self, pem: bytes) -> PrivateKey:
        """Read a PKCS#8 PEM; raises CryptoError if it isn't an SM2 key."""

    def save_private(self, key: PrivateKey) -> bytes:
        """Return the key as PKCS#8 PEM; raises CryptoError for a handle that can't be exported."""

    def public_key(self, key: PrivateKey) -> bytes:
        """Return the key's public point, 65 bytes uncompressed."""

    def sign(self, key: PrivateKey, message: bytes) -> bytes:
        """Return a DER signature of ``message``; two calls give two signatures."""

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Tell whether ``signature`` is ``public``'s over ``message``; False for anything malformed."""

    def verify_batch(self, items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
        """Verify many (public, message, signature) and return a verdict for each, in order."""

    def hash(self, data: bytes) -> bytes:
        """Return the 32-byte SM3 digest."""


def get_provider(name: str) -> Provider:
    """Return the provider of that name; raises CryptoError for an unknown one."""
    if name == "openssl":
        from provnode.crypto.openssl import OpenSSL

        return OpenSSL()
    raise CryptoError(f"unknown crypto provider {name!r}; known: openssl")
