"""SM4-GCM (GB/T 32907, RFC 8998 appendix A): a fresh nonce of 12 bytes in front, the tag of 16 behind."""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from provnode.crypto.provider import CryptoError

_NONCE, _TAG = 12, 16


def seal(key: bytes, plaintext: bytes, aad: bytes) -> bytes:
    """Seal under a key of 16 bytes."""
    nonce = os.urandom(_NONCE)
    cipher = Cipher(algorithms.SM4(key), modes.GCM(nonce)).encryptor()
    cipher.authenticate_additional_data(aad)
    return nonce + cipher.update(plaintext) + cipher.finalize() + cipher.tag


def unseal(key: bytes, sealed: bytes, aad: bytes) -> bytes:
    """What was sealed. Raises CryptoError when it does not open."""
    if len(sealed) < _NONCE + _TAG:
        raise CryptoError(f"sealed data: found {len(sealed)} bytes, allowed: at least {_NONCE + _TAG}")
    cipher = Cipher(algorithms.SM4(key), modes.GCM(sealed[:_NONCE], sealed[-_TAG:])).decryptor()
    cipher.authenticate_additional_data(aad)
    try:
        return cipher.update(sealed[_NONCE:-_TAG]) + cipher.finalize()
    except InvalidTag:
        raise CryptoError("sealed data does not open: another key, other circumstances, or damaged") from None
