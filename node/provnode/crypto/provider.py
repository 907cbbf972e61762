"""The seam to the cryptographic library: gmsm in a library of the package, OpenSSL, or a hardware module."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Protocol, runtime_checkable

SM2_ID = b"1234567812345678"
"""The signer's distinguishing identifier, GB/T 35276: the default where none is agreed."""
PUBLIC_KEY_BYTES = 65
"""An uncompressed SM2 point: 04, x, y."""
MAX_SIGNATURE = 72
"""The DER of two integers below 2^256, bytes; nothing longer is a signature."""
MAX_PEM = 16 * 1024
"""The longest PEM that is read, bytes."""
SEAL_KEY_BYTES = 16
"""A key of SM4."""
SEAL_BYTES = 28
"""What sealing adds: a nonce of 12 bytes in front, a tag of 16 behind."""


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
    """SM2 signatures with SM3 (GB/T 32918.2), SM3 (GB/T 32905), SM4 (GB/T 32907) in GCM (NIST SP 800-38D).

    Thread-safe; calls release the interpreter lock. All providers answer alike, bit for bit, to what others
    send: a verdict that differed between two of them would split the chain.
    """

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

    def hash_batch(self, messages: Sequence[bytes], prefix: bytes = b"") -> list[bytes]:
        """SM3 of `prefix` followed by each message, in order; uses all processors where it is worth it."""

    def seal(self, key: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Encrypt by SM4-GCM under 16 bytes of key: a fresh nonce of 12 bytes, ciphertext, tag of 16.

        `aad` is authenticated, not hidden, and not part of the result. As nonces are random, one key seals
        at most 2^32 texts (NIST SP 800-38D, 8.3). Raises CryptoError for a key of another length.
        """

    def open(self, key: bytes, sealed: bytes, aad: bytes) -> bytes:
        """The plaintext of what `seal` made with this key and `aad`. Raises CryptoError if it was not."""


class Verdict(IntEnum):
    """What a `TransactionReader` says of a transaction; the numbers are the native library's."""

    UNREAD = 0
    """Not of the plain form, which says nothing about whether it is right."""
    SIGNED = 1
    """The signature holds."""
    FORGED = 2
    """The signature does not hold."""
    UNKNOWN = 3
    """The signer is not among those given."""


@dataclass(frozen=True, slots=True)
class Form:
    """What all plain transactions of a chain have in common: pack([payload, signer id, signature]).

    `payload` begins every payload, the rest of which is the body, packed as bytes: a JSON object in canonical
    spelling. SM3 of `id` and pack([payload, signer id]) without its first byte is a transaction's id, SM3 of
    `leaf` and all its bytes its leaf; `signed` and the id are what is signed. `part` is the key in the body
    whose value is hashed for itself as well.
    """

    payload: bytes
    id: bytes
    leaf: bytes
    signed: bytes
    part: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of a batch of transactions.

    `verdicts` has a `Verdict` each. Unless that is UNREAD, `places` has seven numbers each: the signer's
    index (for UNKNOWN without meaning), where signature, body and its part begin and end; and `hashes` four
    times 32 bytes: id, leaf, SM3 of the body and of its part.
    """

    verdicts: bytes
    places: Sequence[int]
    hashes: bytes


@runtime_checkable
class TransactionReader(Protocol):
    """A provider that reads, hashes and verifies a batch of transactions in one call."""

    def read_transactions(
        self, form: Form, ids: Sequence[bytes], points: Sequence[bytes], raws: Sequence[bytes]
    ) -> Reading:
        """Read `raws` against the signers with these ids and public points of 65 bytes each."""


def check_seal_key(key: bytes) -> None:
    """Raise CryptoError unless this is the length of an SM4 key."""
    if len(key) != SEAL_KEY_BYTES:
        raise CryptoError(f"SM4 key: found {len(key)} bytes, allowed: {SEAL_KEY_BYTES}")


@cache
def get_provider(name: str) -> Provider:
    """The provider that a configuration names. Raises CryptoError for an unknown name."""
    if name == "native":
        from provnode.crypto.native import Native

        return Native()
    if name == "openssl":
        from provnode.crypto.openssl import OpenSSL

        return OpenSSL()
    if name == "pkcs11":
        from provnode.crypto.pkcs11 import Pkcs11

        return Pkcs11(get_provider("native"))
    raise CryptoError(f"crypto provider: found {name!r}, allowed: native, openssl, pkcs11")
