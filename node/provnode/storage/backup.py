"""A backup: one file with the store at one height, its data keys, and the hashes of both.

A tar archive (POSIX.1-2001) of `manifest.json`, `chain.sqlite` and, where the store is sealed, `keyring`,
whose keys are sealed under the host's KEK. The last-signed record and the consensus log are never part of it:
an old copy of what was signed would let a validator sign twice.
"""

from __future__ import annotations

import io
import os
import shutil
import sqlite3
import tarfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

from provnode.crypto import CryptoError, PrivateKey, Provider
from provnode.crypto.hashing import sm3_file
from provnode.crypto.sealed import Kek
from provnode.storage import envelope
from provnode.storage.errors import StoreError
from provnode.storage.files import os_error, sync_directory
from provnode.storage.sealing import Keyring, numbers_in

STORE, KEYRING, _MANIFEST = "chain.sqlite", "keyring", "manifest.json"
_LONGEST_MANIFEST = 64 * 1024
_LONGEST_KEYRING = 1024 * 1024
_ATTEMPTS = 3


class BackupManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is in a backup. Hashes are SM3, in hex, by the name of the file."""

    format: int
    genesis_hash: str
    height: int
    block_id: str
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Copied:
    """Of which height a copy is, and the numbers of the data keys that it may be sealed under."""

    genesis_hash: bytes
    height: int
    block_id: bytes
    data_keys: frozenset[int]


@dataclass(frozen=True, slots=True)
class Recipient:
    """Whom a backup is sealed for: the holder of a public key (65 bytes). `kek` opens the keyring here."""

    public_key: bytes
    kek: Kek | None
    provider: Provider


def write_backup(folder: Path, path: Path, recipient: Recipient | None = None) -> BackupManifest:
    """Back up the store in `folder` while a node may be using it. `path` must not be there.

    For a recipient it is sealed, with the data keys instead of the keyring, so that it can be restored where
    there is another KEK. Durable when this returns. Raises StoreError; then there is no `path`.
    """
    if path.exists():
        raise StoreError("conflict", f"{path} is there already", "name another file")
    work = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        work.mkdir(mode=0o700)
        try:
            copied = _copy_both(folder, work)
            note = b""
            if recipient is not None and (work / KEYRING).exists():
                note = _keyring(work / KEYRING, recipient.kek).exported()
                (work / KEYRING).unlink()
            names = [name for name in (STORE, KEYRING) if (work / name).exists()]
            manifest = BackupManifest(
                1,
                copied.genesis_hash.hex(),
                copied.height,
                copied.block_id.hex(),
                {name: sm3_file(work / name).hex() for name in names},
            )
            _pack(work, names, manifest)
            if recipient is not None:
                _seal(work, recipient, note)
            os.link(work / "backup", path)  # unlike a rename, this replaces nothing
            sync_directory(path.parent)
        finally:
            shutil.rmtree(work, ignore_errors=True)
    except OSError as error:
        raise os_error(error, str(path)) from error
    return manifest


def _copy_both(folder: Path, work: Path) -> Copied:
    """Copy the store and the keyring that belongs to it: a change of the data key may come in between."""
    for _ in range(_ATTEMPTS):
        sealed = (folder / KEYRING).exists()
        if sealed:
            shutil.copyfile(folder / KEYRING, work / KEYRING)
        copied = _copy(folder / STORE, work / STORE)
        if not sealed or copied.data_keys <= numbers_in((work / KEYRING).read_bytes()):
            return copied
        (work / STORE).unlink()
    raise StoreError("conflict", f"{folder}: the data key is being changed", "try again later")


def _copy(source: Path, target: Path) -> Copied:
    if not source.exists():
        raise StoreError("conflict", f"{source} is not there", "name the right configuration")
    try:
        live, copy = sqlite3.connect(source), sqlite3.connect(target, isolation_level=None)
        try:
            live.backup(copy)  # all pages in one step: one state, whatever is committed meanwhile
            copy.execute("PRAGMA journal_mode = DELETE")
            row = copy.execute("SELECT value FROM meta WHERE name = 'genesis'").fetchone()
            keys = copy.execute("SELECT value FROM meta WHERE name = 'data_keys'").fetchone()
            tip = copy.execute("SELECT height, block_id FROM blocks ORDER BY height DESC LIMIT 1").fetchone()
        finally:
            live.close()
            copy.close()
    except sqlite3.Error as error:
        raise StoreError(
            "io", f"{source}: {error}", "look at the disk, and at the store with fsck"
        ) from error
    if row is None or tip is None:
        raise StoreError("conflict", f"{source} has no block yet", "wait for the first")
    return Copied(row[0], tip[0], tip[1], frozenset(map(int, keys[0].split())))


def _pack(work: Path, names: list[str], manifest: BackupManifest) -> None:
    with (work / "backup").open("xb") as out:
        os.fchmod(out.fileno(), 0o600)
        with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as archive:
            raw = msgspec.json.encode(manifest)
            head = tarfile.TarInfo(_MANIFEST)
            head.size, head.mode = len(raw), 0o600
            archive.addfile(head, io.BytesIO(raw))
            for name in names:
                archive.add(work / name, name, filter=_plain)
        out.flush()
        os.fsync(out.fileno())


def _seal(work: Path, recipient: Recipient, note: bytes) -> None:
    plain = work / "plain"
    (work / "backup").rename(plain)
    with plain.open("rb") as source, (work / "backup").open("xb") as out:
        os.fchmod(out.fileno(), 0o600)
        try:
            envelope.seal(source, out, recipient.public_key, note, recipient.provider)
        except CryptoError as error:
            raise StoreError("key", str(error), "name the SM2 public key of who may restore it") from error
        out.flush()
        os.fsync(out.fileno())


def _keyring(path: Path, kek: Kek | None) -> Keyring:
    if kek is None:
        raise StoreError("key", "the ledger is sealed", "set kek_credential")
    return Keyring(path, kek)


def _plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
    info.uid = info.gid = info.mtime = 0
    info.uname = info.gname = ""
    info.mode = 0o600
    return info


@dataclass(frozen=True, slots=True)
class Opener:
    """What opens sealed backups: a private key of the provider `openssl`. `kek` is this host's."""

    private_key: PrivateKey
    kek: Kek | None
    provider: Provider


def is_sealed(path: Path) -> bool:
    """Whether a backup was sealed. Raises StoreError."""
    try:
        with path.open("rb") as source:
            return source.read(len(envelope.MAGIC)) == envelope.MAGIC
    except OSError as error:
        raise os_error(error, str(path)) from error


def unseal(path: Path, folder: Path, opener: Opener) -> BackupManifest:
    """`unpack` of a sealed backup; its data keys are sealed under this host's KEK. Raises StoreError."""
    opened = folder / "opened"
    try:
        with path.open("rb") as source, opened.open("xb") as out:
            os.fchmod(out.fileno(), 0o600)
            note, pieces = envelope.unseal(source, opener.private_key, opener.provider)
            if note:
                _keyring(folder / KEYRING, opener.kek).take(note)
            for piece in pieces:
                out.write(piece)
        return unpack(opened, folder)
    except OSError as error:
        raise os_error(error, str(path)) from error
    finally:
        opened.unlink(missing_ok=True)


def unpack(path: Path, folder: Path) -> BackupManifest:
    """Put the files of a backup into `folder`, durably, their hashes checked. Raises StoreError."""
    try:
        with tarfile.open(path, "r:") as archive:
            manifest = _manifest(path, archive)
            for name, hashed in manifest.files.items():
                member = archive.next()
                # not a sparse one either, which may be far longer than the backup
                if member is None or member.name != name or not member.isreg() or member.issparse():
                    raise _damaged(path, f"{name} is missing")
                if name == KEYRING and member.size > _LONGEST_KEYRING:
                    raise _damaged(path, f"{name} has {member.size} bytes")
                source = archive.extractfile(member)
                with (folder / name).open("xb") as out:
                    os.fchmod(out.fileno(), 0o600)
                    if source is not None:
                        shutil.copyfileobj(source, out, 1 << 20)
                    out.flush()
                    os.fsync(out.fileno())
                if sm3_file(folder / name).hex() != hashed:
                    raise _damaged(path, f"the SM3 of {name} is not the one in its manifest")
            if archive.next() is not None:
                raise _damaged(path, "it has more files than its manifest")
    except tarfile.TarError as error:
        raise _damaged(path, str(error)) from error
    except OSError as error:
        raise os_error(error, str(path)) from error
    return manifest


def _manifest(path: Path, archive: tarfile.TarFile) -> BackupManifest:
    first = archive.next()
    if first is None or first.name != _MANIFEST or first.size > _LONGEST_MANIFEST:
        raise _damaged(path, "it does not begin with a manifest")
    source = archive.extractfile(first)
    try:
        found = msgspec.json.decode(b"" if source is None else source.read(), type=BackupManifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(path, f"manifest: {error}") from error
    if found.format != 1:
        raise StoreError("format", f"{path}: format {found.format}, allowed: 1", "use a newer provnode")
    if STORE not in found.files or not set(found.files) <= {STORE, KEYRING}:
        raise _damaged(path, f"files: found {sorted(found.files)[:4]}")
    return found


def _damaged(path: Path, what: str) -> StoreError:
    return StoreError("corrupt", f"{path}: {what}", "use another backup")
