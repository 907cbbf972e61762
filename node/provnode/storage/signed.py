"""The last-signed record: the newest consensus message that this validator put its key to.

It outlives the process and the consensus log, so that a validator that restarts, or is restored from an old
copy of its log, can't sign twice for one step. `core.guard` decides, this module only keeps the record.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta

from provnode.core.guard import Signed
from provnode.storage.errors import StoreError
from provnode.storage.files import os_error, replace_file
from provnode.wire.limits import Height, Round

# height, round and step (0 to 2) within their ranges: a lower place would let this key sign again
_decoder = msgspec.json.Decoder(tuple[Height, Round, Annotated[int, Meta(ge=0, le=2)], bytes, bytes])


class SignedStore:
    """One record in one file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def load(self) -> Signed | None:
        """The record, or None when this validator never signed. Raises StoreError `corrupt` or `io`."""
        try:
            raw = self.path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise os_error(error, str(self.path)) from error
        try:
            return Signed(*_decoder.decode(raw))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(
                "corrupt",
                f"{self.path}: {error}",
                "do not start this validator: restore the record, or give the validator a new key",
            ) from error

    def save(self, signed: Signed) -> None:
        """Keep the record; on the disk when this returns. Sign nothing out before that. Raises StoreError."""
        fields = (signed.height, signed.round, signed.step, signed.sign_bytes, signed.signature)
        replace_file(self.path, msgspec.json.encode(fields) + b"\n")
