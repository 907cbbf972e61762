"""The seam to the cryptographic library: OpenSSL today, a hardware module behind the same calls later."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Protocol

SM2_ID = b"1234567812345678"
"""The signer's distinguishing identifier, GB/T 35276: the default where none is agreed."""
PUBLIC_KEY_BYTES = 65
"""An uncompressed SM2 point: 04, x, y."""


class CryptoError(Exception):
    """A key can't be used, or the library refused.

    A signature that does not hold is no error: `verify` answers False.
    """

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(f"{message} ({remedy})" if remedy else message)
        self.remedy = remedy


class PrivateKey(Protocol):
    """A handle of a private key, which needn't be in memory; only the provider that made it can use it."""

    @property
    def public(self) -> bytes:
        """The public point, 65 bytes uncompressed."""


KeyPair = PrivateKey
"""A private key is never without its public point."""


class Provider(Protocol):
    """SM2 signatures with SM3 (GB/T 32918.2) and SM3. Thread-safe; calls release the interpreter lock."""

    name: str

    def generate(self) -> KeyPair:
        """A new SM2 key from the library's random generator. Raises CryptoError."""

    def load_private(self, pem: bytes) -> KeyPair:
        """The SM2 key in an unencrypted PKCS#8 PEM. Raises CryptoError."""

    def save_private(self, key: KeyPair) -> bytes:
        """The key as unencrypted PKCS#8 PEM: the caller keeps it secret. Raises CryptoError."""

    def public_key(self, key: KeyPair) -> bytes:
        """The public point, 65 bytes uncompressed."""

    def sign(self, key: KeyPair, message: bytes) -> bytes:
        """A DER signature (at most 72 bytes) over `message`; randomised. Raises CryptoError."""

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether the signature holds; False also for a key or signature that is none."""

    def verify_batch(self, items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
        """`verify` of each (public key, message, signature), in order; uses all processors."""

    def hash(self, data: bytes) -> bytes:
        """SM3, 32 bytes."""


@cache
def get_provider(name: str) -> Provider:
    """The provider that a configuration names. Raises CryptoError for an unknown name."""
    if name == "openssl":
        from provnode.crypto.openssl import OpenSSL

        return OpenSSL()
    raise CryptoError(f"crypto provider: found {name!r}, allowed: openssl")
