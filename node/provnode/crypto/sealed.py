"""Private keys on the disk: sealed with SM4-GCM under the host's key-encryption key (KEK).

A file is one line, and the sealed PKCS#8 PEM in base64 below it::

    provnode-sealed-key-1 PURPOSE KEK-ID PUBLIC-KEY

The line is authenticated with the key: a key sealed for one purpose doesn't open for another, and the public
key that the line tells is that of the key inside. The KEK itself comes as a systemd credential and is never
in a file that this program writes.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from provnode.crypto.hashing import sm3
from provnode.crypto.provider import PUBLIC_KEY_BYTES, CryptoError, Provider

KEK_BYTES = 16
"""An SM4 key (GB/T 32907)."""
Purpose = Literal["consensus", "client", "tls"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)
_MAGIC = b"provnode-sealed-key-1"
_LONGEST = 32 * 1024
OTHER_KEK = "restore the credential that it was sealed under, or name it as old_kek_credential"
"""What helps where something is sealed under another KEK."""


class Kek:
    """The key-encryption key of this host, and while it is being changed the `older` one, that only opens.

    Raises CryptoError when it is no SM4 key, or the same as the older one.
    """

    def __init__(self, key: bytes, provider: Provider, older: Kek | None = None) -> None:
        if len(key) != KEK_BYTES:
            raise CryptoError(f"key-encryption key: found {len(key)} bytes, allowed: {KEK_BYTES}")
        self._key = key
        self._older = older
        self.provider = provider
        self.id = sm3(b"provnode kek id" + key)[:8].hex()
        """Tells one KEK from another; says nothing of its bytes."""
        if older is not None and older.id == self.id:
            raise CryptoError("key-encryption key: the new one is the old one", "make a new one by chance")

    def named(self, id_: str) -> Kek | None:
        """This KEK or the older one, whichever has this id."""
        if id_ == self.id:
            return self
        return self._older if self._older is not None and self._older.id == id_ else None

    def seal(self, plaintext: bytes, aad: bytes) -> bytes:
        """Seal under this key, bound to `aad`."""
        return self.provider.seal(self._key, plaintext, aad)

    def open(self, sealed: bytes, aad: bytes) -> bytes:
        """What was sealed. Raises CryptoError when it does not open."""
        return self.provider.open(self._key, sealed, aad)


def load_kek(name: str, provider: Provider, older: str = "") -> Kek | None:
    """The KEK from systemd's credential `name`; None without a name. Raises CryptoError.

    `older` names the credential with the one before it, while that is still needed.
    """
    if not name:
        return None
    before = load_kek(older, provider)
    folder = os.environ.get("CREDENTIALS_DIRECTORY", "")
    remedy = f"run it with LoadCredentialEncrypted={name}:FILE in its unit, or under systemd-run -p"
    if not folder:
        raise CryptoError(f"key-encryption key: systemd gave this process no credential {name!r}", remedy)
    try:
        with Path(folder, name).open("rb") as source:
            return Kek(source.read(KEK_BYTES + 1), provider, before)
    except OSError as error:
        raise CryptoError(f"key-encryption key: credential {name!r}: {error.strerror}", remedy) from None


@dataclass(frozen=True, slots=True)
class _SealedKey:
    """A file of a sealed key, taken apart; nothing of it is authenticated yet."""

    line: bytes
    purpose: str
    kek_id: str
    public: bytes
    sealed: bytes


def seal_key(kek: Kek, purpose: Purpose, public: bytes, pem: bytes) -> bytes:
    """The file of a sealed key."""
    line = b" ".join((_MAGIC, purpose.encode(), kek.id.encode(), public.hex().encode()))
    return line + b"\n" + base64.b64encode(kek.seal(pem, line)) + b"\n"


def public_of(raw: bytes) -> bytes | None:
    """The public key that a sealed key's file tells, not authenticated; None if it is none.

    Raises CryptoError when the file is damaged.
    """
    return _parse(raw).public if raw.startswith(_MAGIC) else None


def open_key(raw: bytes, purpose: Purpose, kek: Kek | None) -> bytes:
    """The PEM of a key file: with a KEK it must be sealed for `purpose`, without one it must not be sealed.

    The URI of a key on a token is no secret and is never sealed. Raises CryptoError that says what to do.
    """
    if not raw.startswith(_MAGIC):
        if kek is not None and not raw.startswith(b"pkcs11:"):
            raise CryptoError(
                "the key is not sealed, and this host has a key-encryption key",
                f"seal it: provnode keygen --seal FILE --purpose {purpose} --kek CREDENTIAL",
            )
        return raw
    if kek is None:
        raise CryptoError("the key is sealed", "name the credential: kek_credential, or --kek")
    found = _parse(raw)
    if found.purpose != purpose:
        raise CryptoError(f"the key is sealed for: found {found.purpose}, allowed: {purpose}")
    under = kek.named(found.kek_id)
    if under is None:
        raise CryptoError(f"the key is sealed under KEK {found.kek_id}, this host has {kek.id}", OTHER_KEK)
    try:
        return under.open(found.sealed, found.line)
    except CryptoError:
        raise CryptoError(
            "the key does not open: the file is damaged", "restore it from its backup"
        ) from None


def rewrap_key(raw: bytes, purpose: Purpose, kek: Kek) -> bytes | None:
    """A key file anew under `kek`; None where it is sealed under it already, or is the URI of a token's key.

    Raises CryptoError as `open_key`, also for a file that needs no change.
    """
    pem = open_key(raw, purpose, kek)
    if not raw.startswith(_MAGIC):
        return None
    found = _parse(raw)
    return None if found.kek_id == kek.id else seal_key(kek, purpose, found.public, pem)


def opener(purpose: Purpose, kek: Kek | None) -> Callable[[bytes], bytes]:
    """`open_key` for one purpose, for who shouldn't hold the KEK."""
    return lambda raw: open_key(raw, purpose, kek)


def _parse(raw: bytes) -> _SealedKey:
    line, _, body = raw.partition(b"\n")
    words = line.split(b" ")
    try:
        if len(raw) > _LONGEST or len(words) != 4 or words[0] != _MAGIC:
            raise ValueError("wrong line")
        purpose, kek_id, public = (
            words[1].decode("ascii"),
            words[2].decode("ascii"),
            bytes.fromhex(words[3].decode()),
        )
        sealed = base64.b64decode(body.removesuffix(b"\n"), validate=True)
        if len(public) != PUBLIC_KEY_BYTES or purpose not in PURPOSES:
            raise ValueError("wrong words")
    except (ValueError, binascii.Error):
        raise CryptoError(
            "the file is no sealed key that this version reads", "restore it from its backup"
        ) from None
    return _SealedKey(line, purpose, kek_id, public, sealed)
