"""SM2, SM3 and SM4-GCM by libprovsm.so: the Go module gmsm, in assembly, called for whole batches.

cffi releases the interpreter lock during a call. The library lies beside this module in the package; private
keys live in its memory, and a handle here is a number.
"""

from __future__ import annotations

import os
import weakref
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cffi

from provnode.crypto.hashing import sm3
from provnode.crypto.nativetree import CALLS, NativeTree
from provnode.crypto.provider import (
    MAX_PEM,
    MAX_SIGNATURE,
    PUBLIC_KEY_BYTES,
    SEAL_BYTES,
    CryptoError,
    Form,
    PrivateKey,
    Reading,
    check_seal_key,
)

LIBRARY_VARIABLE = "PROVNODE_LIBPROVSM"
"""Names another place of the library, for a tree that is not installed."""
_BESIDE = Path(__file__).with_name("libprovsm.so")
_ABI = 4
_DIGEST_BYTES = 32
_NO_KEY = bytes(PUBLIC_KEY_BYTES)
# of a transaction that was read: numbers, and bytes of hashes
_PLACES = 7
_HASHES = 4 * _DIGEST_BYTES
_CALLS = """
int32_t provsm_abi(void);
int32_t provsm_hash_batch(const char *, uint64_t, const char *, uint64_t *, uint64_t, uint64_t, char *);
int32_t provsm_verify_batch(const char *, const char *, uint64_t *, uint64_t, const char *, uint64_t *,
                            uint64_t, uint64_t, char *);
int32_t provsm_generate(uint64_t *, char *);
int32_t provsm_load(const char *, uint64_t, uint64_t *, char *);
int32_t provsm_save(uint64_t, char *, uint64_t *);
int32_t provsm_free(uint64_t);
int32_t provsm_sign(uint64_t, const char *, uint64_t, char *, uint64_t *);
int32_t provsm_seal(const char *, const char *, uint64_t, const char *, uint64_t, char *);
int32_t provsm_open(const char *, const char *, uint64_t, const char *, uint64_t, char *);
int32_t provsm_read_transactions(const char *, uint64_t *, uint64_t, const char *, uint64_t *, uint64_t,
                                 uint64_t, const char *, const char *, uint64_t *, uint64_t, uint64_t,
                                 uint32_t *, char *, char *);
"""


class _Handle:
    """A key in the library; forgotten there with the last reference. It can't be copied or pickled."""

    __slots__ = ("__weakref__", "number", "public")

    def __init__(self, number: int, public: bytes, free: Callable[[int], int]) -> None:
        self.number = number
        self.public = public
        weakref.finalize(self, free, number).atexit = False

    def __reduce__(self) -> str:
        raise TypeError("a key handle can't be pickled")


class Native:
    """`Provider` on libprovsm.so."""

    name = "native"

    def __init__(self, library: Path | None = None) -> None:
        """Load the library. Raises CryptoError where it is missing or of another version."""
        path = library or Path(os.environ.get(LIBRARY_VARIABLE) or _BESIDE)
        self._ffi = cffi.FFI()
        self._ffi.cdef(_CALLS + CALLS)
        try:
            self._lib: Any = self._ffi.dlopen(str(path))
            found = self._lib.provsm_abi()
        except (OSError, AttributeError) as error:
            remedy = "install the package of this machine's architecture, or choose the provider openssl"
            raise CryptoError(f"{path}: {error}", remedy) from error
        if found != _ABI:
            raise CryptoError(f"{path}: found version {found} of its calls, allowed: {_ABI}")

    def generate(self) -> PrivateKey:
        """A new SM2 key. Raises CryptoError."""
        number, public = self._ffi.new("uint64_t *"), bytearray(PUBLIC_KEY_BYTES)
        _check(self._lib.provsm_generate(number, self._out(public)), "key generation")
        return _Handle(number[0], bytes(public), self._lib.provsm_free)

    def load_private(self, pem: bytes) -> PrivateKey:
        """The SM2 key in an unencrypted PKCS#8 PEM. Raises CryptoError."""
        if len(pem) > MAX_PEM:
            raise CryptoError("private key: allowed is one unencrypted PKCS#8 PEM")
        number, public = self._ffi.new("uint64_t *"), bytearray(PUBLIC_KEY_BYTES)
        done = self._lib.provsm_load(pem, len(pem), number, self._out(public))
        _check(done, "private key: allowed is one SM2 key as unencrypted PKCS#8 PEM")
        return _Handle(number[0], bytes(public), self._lib.provsm_free)

    def save_private(self, key: PrivateKey) -> bytes:
        """The key as unencrypted PKCS#8 PEM. Raises CryptoError."""
        pem, length = bytearray(MAX_PEM), self._ffi.new("uint64_t *", MAX_PEM)
        _check(self._lib.provsm_save(_own(key).number, self._out(pem), length), "private key")
        return bytes(pem[: length[0]])

    def public_key(self, key: PrivateKey) -> bytes:
        """The public point, 65 bytes uncompressed. Raises CryptoError."""
        return _own(key).public

    def sign(self, key: PrivateKey, message: bytes) -> bytes:
        """A DER signature over `message`. Raises CryptoError."""
        signature, length = bytearray(MAX_SIGNATURE), self._ffi.new("uint64_t *", MAX_SIGNATURE)
        done = self._lib.provsm_sign(_own(key).number, message, len(message), self._out(signature), length)
        _check(done, "signature")
        return bytes(signature[: length[0]])

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether the signature holds; False also for a key or signature that is none."""
        return self.verify_batch([(public_key, message, signature)])[0]

    def verify_batch(self, items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
        """`verify` of each (public key, message, signature), in order; uses all processors."""
        if not items:
            return []
        keys, messages, signatures = zip(*items, strict=True)
        # what can't hold goes in as something that does not
        points = b"".join([key if len(key) == PUBLIC_KEY_BYTES else _NO_KEY for key in keys])
        signed = [one if len(one) <= MAX_SIGNATURE else b"" for one in signatures]
        text, der = b"".join(messages), b"".join(signed)
        verdicts = bytearray(len(items))
        done = self._lib.provsm_verify_batch(
            points,
            text,
            self._lengths(messages),
            len(text),
            der,
            self._lengths(signed),
            len(der),
            len(items),
            self._out(verdicts),
        )
        _check(done, "verification")
        return [verdict == 1 for verdict in verdicts]

    def hash(self, data: bytes) -> bytes:
        """SM3, 32 bytes."""
        return sm3(data)  # entering the library costs more than one short hash

    def hash_batch(self, messages: Sequence[bytes], prefix: bytes = b"") -> list[bytes]:
        """SM3 of `prefix` and each message, in order; uses all processors."""
        data, digests = b"".join(messages), bytearray(_DIGEST_BYTES * len(messages))
        done = self._lib.provsm_hash_batch(
            prefix, len(prefix), data, self._lengths(messages), len(data), len(messages), self._out(digests)
        )
        _check(done, "hash")
        found = bytes(digests)
        return [found[at : at + _DIGEST_BYTES] for at in range(0, len(found), _DIGEST_BYTES)]

    def read_transactions(
        self, form: Form, ids: Sequence[bytes], points: Sequence[bytes], raws: Sequence[bytes]
    ) -> Reading:
        """Read, hash and verify transactions of a form; uses all processors."""
        parts = (form.payload, form.id, form.leaf, form.signed, form.part.encode())
        common, names, data = b"".join(parts), b"".join(ids), b"".join(raws)
        verdicts = bytearray(len(raws))
        places, hashes = array("I", bytes(4 * _PLACES * len(raws))), bytearray(_HASHES * len(raws))
        done = self._lib.provsm_read_transactions(
            common,
            self._lengths(parts),
            len(common),
            names,
            self._lengths(ids),
            len(names),
            len(ids),
            b"".join(points),
            data,
            self._lengths(raws),
            len(data),
            len(raws),
            self._ffi.from_buffer("uint32_t[]", places),
            self._out(hashes),
            self._out(verdicts),
        )
        _check(done, "transactions")
        return Reading(bytes(verdicts), places, bytes(hashes))

    def open_tree(self, leaf: bytes, inner: bytes, most: int) -> NativeTree:
        """A state tree of which `most` nodes are kept; leaves and inner nodes are hashed behind a prefix."""
        return NativeTree(self._ffi, self._lib, leaf, inner, most)

    def seal(self, key: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Encrypt by SM4-GCM: nonce, ciphertext, tag. Raises CryptoError."""
        check_seal_key(key)
        sealed = bytearray(len(plaintext) + SEAL_BYTES)
        done = self._lib.provsm_seal(key, plaintext, len(plaintext), aad, len(aad), self._out(sealed))
        _check(done, "seal")
        return bytes(sealed)

    def open(self, key: bytes, sealed: bytes, aad: bytes) -> bytes:
        """The plaintext of what `seal` made. Raises CryptoError where it does not open."""
        check_seal_key(key)
        plain = bytearray(max(0, len(sealed) - SEAL_BYTES))
        done = self._lib.provsm_open(key, sealed, len(sealed), aad, len(aad), self._out(plain))
        _check(done, "sealed data does not open: another key, other circumstances, or damaged")
        return bytes(plain)

    def _out(self, buffer: bytearray) -> object:
        return self._ffi.from_buffer("char[]", buffer)

    def _lengths(self, parts: Sequence[bytes]) -> object:
        return self._ffi.from_buffer("uint64_t[]", array("Q", map(len, parts)))


def _own(key: PrivateKey) -> _Handle:
    if not isinstance(key, _Handle):
        raise CryptoError("key: not made by this provider")
    return key


def _check(code: int, what: str) -> None:
    """Raise CryptoError for each code but 0: 1 is a refusal, 2 a fault within the library."""
    if code != 0:
        raise CryptoError(what if code == 1 else f"{what}: libprovsm failed")
