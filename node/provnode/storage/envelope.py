"""A file that only the holder of a private key can read: SM4-GCM under a key of its own, wrapped by SM2.

    provnode-envelope-1 LF
    2 bytes     length of what follows
    SM2         public-key encryption (GB/T 32918.4, the DER of GM/T 0009-2012) of the file's key, 16 bytes,
                and of the note beside it
    pieces      4 bytes of length, then nonce, ciphertext and tag of up to 1 MiB of the file

All that comes before the pieces, the piece's number (8 bytes) and whether it is the last (1 byte) are
authenticated with each: pieces can't be left out, swapped or cut off. Numbers are big endian. Nothing tells
who sealed it: what is inside must speak for itself.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from typing import BinaryIO

from provnode.crypto import CryptoError, PrivateKey, Provider
from provnode.crypto.openssl import OpenSSL
from provnode.crypto.provider import SEAL_BYTES, SEAL_KEY_BYTES
from provnode.storage.errors import StoreError

MAGIC = b"provnode-envelope-1\n"
_PIECE = 1 << 20
_LONGEST_WRAPPED = 1 << 15


def seal(source: BinaryIO, target: BinaryIO, public_key: bytes, note: bytes, provider: Provider) -> None:
    """Seal what is in `source` for the holder of a public key (65 bytes), with a note of up to 16 KiB.

    Raises CryptoError for a point that is none, OSError.
    """
    key = secrets.token_bytes(SEAL_KEY_BYTES)
    wrapped = OpenSSL().encrypt(public_key, key + note)
    head = MAGIC + len(wrapped).to_bytes(2, "big") + wrapped
    target.write(head)
    number, piece = 0, source.read(_PIECE)
    while True:
        following = source.read(_PIECE)
        sealed = provider.seal(key, piece, _aad(head, number, last=not following))
        target.write(len(sealed).to_bytes(4, "big") + sealed)
        if not following:
            return
        number, piece = number + 1, following


def unseal(source: BinaryIO, private_key: PrivateKey, provider: Provider) -> tuple[bytes, Iterator[bytes]]:
    """The note, and the pieces one after the other; the key is one of the provider `openssl`.

    Raises StoreError `corrupt` for a file that is none or was damaged (the pieces do so too, before they give
    a false one), `key` for one that was sealed for somebody else.
    """
    head = source.read(len(MAGIC) + 2)
    length = int.from_bytes(head[len(MAGIC) :], "big")
    wrapped = source.read(length) if length <= _LONGEST_WRAPPED else b""
    if not head.startswith(MAGIC) or not length or len(wrapped) != length:
        raise StoreError("corrupt", "no sealed file that this version reads", "use another copy")
    try:
        secret = OpenSSL().decrypt(private_key, wrapped)
    except CryptoError as error:
        text = f"it does not open with this key: {error}"
        raise StoreError("key", text, "use the private key of the one that it was sealed for") from error
    if len(secret) < SEAL_KEY_BYTES:
        raise StoreError("corrupt", "no key of the file is in it", "use another copy")
    return secret[SEAL_KEY_BYTES:], _pieces(source, head + wrapped, secret[:SEAL_KEY_BYTES], provider)


def _pieces(source: BinaryIO, head: bytes, key: bytes, provider: Provider) -> Iterator[bytes]:
    number, length = 0, source.read(4)
    while length:
        size = int.from_bytes(length, "big")
        sealed = source.read(size) if size <= _PIECE + SEAL_BYTES else b""
        length = source.read(4)
        try:
            piece = provider.open(key, sealed, _aad(head, number, last=not length))
        except CryptoError as error:
            text = f"piece {number} is damaged, or others are missing"
            raise StoreError("corrupt", text, "use another copy") from error
        yield piece
        number += 1
    if not number:
        raise StoreError("corrupt", "it has no piece", "use another copy")


def _aad(head: bytes, number: int, *, last: bool) -> bytes:
    return head + number.to_bytes(8, "big") + bytes([last])
