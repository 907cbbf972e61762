"""A node's store as a whole: backed up, restored, verified."""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import asdict
from pathlib import Path

from provnode.cli.keys import read_file
from provnode.cli.main import RefusalError, print_json
from provnode.cli.node import owned, read_config
from provnode.crypto import CryptoError, Provider, get_provider
from provnode.crypto.openssl import OpenSSL
from provnode.crypto.sealed import Kek, load_kek
from provnode.crypto.spki import point_of
from provnode.ledger.errors import GenesisError
from provnode.ledger.fsck import Damage
from provnode.ledger.fsck import fsck as verify
from provnode.ledger.genesis import Genesis, load_genesis
from provnode.ops.config import Config
from provnode.storage.backup import (
    KEYRING,
    STORE,
    BackupManifest,
    Opener,
    Recipient,
    is_sealed,
    unpack,
    unseal,
    write_backup,
)
from provnode.storage.errors import StoreError
from provnode.storage.files import settle
from provnode.storage.floor import FLOOR, SigningFloor
from provnode.storage.sealing import open_sealing
from provnode.storage.store import Store

_WORK = "restoring"
# of a restore that was interrupted: the store itself comes last
_LEFT_OVER = {"lock", _WORK, FLOOR, KEYRING}


def backup(given: argparse.Namespace) -> int:
    """Back up the store, whether a node runs on it or not."""
    config = read_config(given)
    try:
        recipient = None if given.seal_for is None else _recipient(given.seal_for, config)
        done = write_backup(Path(config.data_dir), given.file, recipient)
    except StoreError as error:
        raise RefusalError(str(error)) from None
    print_json({"file": str(given.file), "height": done.height, "block_id": done.block_id, "sm3": done.files})
    return 0


def restore(given: argparse.Namespace) -> int:
    """Restore a backup into an empty data folder, once everything in it has been verified."""
    config = read_config(given)
    folder = Path(config.data_dir)
    with owned(folder):
        there = {path.name for path in folder.iterdir()} - _LEFT_OVER
        if there:
            raise RefusalError(
                f"{folder}: found {', '.join(sorted(there)[:4])}; restore into an empty folder"
            )
        work = folder / _WORK
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(mode=0o700)
        try:
            manifest = _unpack(given, config, work)
            damage, _, _ = _check(work, config)
            if damage:
                worst = damage[0]
                raise RefusalError(
                    f"{given.file}: {len(damage)} damages, the first: "
                    f"{worst.table} {worst.row}: {worst.problem}"
                )
            last = given.last_signed_height
            SigningFloor(folder / FLOOR).set(None if last is None else last + 1)
            if (work / KEYRING).exists():
                settle(work / KEYRING, folder / KEYRING)
            settle(work / STORE, folder / STORE)
        except StoreError as error:
            raise RefusalError(str(error)) from None
        finally:
            shutil.rmtree(work, ignore_errors=True)
    print_json({"height": manifest.height, "block_id": manifest.block_id})
    return 0


def _recipient(path: Path, config: Config) -> Recipient:
    _, provider, kek = _trusted(config)
    try:
        return Recipient(point_of(path.read_bytes()), kek, provider)
    except CryptoError as error:
        raise RefusalError(f"{path}: {error}") from None
    except OSError as error:
        raise RefusalError(f"{path}: {error.strerror}") from None


def _unpack(given: argparse.Namespace, config: Config, work: Path) -> BackupManifest:
    if is_sealed(given.file) != (given.open_with is not None):
        found, remedy = ("sealed", "is needed") if given.open_with is None else ("plain", "is of no use")
        raise RefusalError(f"{given.file}: it is {found}, --open-with {remedy}")
    if given.open_with is None:
        return unpack(given.file, work)
    _, provider, kek = _trusted(config)
    try:
        key = OpenSSL().load_private(read_file(given.open_with))
        return unseal(given.file, work, Opener(key, kek, provider))
    except CryptoError as error:
        raise RefusalError(f"{given.open_with}: {error}") from None
    except StoreError as error:
        raise RefusalError(f"{given.file}: {error}") from None


def fsck(given: argparse.Namespace) -> int:
    """Verify the whole store of a stopped node; 1 when there is damage."""
    config = read_config(given)
    folder = Path(config.data_dir)
    if not (folder / STORE).exists():
        raise RefusalError(f"{folder / STORE} is not there")
    with owned(folder):
        try:
            damage, oldest, newest = _check(folder, config)
        except StoreError as error:
            damage, oldest, newest = [Damage("file", str(folder / STORE), str(error))], 0, 0
    if given.json:
        print_json(
            {"damage": [asdict(one) for one in damage], "oldest_height": oldest, "newest_height": newest}
        )
    else:
        for one in damage:
            print(f"{one.table} {one.row}: {one.problem}")
        if oldest > 1:
            print(
                f"not verified, as they are not kept here: blocks 1 to {oldest - 1}, "
                "and what the index of transactions says of them"
            )
    return 1 if damage else 0


def _check(folder: Path, config: Config) -> tuple[list[Damage], int, int]:
    """The damage, and the heights of the oldest and the newest block that there are."""
    genesis, provider, kek = _trusted(config)
    store = Store(folder / STORE, open_sealing(folder, kek))
    try:
        return verify(store, genesis, provider, _tell), store.lowest(), store.height()
    finally:
        store.close()


def _trusted(config: Config) -> tuple[Genesis, Provider, Kek | None]:
    try:
        provider = get_provider(config.provider)
        return (
            load_genesis(Path(config.genesis)),
            provider,
            load_kek(config.kek_credential, provider, config.old_kek_credential),
        )
    except (GenesisError, CryptoError) as error:
        raise RefusalError(str(error)) from None
    except OSError as error:
        raise RefusalError(f"{error.filename}: {error.strerror}") from None


def _tell(where: str) -> None:
    print(f"provnode: {where}", file=sys.stderr)
