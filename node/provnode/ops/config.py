"""A node's configuration file: TOML, every key known, every value checked before anything starts."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Literal

import msgspec

_LONGEST = 256 * 1024
# for peers that were away for a while
FEWEST_BLOCKS = 1_000
_SNAPSHOTS_COVERED = 3


class ConfigError(Exception):
    """The configuration can't be used; the message names the file, the key, what was found and allowed."""


Name = Annotated[str, msgspec.Meta(pattern="^[a-z0-9][a-z0-9._-]{0,63}$")]
Port = Annotated[int, msgspec.Meta(ge=1, le=65535)]
Credential = Annotated[str, msgspec.Meta(pattern="^([A-Za-z0-9][A-Za-z0-9._-]{0,63})?$")]
Text = Annotated[str, msgspec.Meta(min_length=1)]


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where this node listens; a client has none."""

    address: Text
    p2p_port: Port
    rpc_port: Port


class IdentityFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The TLS key, the certificate, and the folder with one CA an organisation (``<organisation>.pem``)."""

    key: Text
    cert: Text
    trust_dir: Text


class PeerEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another node of the network; without ``dial`` this node waits until that one connects."""

    name: Name
    organisation: Name
    address: Text
    p2p_port: Port
    rpc_port: Port
    dial: bool = True


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file.

    ``consensus_key`` belongs to a validator, ``next_consensus_key`` is what it is to be re-keyed to,
    ``client_key`` belongs to a registered signer. ``kek_credential`` names the systemd credential with the
    key that all of these and the TLS key are sealed under; without it they are plain PEM, for development.
    ``old_kek_credential`` names the one before it, under which some of them may lie still.
    A validator makes a state snapshot every ``snapshot_interval`` blocks (0: none). ``sync`` is how a node
    without a store joins: by all blocks from the first on, or by a state snapshot of its peers.
    ``keep_blocks`` is how many of the newest blocks are kept; 0 makes an archive, which keeps all.
    ``trust`` names a file with a trusted point, as ``provnode verify --trust`` writes it: a chain that does
    not come past it is refused.
    """

    name: Name
    organisation: Name
    genesis: Text
    identity: IdentityFiles
    peers: list[PeerEntry]
    data_dir: str = ""
    listen: Listen | None = None
    consensus_key: str = ""
    next_consensus_key: str = ""
    client_key: str = ""
    client_id: str = ""
    kek_credential: Credential = ""
    old_kek_credential: Credential = ""
    admin_socket: str = "/run/provnode/admin.sock"
    provider: str = "native"
    snapshot_interval: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 0
    trust: str = ""
    keep_blocks: Annotated[int, msgspec.Meta(ge=0, le=1_000_000_000)] = 0
    sync: Literal["blocks", "snapshot"] = "blocks"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


def load_config(path: Path) -> Config:
    """Read and check a configuration. Raises ConfigError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}") from None
    if len(raw) > _LONGEST:
        raise ConfigError(f"{path}: {len(raw)} bytes, allowed: at most {_LONGEST}")
    try:
        config = msgspec.convert(tomllib.loads(raw.decode()), Config)
    except (ValueError, RecursionError) as error:
        # not UTF-8, no TOML, another value or key than allowed, or nested beyond reason
        raise ConfigError(f"{path}: {error}") from None
    names = [peer.name for peer in config.peers]
    # two snapshots are offered at a time: who joined by the older one needs all blocks since
    fewest = max(FEWEST_BLOCKS, _SNAPSHOTS_COVERED * config.snapshot_interval)
    rules = {
        "peers: a name occurs twice": len(set(names)) == len(names),
        "data_dir: is needed by a node that listens": config.listen is None or bool(config.data_dir),
        "client_key and client_id go together": bool(config.client_key) == bool(config.client_id),
        "old_kek_credential: needs a kek_credential, another one": not config.old_kek_credential
        or config.kek_credential not in ("", config.old_kek_credential),
        "listen: the ports must differ": config.listen is None
        or config.listen.p2p_port != config.listen.rpc_port,
        f"keep_blocks: found {config.keep_blocks}, allowed: 0 (all), and {fewest} and more": not (
            0 < config.keep_blocks < fewest
        ),
    }
    for message, holds in rules.items():
        if not holds:
            raise ConfigError(f"{path}: {message}")
    return config
