"""A node's configuration file: TOML, every key known, every value checked before anything starts."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

import msgspec

_LONGEST = 256 * 1024


class ConfigError(Exception):
    """The configuration can't be used; the message names the file, the key, what was found and allowed."""


class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where this node listens; a client has none."""

    address: str
    p2p_port: int
    rpc_port: int


class IdentityFiles(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The TLS key, the certificate, and the folder with one CA an organisation (``<organisation>.pem``)."""

    key: str
    cert: str
    trust_dir: str


class PeerEntry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Another node of the network; without ``dial`` this node waits until that one connects."""

    name: str
    organisation: str
    address: str
    p2p_port: int
    rpc_port: int
    dial: bool = True


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file. ``consensus_key`` belongs to a validator, ``client_key`` to a registered signer."""

    name: str
    organisation: str
    genesis: str
    identity: IdentityFiles
    peers: list[PeerEntry]
    data_dir: str = ""
    listen: Listen | None = None
    consensus_key: str = ""
    client_key: str = ""
    client_id: str = ""
    admin_socket: str = "/run/provnode/admin.sock"
    provider: str = "openssl"
    log_level: str = "info"


@dataclass(frozen=True, slots=True)
class _Rule:
    """A condition and what to say if it doesn't hold."""

    holds: bool
    message: str


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
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, msgspec.ValidationError) as error:
        raise ConfigError(f"{path}: {error}") from None
    names = [peer.name for peer in config.peers]
    levels = ("debug", "info", "warning", "error")
    for rule in (
        _Rule(len(set(names)) == len(names), "peers: a name occurs twice"),
        _Rule(
            config.log_level in levels, f"log_level: found {config.log_level!r}, allowed: {', '.join(levels)}"
        ),
        _Rule(config.listen is None or bool(config.data_dir), "data_dir: is needed by a node that listens"),
        _Rule(bool(config.client_key) == bool(config.client_id), "client_key and client_id go together"),
        *(_Rule(0 < port < 65536, f"port: found {port}, allowed: 1 to 65535") for port in _ports(config)),
    ):
        if not rule.holds:
            raise ConfigError(f"{path}: {rule.message}")
    return config


def _ports(config: Config) -> list[int]:
    own = [config.listen.p2p_port, config.listen.rpc_port] if config.listen else []
    return own + [port for peer in config.peers for port in (peer.p2p_port, peer.rpc_port)]
