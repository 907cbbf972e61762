"""Ledger data at rest: sealed with SM4-GCM under data keys, which are sealed under the host's KEK.

A sealed value is the data key's number (4 bytes, big endian), then nonce, ciphertext and tag. What row it is
of is authenticated with it, so that values can't be swapped. The keyring beside the store has a line a key::

    provnode-keyring-1 KEK-ID CURRENT
    NUMBER BASE64

New values are sealed under the current key. While rows are sealed anew there are two keys, else one.
"""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Iterable
from pathlib import Path
from typing import Protocol

import msgspec

from provnode.crypto import CryptoError
from provnode.crypto.sealed import KEK_BYTES, OTHER_KEK, Kek
from provnode.storage.errors import StoreError
from provnode.storage.files import os_error, replace_file

_MAGIC = "provnode-keyring-1"
_NUMBER_BYTES = 4


class Sealing(Protocol):
    """How values lie on the disk."""

    @property
    def numbers(self) -> tuple[int, ...]:
        """The data keys that values may be sealed under; none where they are plain."""

    def seal(self, row: bytes, value: bytes) -> bytes:
        """The value as it lies on the disk, as that of `row`."""

    def open(self, row: bytes, stored: bytes) -> bytes:
        """The value that was sealed for `row`. Raises StoreError `key` or `corrupt`."""


class Plain:
    """Values lie there as they are: for development."""

    numbers = ()

    def seal(self, row: bytes, value: bytes) -> bytes:
        """The value itself."""
        return value

    def open(self, row: bytes, stored: bytes) -> bytes:
        """The value itself."""
        return stored


PLAIN = Plain()


class _Exported(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    current: int
    keys: dict[str, str]


class Keyring:
    """The data keys of a data folder, made with its first one if there is none.

    One that is sealed under the older KEK is sealed anew, under the newer, before anything else: whoever
    opens it holds the folder. Raises StoreError: `key` when it was sealed under another KEK, `corrupt`,
    `io`, `disk_full`.
    """

    def __init__(self, path: Path, kek: Kek) -> None:
        self.path = path
        self._kek = kek
        self._provider = kek.provider
        self._keys: dict[int, bytes] = {}
        # for who still reads an older state of the store: they end with this process
        self._retired: dict[int, bytes] = {}
        self.current = 0
        if path.exists():
            self._load()
        else:
            self.add()

    @property
    def numbers(self) -> tuple[int, ...]:
        """The data keys there are, ascending."""
        return tuple(sorted(self._keys))

    def add(self) -> int:
        """Make a data key, durably, that is the current one from now on; gives its number."""
        # by chance, so that another keyring's keys are not taken for this one's
        number = secrets.randbelow(2**32)
        self._save({**self._keys, number: secrets.token_bytes(KEK_BYTES)}, number)
        return number

    def drop_old(self) -> None:
        """Forget all keys but the current one, durably: what is sealed under them is lost."""
        self._retired |= self._keys
        self._save({self.current: self._keys[self.current]}, self.current)

    def seal(self, row: bytes, value: bytes) -> bytes:
        """Seal under the current key."""
        number = self.current.to_bytes(_NUMBER_BYTES, "big")
        return number + self._provider.seal(self._keys[self.current], value, number + row)

    def open(self, row: bytes, stored: bytes) -> bytes:
        """Open under the key that the value names. Raises StoreError `key` or `corrupt`."""
        number = stored[:_NUMBER_BYTES]
        wanted = int.from_bytes(number, "big")
        key = self._keys.get(wanted) or self._retired.get(wanted)
        if key is None:
            text = f"a value is sealed under data key {wanted}, found: {self.numbers}"
            raise StoreError("key", f"{self.path}: {text}", "restore the keyring that belongs to the store")
        try:
            return self._provider.open(key, stored[_NUMBER_BYTES:], number + row)
        except CryptoError as error:
            raise StoreError("corrupt", f"{self.path.parent}: {error}", "restore or sync anew") from error

    def exported(self) -> bytes:
        """All data keys, plain: for a place that is as well kept as this keyring."""
        keys = {str(number): key.hex() for number, key in sorted(self._keys.items())}
        return msgspec.json.encode(_Exported(self.current, keys))

    def take(self, exported: bytes) -> None:
        """Have exported keys instead of these, durably. Raises StoreError `corrupt` for what is none."""
        try:
            found = msgspec.json.decode(exported, type=_Exported)
            keys = {int(number): bytes.fromhex(key) for number, key in found.keys.items()}
        except (msgspec.DecodeError, ValueError) as error:
            raise self._corrupt(str(error)) from error
        fitting = all(0 <= number < 2**32 and len(key) == KEK_BYTES for number, key in keys.items())
        if found.current not in keys or not fitting:
            raise self._corrupt("no data keys")
        self._save(keys, found.current)

    def is_current(self, stored: bytes) -> bool:
        """Whether a value is sealed under the current key."""
        return int.from_bytes(stored[:_NUMBER_BYTES], "big") == self.current

    def _save(self, keys: dict[int, bytes], current: int) -> None:
        lines = [f"{_MAGIC} {self._kek.id} {current}"]
        for number, key in sorted(keys.items()):
            lines.append(f"{number} {base64.b64encode(self._kek.seal(key, _row(number))).decode()}")
        replace_file(self.path, ("\n".join(lines) + "\n").encode())
        self._keys, self.current = keys, current

    def _load(self) -> None:
        try:
            head, *lines = self.path.read_text(encoding="ascii").splitlines()
            magic, kek_id, current = head.split(" ")
            self.current = int(current)
            sealed = {
                int(number): base64.b64decode(text, validate=True) for number, text in map(str.split, lines)
            }
        except OSError as error:
            raise os_error(error, str(self.path)) from error
        except (ValueError, binascii.Error) as error:
            raise self._corrupt(str(error)) from error
        if magic != _MAGIC or self.current not in sealed:
            raise self._corrupt(f"its first line is {head[:64]!r}")
        under = self._kek.named(kek_id)
        if under is None:
            text = f"{self.path}: sealed under KEK {kek_id}, this host has {self._kek.id}"
            raise StoreError("key", text, OTHER_KEK)
        try:
            self._keys = {number: under.open(data, _row(number)) for number, data in sealed.items()}
        except CryptoError as error:
            raise self._corrupt(str(error)) from error
        if under is not self._kek:
            self._save(self._keys, self.current)

    def _corrupt(self, what: str) -> StoreError:
        return StoreError("corrupt", f"{self.path}: {what}", "restore the keyring that belongs to the store")


def kek_of(keyring: Path) -> str:
    """The id of the KEK that a keyring is sealed under, as its first line says. Raises StoreError."""
    try:
        with keyring.open("rb") as source:
            words = source.readline(256).split()
    except OSError as error:
        raise os_error(error, str(keyring)) from error
    if len(words) != 3 or words[0] != _MAGIC.encode():
        raise StoreError("corrupt", f"{keyring}: is no keyring", "restore the one that belongs to the store")
    return words[1].decode("ascii", "replace")


def open_sealing(data_dir: Path, kek: Kek | None) -> Plain | Keyring:
    """How the data in a folder lies there. Raises StoreError as `Keyring`."""
    return PLAIN if kek is None else Keyring(data_dir / "keyring", kek)


def _row(number: int) -> bytes:
    return f"provnode data key {number}".encode()


def numbers_in(raw: bytes) -> frozenset[int]:
    """The numbers of the data keys in a keyring's file; a damaged one has none."""
    try:
        return frozenset(int(line.split(b" ", 1)[0]) for line in raw.splitlines()[1:])
    except ValueError:
        return frozenset()


def check_numbers(used: set[int], there: set[int], where: str) -> None:
    """Refuse (StoreError `key`) what is sealed under keys not there, or plain where it may not be."""
    if bool(used) != bool(there):
        found, allowed = ("sealed", "plain") if used else ("plain", "sealed")
        text = f"{where}: found {found}, as this node is configured it is {allowed}"
        raise StoreError("key", text, "set kek_credential as it was, or sync anew into an empty data folder")
    if not used <= there:
        text = f"{where}: sealed under data keys {in_text(used)}, found: {in_text(there)}"
        raise StoreError("key", text, "restore the keyring that belongs to the store")


def in_text(numbers: Iterable[int]) -> str:
    """Data keys' numbers as the store keeps them."""
    return " ".join(map(str, sorted(numbers)))


def block_row(height: int) -> bytes:
    """The row of a block's bytes."""
    return b"blocks.raw %d" % height


def object_row(column: str, object_id: str, version: int) -> bytes:
    """The row of one column of an object's version."""
    return f"objects.{column} {version} {object_id}".encode()


def journal_row(block_id: bytes) -> bytes:
    """The row of a block in the consensus log."""
    return b"journal " + block_id
