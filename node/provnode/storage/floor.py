"""Below which height a restored validator must not sign.

A backup says nothing of what the validator signed after it. The record is gone, so the validator must stay
silent at every height at which it may have signed. Let h be the greatest of those. To vote at h it had
committed h - 1, so more than two thirds of the power precommitted h - 1, and the honest ones of them had
committed h - 2. Any quorum of other validators has an honest one of these, so the greatest height that such
a quorum tells is at least h - 2: from three above it on, the validator may sign.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from provnode.core.types import ValidatorSet
from provnode.storage.errors import StoreError
from provnode.storage.files import os_error, replace_file

FLOOR = "signing-floor.json"
ABOVE_PEERS = 3


class _Floor(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """`height` is the least that may be signed; None until enough peers have told theirs."""

    height: int | None


class SigningFloor:
    """The floor in one file; without the file there is none. Raises StoreError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._found: _Floor | None = msgspec.json.decode(path.read_bytes(), type=_Floor)
        except FileNotFoundError:
            self._found = None
        except OSError as error:
            raise os_error(error, str(path)) from error
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise StoreError(
                "corrupt", f"{path}: {error}", "write it anew: see `provnode restore`"
            ) from error

    def set(self, height: int | None) -> None:
        """Keep a floor, durably; None: to be found out from the peers."""
        replace_file(self._path, msgspec.json.encode(_Floor(height)) + b"\n")
        self._found = _Floor(height)

    def allows(self, height: int, me: str, validators: ValidatorSet, told: Mapping[str, int]) -> bool:
        """Whether `me` may sign at `height`, while peers have told these heights."""
        if self._found is None:
            return True
        if self._found.height is None:
            power = sum(one.power for one in validators if one.name in told and one.name != me)
            if power < validators.quorum:
                return False
            self.set(max(told.values()) + ABOVE_PEERS)
        return self._found.height is not None and height >= self._found.height
