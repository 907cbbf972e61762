"""SM2 and SM3 by OpenSSL 3 (EVP), called through ctypes, which releases the interpreter lock; SM4-GCM by the
OpenSSL 4 that `cryptography` brings, as OpenSSL 3.0 has SM4 in no authenticated mode.

Every result is checked and everything allocated is freed. OpenSSL's error queue belongs to the thread, so it
is emptied before a call and read right after a failed one.
"""

from __future__ import annotations

import ctypes
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from provnode.crypto import sm4
from provnode.crypto.hashing import sm3
from provnode.crypto.libcrypto import load
from provnode.crypto.provider import (
    MAX_PEM,
    MAX_SIGNATURE,
    PUBLIC_KEY_BYTES,
    SM2_ID,
    CryptoError,
    PrivateKey,
    check_seal_key,
)
from provnode.crypto.spki import SPKI

# parsed public keys that are kept: validators and the signers of recent transactions
_KEPT_KEYS = 4096
# below this a batch costs more to spread than to verify
_MIN_BATCH = 8
_BIO_CTRL_INFO = 3

_lib = load()


class _Handle:
    """An SM2 EVP_PKEY and its point; freed with the last reference. It can't be copied or pickled."""

    __slots__ = ("__weakref__", "pointer", "public")

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer
        # from here on it is freed, whatever the checks below say
        weakref.finalize(self, _lib.EVP_PKEY_free, pointer).atexit = False
        if _lib.EVP_PKEY_is_a(pointer, b"SM2") != 1:
            raise CryptoError("key: found another algorithm, allowed: SM2")
        self.public = self._point()

    def _point(self) -> bytes:
        data = ctypes.POINTER(ctypes.c_ubyte)()
        length = _lib.EVP_PKEY_get1_encoded_public_key(self.pointer, ctypes.byref(data))
        if not length:
            raise _failure("public key")
        try:
            point = ctypes.string_at(data, length)
        finally:
            _lib.CRYPTO_free(data, None, 0)
        if len(point) != PUBLIC_KEY_BYTES or point[0] != 4:
            raise CryptoError("public key: not an uncompressed SM2 point")
        return point

    def __reduce__(self) -> str:
        raise TypeError("a key handle can't be pickled")


class OpenSSL:
    """`Provider` on libcrypto.so.3."""

    name = "openssl"

    def __init__(self) -> None:
        # fetched once: an implicit fetch with every signature costs a search of OpenSSL's providers
        self._sm3 = _allocated(_lib.EVP_MD_fetch(None, b"SM3", None), "SM3")
        self._workers = os.cpu_count() or 1
        self._pool = ThreadPoolExecutor(self._workers, "sm2") if self._workers > 1 else None

    def generate(self) -> PrivateKey:
        """A new SM2 key. Raises CryptoError."""
        _lib.ERR_clear_error()
        with _owned(_lib.EVP_PKEY_CTX_new_from_name(None, b"SM2", None), _lib.EVP_PKEY_CTX_free) as context:
            key = ctypes.c_void_p()
            _checked(_lib.EVP_PKEY_keygen_init(context), "key generation")
            _checked(_lib.EVP_PKEY_generate(context, ctypes.byref(key)), "key generation")
        return _Handle(_allocated(key.value, "key generation"))

    def load_private(self, pem: bytes) -> PrivateKey:
        """The SM2 key in an unencrypted PKCS#8 PEM. Raises CryptoError."""
        if not pem.lstrip().startswith(b"-----BEGIN PRIVATE KEY-----") or len(pem) > MAX_PEM:
            raise CryptoError("private key: allowed is one unencrypted PKCS#8 PEM")
        _lib.ERR_clear_error()
        with _owned(_lib.BIO_new_mem_buf(pem, len(pem)), _lib.BIO_free) as bio:
            # the empty passphrase keeps OpenSSL from asking on the terminal
            found = _lib.PEM_read_bio_PrivateKey(bio, None, None, b"")
        key = _Handle(_allocated(found, "private key"))
        # reading does not look whether the number is in [1, n-2] and belongs to the point beside it
        with _owned(_lib.EVP_PKEY_CTX_new(key.pointer, None), _lib.EVP_PKEY_CTX_free) as context:
            _checked(_lib.EVP_PKEY_check(context), "private key")
        return key

    def save_private(self, key: PrivateKey) -> bytes:
        """The key as unencrypted PKCS#8 PEM. Raises CryptoError."""
        pointer = _own(key).pointer
        _lib.ERR_clear_error()
        # secure memory is wiped when it is freed
        with _owned(_lib.BIO_new(_lib.BIO_s_secmem()), _lib.BIO_free) as bio:
            _checked(
                _lib.PEM_write_bio_PKCS8PrivateKey(bio, pointer, None, None, 0, None, None), "private key"
            )
            data = ctypes.c_void_p()
            length = _lib.BIO_ctrl(bio, _BIO_CTRL_INFO, 0, ctypes.byref(data))
            return ctypes.string_at(_allocated(data.value, "private key"), length)

    def public_key(self, key: PrivateKey) -> bytes:
        """The public point, 65 bytes uncompressed. Raises CryptoError."""
        return _own(key).public

    def sign(self, key: PrivateKey, message: bytes) -> bytes:
        """A DER signature over `message`. Raises CryptoError."""
        pointer = _own(key).pointer
        _lib.ERR_clear_error()
        with _owned(_lib.EVP_MD_CTX_new(), _lib.EVP_MD_CTX_free) as context:
            self._begin(_lib.EVP_DigestSignInit, context, pointer)
            size = ctypes.c_size_t(MAX_SIGNATURE)
            signature = ctypes.create_string_buffer(MAX_SIGNATURE)
            _checked(
                _lib.EVP_DigestSign(context, signature, ctypes.byref(size), message, len(message)),
                "signature",
            )
        return signature.raw[: size.value]

    def verify(self, public_key: bytes, message: bytes, signature: bytes) -> bool:
        """Whether the signature holds; False also for a key or signature that is none."""
        if len(signature) > MAX_SIGNATURE:
            return False
        key = _parse_public(public_key)
        if key is None:
            return False
        _lib.ERR_clear_error()
        with _owned(_lib.EVP_MD_CTX_new(), _lib.EVP_MD_CTX_free) as context:
            self._begin(_lib.EVP_DigestVerifyInit, context, key.pointer)
            # 0 and negative results both mean that it does not hold: wrong, or not a DER signature
            result = _lib.EVP_DigestVerify(context, signature, len(signature), message, len(message))
        _lib.ERR_clear_error()
        return bool(result == 1)

    def verify_batch(self, items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
        """`verify` of each (public key, message, signature), in order; uses all processors."""
        if self._pool is None or len(items) < _MIN_BATCH:
            return self._verify_run(items)
        step = -(-len(items) // self._workers)
        runs = [items[at : at + step] for at in range(0, len(items), step)]
        return [held for run in self._pool.map(self._verify_run, runs) for held in run]

    def hash(self, data: bytes) -> bytes:
        """SM3, 32 bytes."""
        return sm3(data)

    def hash_batch(self, messages: Sequence[bytes], prefix: bytes = b"") -> list[bytes]:
        """SM3 of `prefix` and each message, in order."""
        return [sm3(prefix + message) for message in messages]

    def seal(self, key: bytes, plaintext: bytes, aad: bytes) -> bytes:
        """Encrypt by SM4-GCM: nonce, ciphertext, tag. Raises CryptoError."""
        check_seal_key(key)
        return sm4.seal(key, plaintext, aad)

    def open(self, key: bytes, sealed: bytes, aad: bytes) -> bytes:
        """The plaintext of what `seal` made. Raises CryptoError where it does not open."""
        check_seal_key(key)
        return sm4.unseal(key, sealed, aad)

    def encrypt(self, public_key: bytes, message: bytes) -> bytes:
        """Encrypt for the holder of a public key: SM2 (GB/T 32918.4), as the DER of GM/T 0009-2012.

        This provider's alone: it is for files, not for the chain. Raises CryptoError for a wrong point.
        """
        key = _parse_public(public_key)
        if key is None:
            raise CryptoError("public key: not an uncompressed SM2 point")
        return _convert(_lib.EVP_PKEY_encrypt_init, _lib.EVP_PKEY_encrypt, key, message, "encryption")

    def decrypt(self, key: PrivateKey, ciphertext: bytes) -> bytes:
        """What was encrypted for this key. Raises CryptoError where it was not."""
        return _convert(
            _lib.EVP_PKEY_decrypt_init, _lib.EVP_PKEY_decrypt, _own(key), ciphertext, "decryption"
        )

    def _verify_run(self, items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
        return [self.verify(*item) for item in items]

    def _begin(self, init: Callable[..., int], context: int, key: int) -> None:
        key_context = ctypes.c_void_p()  # belongs to `context`
        _checked(init(context, ctypes.byref(key_context), self._sm3, None, key), "signature")
        _checked(_lib.EVP_PKEY_CTX_set1_id(key_context, SM2_ID, len(SM2_ID)), "signer id")


@lru_cache(_KEPT_KEYS)
def _parse_public(point: bytes) -> _Handle | None:
    """The public key, or None where the bytes are no point of the curve."""
    if len(point) != PUBLIC_KEY_BYTES or point[0] != 4:
        return None
    _lib.ERR_clear_error()
    spki = SPKI + point
    found = _lib.d2i_PUBKEY(None, ctypes.byref(ctypes.c_char_p(spki)), len(spki))
    if not found:
        _lib.ERR_clear_error()
        return None
    return _Handle(found)


def _convert(init: Callable[..., int], do: Callable[..., int], key: _Handle, data: bytes, what: str) -> bytes:
    _lib.ERR_clear_error()
    with _owned(_lib.EVP_PKEY_CTX_new(key.pointer, None), _lib.EVP_PKEY_CTX_free) as context:
        _checked(init(context), what)
        size = ctypes.c_size_t()
        _checked(do(context, None, ctypes.byref(size), data, len(data)), what)
        out = ctypes.create_string_buffer(size.value)
        _checked(do(context, out, ctypes.byref(size), data, len(data)), what)
        return out.raw[: size.value]


def _own(key: PrivateKey) -> _Handle:
    if not isinstance(key, _Handle):
        raise CryptoError("key: not made by this provider")
    return key


@contextmanager
def _owned(pointer: int | None, free: Callable[[int], Any]) -> Iterator[int]:
    """Free what OpenSSL allocated when the block ends."""
    owned = _allocated(pointer, "memory")
    try:
        yield owned
    finally:
        free(owned)


def _allocated(pointer: int | None, what: str) -> int:
    if not pointer:
        raise _failure(what)
    return pointer


def _checked(result: int, what: str) -> None:
    if result != 1:
        raise _failure(what)


def _failure(what: str) -> CryptoError:
    code = _lib.ERR_get_error()
    text = ctypes.create_string_buffer(256)
    _lib.ERR_error_string_n(code, text, len(text))
    _lib.ERR_clear_error()
    return CryptoError(f"{what}: {text.value.decode('ascii', 'replace') if code else 'refused by OpenSSL'}")
