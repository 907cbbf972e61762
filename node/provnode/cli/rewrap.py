"""Sealing all keys of this host anew under another key-encryption key, whether a node runs or not."""

from __future__ import annotations

import argparse
from pathlib import Path

from provnode.cli.keys import find_kek, read_file
from provnode.cli.main import RefusalError, print_json
from provnode.cli.node import FolderInUseError, owned, read_config
from provnode.crypto import CryptoError, get_provider
from provnode.crypto.sealed import Kek, Purpose, rewrap_key
from provnode.ops.config import Config
from provnode.storage.backup import KEYRING
from provnode.storage.errors import StoreError
from provnode.storage.files import replace_file
from provnode.storage.sealing import Keyring, kek_of


def rewrap(given: argparse.Namespace) -> int:
    """Bring every sealed file that the configuration names under `kek_credential`, one after another.

    Each is replaced as a whole, and what is done already is left alone: after an interruption the same
    command goes on. While both credentials are there, everything opens at any moment.
    """
    config = read_config(given)
    kek = find_kek(config.kek_credential, get_provider(config.provider), config.old_kek_credential)
    if kek is None:
        raise RefusalError("kek_credential: is missing in the configuration; nothing here is sealed")
    done: list[str] = []
    kept: list[str] = []
    try:
        if config.data_dir and (keyring := Path(config.data_dir) / KEYRING).exists():
            (done if _keyring(keyring, kek) else kept).append(str(keyring))
        for path, purpose in _keys(config):
            try:
                anew = rewrap_key(read_file(path), purpose, kek)
            except CryptoError as error:
                raise RefusalError(f"{path}: {error}") from None
            if anew is not None:
                replace_file(path, anew)
            (kept if anew is None else done).append(str(path))
    except StoreError as error:
        raise RefusalError(str(error)) from None
    print_json({"kek": kek.id, "sealed_anew": done, "as_before": kept})
    return 0


def _keyring(path: Path, kek: Kek) -> bool:
    """Have the keyring under the KEK; True where it was under another one. Raises RefusalError, StoreError.

    It is its node's: one that runs has brought it under the KEK at its start, or has another one.
    """
    before = kek_of(path)
    try:
        with owned(path.parent):
            Keyring(path, kek)
    except FolderInUseError as error:
        if before != kek.id:
            remedy = "restart the node with both credentials, then do this again"
            raise RefusalError(f"{path}: under KEK {before}, and in use ({remedy})") from error
    return before != kek.id


def _keys(config: Config) -> list[tuple[Path, Purpose]]:
    named: list[tuple[str, Purpose]] = [
        (config.consensus_key, "consensus"),
        (config.next_consensus_key, "consensus"),
        (config.client_key, "client"),
        (config.identity.key, "tls"),
    ]
    return [(Path(name), purpose) for name, purpose in named if name]
