"""The last-signed record: the newest consensus message that this validator put its key to.

It outlives the process and the consensus log, so that a validator that restarts, or is restored from an old
copy of its log, can't sign twice for one step. `core.guard` decides, this module only keeps the record.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
from provnode.storage.errors import StoreError
from provnode.storage.files import os_error, replace_file


class SignedRecord(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Height, round and step that were signed, the exact bytes that were signed, and the signature."""

    height: int
    round: int
    step: int
    sign_bytes: bytes
    signature: bytes


class SignedStore:
    """One record in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> SignedRecord | None:
        """The record, or None when this validator never signed. Raises StoreError `corrupt` or `io`."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise os_error(error, str(self.path)) from error
        try:
            return msgspec.json.decode(raw, type=SignedRecord)
        except msgspec.DecodeError as error:
            raise StoreError(
                "corrupt",
                f"{self.path}: {error}",
                "do not start this validator: restore the record, or give the validator a new key",
            ) from error

    def save(self, record: SignedRecord) -> None:
        """Keep `record`; on the disk when this returns. Sign nothing out before that. Raises StoreError."""
        replace_file(self.path, msgspec.json.encode(record) + b"\n")
