"""SM2 and SM3 by the system's OpenSSL 3 (libcrypto.so.3), called through ctypes, which releases the GIL."""

from __future__ import annotations

import ctypes
import threading
from collections import OrderedDict
from collections.abc import Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_long, c_size_t, c_void_p

from provnode.crypto.hashing import sm3
from provnode.crypto.provider import PUBLIC_KEY_BYTES, CryptoError, PrivateKey

_ID = b"1234567812345678"
_MAX_SIGNATURE = 128
_CACHED_KEYS = 512
_PUBLIC_SELECTION = 0x86  # EVP_PKEY_PUBLIC_KEY: domain parameters and public key (openssl/evp.h)


class _Param(ctypes.Structure):
    """OSSL_PARAM (openssl/core.h)."""

    _fields_ = (
        ("key", c_char_p),
        ("data_type", ctypes.c_uint),
        ("data", c_void_p),
        ("data_size", c_size_t),
        ("return_size", c_size_t),
    )


_SIGNATURES = {
    "EVP_PKEY_Q_keygen": (c_void_p, (c_void_p, c_char_p, c_char_p)),
    "EVP_PKEY_free": (None, (c_void_p,)),
    "EVP_PKEY_is_a": (c_int, (c_void_p, c_char_p)),
    "EVP_PKEY_get_octet_string_param": (c_int, (c_void_p, c_char_p, c_char_p, c_size_t, POINTER(c_size_t))),
    "EVP_PKEY_CTX_new_from_name": (c_void_p, (c_void_p, c_char_p, c_char_p)),
    "EVP_PKEY_CTX_new": (c_void_p, (c_void_p, c_void_p)),
    "EVP_PKEY_CTX_free": (None, (c_void_p,)),
    "EVP_PKEY_CTX_set1_id": (c_int, (c_void_p, c_char_p, c_int)),
    "EVP_PKEY_fromdata_init": (c_int, (c_void_p,)),
    "EVP_PKEY_fromdata": (c_int, (c_void_p, POINTER(c_void_p), c_int, POINTER(_Param))),
    "EVP_MD_CTX_new": (c_void_p, ()),
    "EVP_MD_CTX_free": (None, (c_void_p,)),
    "EVP_MD_CTX_set_pkey_ctx": (None, (c_void_p, c_void_p)),
    "EVP_DigestSignInit_ex": (c_int, (c_void_p, c_void_p, c_char_p, c_void_p, c_char_p, c_void_p, c_void_p)),
    "EVP_DigestVerifyInit_ex": (
        c_int,
        (c_void_p, c_void_p, c_char_p, c_void_p, c_char_p, c_void_p, c_void_p),
    ),
    "EVP_DigestSign": (c_int, (c_void_p, c_char_p, POINTER(c_size_t), c_char_p, c_size_t)),
    "EVP_DigestVerify": (c_int, (c_void_p, c_char_p, c_size_t, c_char_p, c_size_t)),
    "BIO_new": (c_void_p, (c_void_p,)),
    "BIO_s_mem": (c_void_p, ()),
    "BIO_new_mem_buf": (c_void_p, (c_char_p, c_int)),
    "BIO_free": (c_int, (c_void_p,)),
    "BIO_ctrl": (c_long, (c_void_p, c_int, c_long, POINTER(c_void_p))),
    "PEM_read_bio_PrivateKey": (c_void_p, (c_void_p, c_void_p, c_void_p, c_void_p)),
    "PEM_write_bio_PKCS8PrivateKey": (
        c_int,
        (c_void_p, c_void_p, c_void_p, c_void_p, c_int, c_void_p, c_void_p),
    ),
    "ERR_clear_error": (None, ()),
}
_BIO_CTRL_INFO = 3  # BIO_get_mem_data (openssl/bio.h)


def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL("libcrypto.so.3")
    except OSError as error:
        raise CryptoError(f"OpenSSL 3 is needed: {error}") from None
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


_c = _library()


def _no_passphrase(_buffer: int, _size: int, _writing: int, _user: int) -> int:
    """Refuse to ask: a library that prompts on a terminal would hang a service."""
    return -1


_PASSPHRASE = ctypes.CFUNCTYPE(c_int, c_void_p, c_int, c_int, c_void_p)(_no_passphrase)


class _Key:
    """An EVP_PKEY that is freed with its Python object."""

    __slots__ = ("pointer", "public")

    def __init__(self, pointer: int) -> None:
        self.pointer = pointer
        self.public = self._point()

    def _point(self) -> bytes:
        buffer, length = ctypes.create_string_buffer(256), c_size_t(0)
        found = _c.EVP_PKEY_get_octet_string_param(self.pointer, b"pub", buffer, 256, byref(length))
        point = buffer.raw[: length.value]
        if not _c.EVP_PKEY_is_a(self.pointer, b"SM2") or found != 1 or len(point) != PUBLIC_KEY_BYTES:
            raise CryptoError("not an SM2 key")
        return point

    def __del__(self) -> None:
        _c.EVP_PKEY_free(self.pointer)


class OpenSSL:
    """The provider on OpenSSL 3; safe to use from several threads."""

    name = "openssl"

    def __init__(self) -> None:
        self._publics: OrderedDict[bytes, _Key] = OrderedDict()
        self._lock = threading.Lock()

    def generate(self) -> PrivateKey:
        """Make a new SM2 key pair."""
        pointer = _c.EVP_PKEY_Q_keygen(None, None, b"SM2")
        if not pointer:
            raise CryptoError("OpenSSL made no SM2 key")
        return _Key(pointer)

    def load_private(self, pem: bytes) -> PrivateKey:
        """Read a PKCS#8 PEM; raises CryptoError if it isn't an unencrypted SM2 key."""
        bio = _c.BIO_new_mem_buf(pem, len(pem))
        try:
            pointer = _c.PEM_read_bio_PrivateKey(bio, None, ctypes.cast(_PASSPHRASE, c_void_p), None)
        finally:
            _c.BIO_free(bio)
            _c.ERR_clear_error()
        if not pointer:
            raise CryptoError("not a private key in PEM")
        return _Key(pointer)

    def save_private(self, key: PrivateKey) -> bytes:
        """Return the key as PKCS#8 PEM."""
        bio = _c.BIO_new(_c.BIO_s_mem())
        try:
            if _c.PEM_write_bio_PKCS8PrivateKey(bio, _own(key).pointer, None, None, 0, None, None) != 1:
                raise CryptoError("OpenSSL wrote no key")
            data = c_void_p()
            length = _c.BIO_ctrl(bio, _BIO_CTRL_INFO, 0, byref(data))
            return ctypes.string_at(data.value or 0, length)
        finally:
            _c.BIO_free(bio)

    def public_key(self, key: PrivateKey) -> bytes:
        """Return the key's public point, 65 bytes uncompressed."""
        return key.public

    def sign(self, key: PrivateKey, message: bytes) -> bytes:
        """Return a DER signature of ``message``."""
        own = _own(key)
        context, pkey_context = self._context(own)
        try:
            signature, length = ctypes.create_string_buffer(_MAX_SIGNATURE), c_size_t(_MAX_SIGNATURE)
            ok = _c.EVP_DigestSignInit_ex(context, None, b"SM3", None, None, own.pointer, None) == 1
            if not ok or _c.EVP_DigestSign(context, signature, byref(length), message, len(message)) != 1:
                raise CryptoError("OpenSSL made no signature")
            return signature.raw[: length.value]
        finally:
            self._release(context, pkey_context)

    def verify(self, public: bytes, message: bytes, signature: bytes) -> bool:
        """Tell whether ``signature`` is ``public``'s over ``message``; False for anything malformed."""
        try:
            key = self._public(public)
        except CryptoError:
            return False
        context, pkey_context = self._context(key)
        try:
            ok = _c.EVP_DigestVerifyInit_ex(context, None, b"SM3", None, None, key.pointer, None) == 1
            return bool(
                ok and _c.EVP_DigestVerify(context, signature, len(signature), message, len(message)) == 1
            )
        finally:
            self._release(context, pkey_context)
            _c.ERR_clear_error()

    def verify_batch(self, items: Sequence[tuple[bytes, bytes, bytes]]) -> list[bool]:
        """Verify many (public, message, signature), in order."""
        return [self.verify(public, message, signature) for public, message, signature in items]

    def hash(self, data: bytes) -> bytes:
        """Return the 32-byte SM3 digest."""
        return sm3(data)

    def _context(self, key: _Key) -> tuple[int, int]:
        context, pkey_context = _c.EVP_MD_CTX_new(), _c.EVP_PKEY_CTX_new(key.pointer, None)
        if not context or not pkey_context or _c.EVP_PKEY_CTX_set1_id(pkey_context, _ID, len(_ID)) != 1:
            self._release(context, pkey_context)
            raise CryptoError("OpenSSL has no SM2 context")
        _c.EVP_MD_CTX_set_pkey_ctx(context, pkey_context)
        return context, pkey_context

    @staticmethod
    def _release(context: int, pkey_context: int) -> None:
        # the digest context borrows the key's context, so both are freed here, in this order
        _c.EVP_MD_CTX_free(context)
        _c.EVP_PKEY_CTX_free(pkey_context)

    def _public(self, point: bytes) -> _Key:
        with self._lock:
            key = self._publics.get(point)
            if key is not None:
                self._publics.move_to_end(point)
                return key
        key = _from_point(point)
        with self._lock:
            self._publics[point] = key
            if len(self._publics) > _CACHED_KEYS:
                self._publics.popitem(last=False)
        return key


def _own(key: PrivateKey) -> _Key:
    if not isinstance(key, _Key):
        raise CryptoError("a key of another provider")
    return key


def _from_point(point: bytes) -> _Key:
    if len(point) != PUBLIC_KEY_BYTES or point[0] != 4:
        raise CryptoError("a public key is an uncompressed point of 65 bytes")
    group = ctypes.create_string_buffer(b"SM2")
    data = ctypes.create_string_buffer(point, len(point))
    text, octets = 4, 5  # OSSL_PARAM_UTF8_STRING, OSSL_PARAM_OCTET_STRING (openssl/core.h)
    parameters = (_Param * 3)(
        _Param(b"group", text, ctypes.cast(group, c_void_p), 3, 0),
        _Param(b"pub", octets, ctypes.cast(data, c_void_p), len(point), 0),
        _Param(None, 0, None, 0, 0),
    )
    context = _c.EVP_PKEY_CTX_new_from_name(None, b"SM2", None)
    try:
        pointer = c_void_p()
        ok = _c.EVP_PKEY_fromdata_init(context) == 1
        if not ok or _c.EVP_PKEY_fromdata(context, byref(pointer), _PUBLIC_SELECTION, parameters) != 1:
            raise CryptoError("not a point on the SM2 curve")
    finally:
        _c.EVP_PKEY_CTX_free(context)
        _c.ERR_clear_error()
    return _Key(pointer.value or 0)
