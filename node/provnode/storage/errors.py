"""Errors of the disk, typed so that the runtime can tell a full disk from a broken one."""

from __future__ import annotations

from pathlib import Path


class StoreError(Exception):
    """The disk refused or broke.

    `code` is one of: `disk_full` (nothing was written, the same call may be tried again), `corrupt` (what
    is stored contradicts itself), `format` (written by another version), `conflict` (a commit that does not
    follow the stored state), `key` (it is sealed under a key that is not here), `io` (anything
    else the operating system reported).
    """

    def __init__(self, code: str, message: str, remedy: str) -> None:
        super().__init__(f"{message} ({remedy})")
        self.code = code
        self.message = message
        self.remedy = remedy


class WalCorruptError(StoreError):
    """A record of the consensus log is damaged and is not merely its torn tail."""

    def __init__(self, path: Path, offset: int, reason: str) -> None:
        super().__init__(
            "corrupt",
            f"{path}: byte {offset}: {reason}",
            "restore the file from a copy, or remove it while the node's last-signed record is intact",
        )
        self.path = path
        self.offset = offset
        self.reason = reason
