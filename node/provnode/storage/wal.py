"""The consensus write-ahead log: what this node received and decided at the height it works on.

One file, for one height. It starts with a head (magic, height) and goes on with frames:

    length u32 | crc32 of the length u32 | crc32 of the payload u32 | payload

The length has a check of its own, so that a flipped length can't pass for the end of the file. A frame that
the file ends in the middle of, or from the middle of which on there is nothing but zeros, is a torn tail: the
process or the power died while writing, the record was never acted on, and opening cuts it off. Damage
anywhere else is refused with its place (Tendermint, arXiv 1807.04938: a node that forgets what it sent may
equivocate).
"""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

from provnode.storage.errors import StoreError, WalCorruptError
from provnode.storage.files import os_error, replace_file, write_all

MAGIC = b"PVWAL\x00\x00\x01"
MAX_RECORD = 32 * 1024 * 1024
_HEAD = struct.Struct(">8sQI")
_FRAME = struct.Struct(">III")


class ConsensusWal:
    """The log of one height. `records` holds what was found on opening, in order."""

    def __init__(self, path: Path, height: int, records: list[bytes], end: int) -> None:
        self.path = path
        self.height = height
        self.records = records
        self._end = end
        self._handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        os.lseek(self._handle, end, os.SEEK_SET)

    @classmethod
    def open(cls, path: Path, height: int) -> ConsensusWal:
        """Open the log, or start one for `height` when there is none.

        The file's own height wins over the argument: the caller compares `wal.height` with the store and
        calls `reset` when the block was already committed. A torn tail is cut off. Raises WalCorruptError.
        """
        if not path.exists():
            replace_file(path, _head(height))
            return cls(path, height, [], _HEAD.size)
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise os_error(error, str(path)) from error
        found = _read_head(path, raw)
        records, end = _read_frames(path, raw)
        if end < len(raw):
            os.truncate(path, end)
        return cls(path, found, records, end)

    def append(self, record: bytes, *, sync: bool) -> None:
        """Add a record; with `sync` it is on the disk when this returns.

        Sync whatever this node's own next message depends on; what peers sent may be lost, they send again.
        On StoreError nothing was added.
        """
        if len(record) > MAX_RECORD:
            raise ValueError(f"a record of {len(record)} bytes is longer than {MAX_RECORD}")
        size = struct.pack(">I", len(record))
        frame = _FRAME.pack(len(record), zlib.crc32(size), zlib.crc32(record)) + record
        try:
            write_all(self._handle, frame)
            if sync:
                os.fdatasync(self._handle)
        except OSError as error:
            os.ftruncate(self._handle, self._end)
            os.lseek(self._handle, self._end, os.SEEK_SET)
            raise os_error(error, str(self.path)) from error
        self._end += len(frame)

    def reset(self, height: int) -> None:
        """Forget the finished height and start an empty log for `height`, atomically."""
        replace_file(self.path, _head(height))
        os.close(self._handle)
        self._handle = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC)
        self._end = os.lseek(self._handle, 0, os.SEEK_END)
        self.height = height
        self.records = []

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._handle)


def _head(height: int) -> bytes:
    return _HEAD.pack(MAGIC, height, zlib.crc32(MAGIC + height.to_bytes(8, "big")))


def _read_head(path: Path, raw: bytes) -> int:
    if len(raw) < _HEAD.size:
        # the head is written by an atomic replace, so it can't be torn
        raise WalCorruptError(path, 0, f"{len(raw)} bytes are too few for a head of {_HEAD.size}")
    magic, height, check = _HEAD.unpack_from(raw)
    if magic[:5] != MAGIC[:5]:
        raise WalCorruptError(path, 0, "this is no consensus log")
    if magic != MAGIC:
        raise StoreError("format", f"{path}: written by another version", "start that version of provnode")
    if check != zlib.crc32(raw[:16]):
        raise WalCorruptError(path, 8, "the height in the head does not match its checksum")
    return int(height)


def _read_frames(path: Path, raw: bytes) -> tuple[list[bytes], int]:
    records: list[bytes] = []
    offset = _HEAD.size
    # a file system may have grown the file before it wrote all of the tail: that is zeros then
    written = len(raw.rstrip(b"\0"))
    while offset < written:
        if len(raw) - offset < _FRAME.size:
            break  # torn in the frame's head
        length, length_check, check = _FRAME.unpack_from(raw, offset)
        if length_check != zlib.crc32(raw[offset : offset + 4]):
            if offset + _FRAME.size >= written:
                break  # torn in the frame's head, with zeros after it
            raise WalCorruptError(path, offset, "a record's length does not match its checksum")
        end = offset + _FRAME.size + length
        if end > len(raw):
            break  # torn in the payload
        payload = raw[offset + _FRAME.size : end]
        if check != zlib.crc32(payload):
            if end >= written:
                break  # the last record that was written: not all of it was
            raise WalCorruptError(path, offset, "a record does not match its checksum")
        records.append(payload)
        offset = end
    return records, offset
