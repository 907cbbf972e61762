"""What lies on the disk and is read again: a damaged or foreign file is named, never believed."""

from __future__ import annotations

import os
import shutil
import sqlite3
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from provnode import wire
from provnode.core.events import ProposalReceived, Start, TimeoutFired, ValueReady, VoteReceived
from provnode.core.guard import Signed
from provnode.core.types import Proposal, Step
from provnode.crypto.hashing import pack
from provnode.crypto.sealed import Kek
from provnode.ledger.app import Ledger
from provnode.ledger.errors import GenesisError
from provnode.ledger.fsck import fsck
from provnode.ledger.views import _decoded
from provnode.ops.config import ConfigError, load_config
from provnode.ops.evidence import EvidencePool
from provnode.ops.journal import Journal
from provnode.storage import scan
from provnode.storage.backup import unpack, write_backup
from provnode.storage.errors import StoreError, WalCorruptError
from provnode.storage.floor import SigningFloor
from provnode.storage.sealing import Keyring, block_row
from provnode.storage.signed import SignedStore
from provnode.storage.store import Store
from provnode.storage.wal import MAGIC, ConsensusWal
from tests.fuzz.target import Target
from tests.fuzz.world import PROVIDER, SIGNATURE, genesis, scratch, votes, world

_KEK = Kek(bytes(16), PROVIDER)
_CONFIG = b"""
name = "v1"
organisation = "zjex"
genesis = "/etc/provnode/genesis.json"
data_dir = "/var/lib/provnode/data"
client_key = "k"
client_id = "a1@zjex"
snapshot_interval = 10_000
log_level = "info"

[listen]
address = "192.0.2.11"
p2p_port = 1
rpc_port = 2

[identity]
key = "tls.key"
cert = "cert.pem"
trust_dir = "trust"

[[peers]]
name = "v2"
organisation = "zjfin"
address = "192.0.2.12"
p2p_port = 1
rpc_port = 2
dial = true
"""


def _file(raw: bytes, name: str = "file") -> Path:
    path = scratch() / name
    path.write_bytes(raw)
    path.chmod(0o600)
    return path


def _made(make: Callable[[Path], object], name: str = "made") -> bytes:
    """The bytes of a file that the node itself writes."""
    path = scratch() / name
    path.unlink(missing_ok=True)
    make(path)
    raw = path.read_bytes()
    path.unlink()
    return raw


def _wal(raw: bytes) -> None:
    path = _file(raw)
    wal = ConsensusWal.open(path, 1)
    found = list(wal.records)
    wal.append(b"later", sync=False)
    wal.close()
    again = ConsensusWal.open(path, 1)
    again.close()
    assert again.records == [*found, b"later"], "what was written is not read again"


def _wal_file(*records: bytes, height: int = 14) -> bytes:
    raw = MAGIC + height.to_bytes(8, "big")
    raw += zlib.crc32(raw).to_bytes(4, "big")
    for record in records:
        size = len(record).to_bytes(4, "big")
        raw += size + zlib.crc32(size).to_bytes(4, "big") + zlib.crc32(record).to_bytes(4, "big") + record
    return raw


def _journal(raw: bytes) -> None:
    """One record of the log, whole and with the right sum."""
    journal = Journal(_file(_wal_file(raw)), 14)
    try:
        journal.replay()
    finally:
        journal.close()


@cache
def _records() -> list[bytes]:
    def make(path: Path) -> None:
        journal = Journal(path, 14)
        proposal = Proposal(14, 0, -1, bytes(32), "v3", SIGNATURE)
        for event in (
            Start(),
            ValueReady(14, 0, bytes(32)),
            ProposalReceived(proposal, valid=True),
            VoteReceived(votes(14)[0]),
            TimeoutFired(Step.PREVOTE, 14, 0),
        ):
            journal.event(event)
        journal.block(bytes(32), b"block")
        journal.sync()
        journal.close()

    path = _file(_made(make))
    wal = ConsensusWal.open(path, 14)
    wal.close()
    return wal.records


def _signed(raw: bytes) -> None:
    store = SignedStore(_file(raw))
    found = store.load()
    assert found is not None and found.height >= 1 and found.round >= 0 and 0 <= found.step <= 2
    store.save(found)
    assert store.load() == found


def _floor(raw: bytes) -> None:
    floor = SigningFloor(_file(raw))
    floor.allows(5, "v1", world().ledger.validators, {"v2": 7, "v3": 7, "v4": 7, "v5": 7})


def _keyring(raw: bytes) -> None:
    ring = Keyring(_file(raw), _KEK)
    assert ring.open(b"row", ring.seal(b"row", b"value")) == b"value"


def _exported(raw: bytes) -> None:
    """Data keys that came with a backup, from who knows where."""
    path = scratch() / "taken"
    path.unlink(missing_ok=True)
    ring = Keyring(path, _KEK)
    ring.take(raw)
    again = Keyring(path, _KEK)
    assert ring.open(b"row", again.seal(b"row", b"value")) == b"value"


def _sealed_value(raw: bytes) -> None:
    ring = _ring()
    ring.open(block_row(1), raw)
    assert ring.is_current(raw)


@cache
def _ring() -> Keyring:
    path = scratch() / "keyring"
    return Keyring(path, _KEK)


def _backup(raw: bytes) -> None:
    folder = scratch() / "unpacked"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        unpack(_file(raw), folder)
    finally:
        written = sum(path.stat().st_size for path in folder.iterdir())
        assert written <= len(raw), f"{written} bytes unpacked from {len(raw)}"


@cache
def _small_store() -> bytes:
    """A store's file with one block."""

    def make(path: Path) -> None:
        store = Store(path)
        store.bind(genesis().hash)
        row = world().ledger.store.block(1)
        assert row is not None
        with store.writing("a block") as db:
            db.execute("INSERT INTO blocks VALUES (?, ?, ?, ?)", (1, row.block_id, row.raw, row.certificate))
        store.close()

    return _made(make, "chain.sqlite")


def _backups() -> list[bytes]:
    folder = scratch() / "copied"
    folder.mkdir(exist_ok=True)
    _file(_small_store(), "copied/chain.sqlite")
    return [_made(lambda path: write_backup(folder, path), "backup")]


def _store(raw: bytes) -> None:
    for left in scratch().glob("damaged.sqlite-*"):
        left.unlink()
    path = _file(raw, "damaged.sqlite")
    store = Store(path)
    try:
        store.genesis_hash()
        store.block(store.height())
        _decoded.cache_clear()  # as when a process starts
        Ledger(store, genesis(), PROVIDER).validators_at(13)
        for table in (scan.versions, scan.heads, scan.users, scan.states, scan.transactions, scan.nodes):
            for _ in table(store):
                pass
        found = fsck(store, genesis(), PROVIDER)
        assert len(found) < 1_000
    finally:
        store.close()


@cache
def _stores() -> list[bytes]:
    def make(path: Path) -> None:
        with sqlite3.connect(world().node.store.path) as db:
            db.execute("VACUUM INTO ?", (str(path),))

    return [_made(make)]


def _pool(raw: bytes) -> None:
    pool = EvidencePool(_file(raw), world().ledger, genesis().hash, PROVIDER)
    assert len(pool) <= len(raw) // 100


def _config(raw: bytes) -> None:
    found = load_config(_file(raw))
    for name in (found.genesis, found.data_dir, found.admin_socket, found.identity.key, found.client_key):
        os.path.exists(name)  # noqa: PTH110 - a name that no file can have raises here


TARGETS = (
    Target("wal", _wal, (WalCorruptError, StoreError), lambda: [_wal_file(b"one", b"two"), _wal_file()]),
    Target("journal", _journal, (WalCorruptError,), _records, "msgpack"),
    Target(
        "last_signed",
        _signed,
        (StoreError,),
        lambda: [_made(lambda path: SignedStore(path).save(Signed(14, 0, 1, b"bytes", SIGNATURE)))],
        "json",
    ),
    Target("floor", _floor, (StoreError,), lambda: [b'{"height":9}\n', b'{"height":null}\n'], "json"),
    Target("keyring", _keyring, (StoreError,), lambda: [_made(lambda path: Keyring(path, _KEK))]),
    Target("data_keys", _exported, (StoreError,), lambda: [_ring().exported()], "json"),
    Target("sealed_value", _sealed_value, (StoreError,), lambda: [_ring().seal(block_row(1), b"value")]),
    Target("backup", _backup, (StoreError,), _backups),
    Target("store", _store, (StoreError, GenesisError), _stores),
    Target(
        "evidence_pool",
        _pool,
        (StoreError,),
        lambda: [pack([wire.encode_evidence(wire.make_evidence(*votes(5)))])],
        "msgpack",
    ),
    Target("config", _config, (ConfigError,), lambda: [_CONFIG]),
)
