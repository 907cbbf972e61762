"""Starting a node: everything is checked first, and a refusal says what doesn't fit."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import fcntl
import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from provnode import wire
from provnode.cli.keys import load_key
from provnode.cli.main import RefusalError, print_json
from provnode.cli.verify import read_trust
from provnode.core.types import Validator, ValidatorSet
from provnode.crypto import CryptoError, get_provider
from provnode.crypto.sealed import load_kek, opener
from provnode.ledger.errors import GenesisError
from provnode.ledger.genesis import Genesis, load_genesis
from provnode.ledger.trusted import TrustedPoint
from provnode.net.errors import NetError
from provnode.net.events import log_event
from provnode.net.identity import Identity
from provnode.net.peers import KnownPeer
from provnode.ops.config import Config, ConfigError, load_config
from provnode.ops.join import Join
from provnode.ops.logs import set_up
from provnode.ops.node import Node, NodeError, Setup
from provnode.rpc.server import RpcServer
from provnode.storage.errors import StoreError

# without an offer for so long (seconds), a node joins by all blocks
_SNAPSHOT_PATIENCE = 60.0
log = logging.getLogger(__name__)
# what was acknowledged is on the disk, and a crash at any moment is survived: longer, nothing is waited for
_STOP_SECONDS = 1.8
# new objects, then young collections, then older ones between collections
_COLLECT = (20_000, 20, 20)
# mallopt(3): heaps that threads share, and from how many bytes on an allocation is a mapping of its own
_HEAPS = {-8: 2, -3: 1 << 20}
_NO_LISTEN = "listen: is missing in the configuration; a client has no node to run"


def prepare(config: Config) -> Setup:
    """Read and check all that a node is made of. Raises RefusalError."""
    if config.listen is None:
        raise RefusalError(_NO_LISTEN)
    try:
        genesis = load_genesis(Path(config.genesis))
        provider = get_provider(config.provider)
        organisations = frozenset(genesis.organisations)
        files = config.identity
        kek = load_kek(config.kek_credential, provider, config.old_kek_credential)
        paths = Path(files.key), Path(files.cert), Path(files.trust_dir)
        identity = Identity(*paths, organisations, opener("tls", kek))
    except (GenesisError, CryptoError, NetError) as error:
        raise RefusalError(str(error)) from None
    except OSError as error:
        raise RefusalError(f"{error.filename}: {error.strerror}") from None
    own = identity.own
    if (own.name, own.organisation) != (config.name, config.organisation):
        raise RefusalError(
            f"the certificate is of {own.name!r} of {own.organisation!r}, "
            f"the configuration of {config.name!r} of {config.organisation!r}"
        )
    key, next_key = (
        load_key(Path(name), provider, "consensus", kek) if name else None
        for name in (config.consensus_key, config.next_consensus_key)
    )
    peers = [KnownPeer(p.name, p.organisation, p.address, p.p2p_port, p.dial) for p in config.peers]
    listen = config.listen
    return Setup(
        genesis,
        identity,
        key,
        provider,
        Path(config.data_dir),
        listen.address,
        listen.p2p_port,
        peers,
        next_key,
        kek,
        config.snapshot_interval,
        config.keep_blocks,
        _trusted(Path(config.trust), genesis) if config.trust else None,
    )


class FolderInUseError(RefusalError):
    """A node runs on the data folder."""


def _trusted(path: Path, genesis: Genesis) -> TrustedPoint:
    """The point in a file, which must be one of this chain. Raises RefusalError."""
    found = read_trust(path)
    named = (genesis.chain_id, genesis.network, genesis.hash)
    if (found.chain_id, found.network, found.genesis_hash) != named:
        raise RefusalError(
            f"{path}: a point of {found.network!r} {found.genesis_hash.hex()}, "
            f"the genesis is that of {genesis.network!r} {genesis.hash.hex()}"
        )
    members = (Validator(one.name, one.organisation, one.public_key, one.power) for one in found.validators)
    try:
        validators = ValidatorSet(tuple(members))
    except ValueError as error:
        raise RefusalError(f"{path}: validators: {error}") from None
    return TrustedPoint(found.height, found.block_id, wire.validators_hash(validators))


@contextlib.contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Hold the data folder: two nodes on one folder could sign contradictory votes.

    Raises RefusalError, FolderInUseError.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = (folder / "lock").open("ab")
    except OSError as error:
        raise RefusalError(f"{error.filename}: {error.strerror}") from None
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUseError(f"{folder}: in use by a running provnode; stop that one first") from None
        yield


def _node(setup: Setup) -> Node:
    try:
        return Node(setup)
    except (NodeError, StoreError, GenesisError, NetError) as error:
        raise RefusalError(str(error)) from None
    except OSError as error:
        raise RefusalError(f"{error.filename}: {error.strerror}") from None


def read_config(given: argparse.Namespace) -> Config:
    """The configuration that is named. Raises RefusalError."""
    try:
        return load_config(given.config)
    except ConfigError as error:
        raise RefusalError(str(error)) from None


def init(given: argparse.Namespace) -> int:
    """Check everything and make the data folder; changes nothing that is there."""
    setup = prepare(read_config(given))
    with owned(setup.data_dir):
        node = _node(setup)
        found = {
            "name": node.identity.own.name,
            "organisation": node.identity.own.organisation,
            "validator": node.status().validator,
            "height": node.ledger.height,
            "genesis_hash": node.ledger.genesis.hash.hex(),
            "certificate_expires": node.identity.own.expires.isoformat(),
        }
        asyncio.run(node.stop())
    print_json(found)
    return 0


def run(given: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    config = read_config(given)
    set_up(config.log_level)
    _spare_the_heap()
    setup = prepare(config)
    with owned(setup.data_dir):
        try:
            asyncio.run(_run(config, setup))
        except StoreError as error:
            raise RefusalError(str(error)) from None
    return 0


async def _run(config: Config, setup: Setup) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        # not by the loop, which may be busy: the time begins to count at once
        signal.signal(number, lambda *_: _end(loop, stopped))
    if config.sync == "snapshot" and not await _joined(setup, stopped):
        return
    node = _node(setup)
    rpc = RpcServer(node)
    try:
        await _listen(config, node, rpc)
        _spare_the_collector()
        ends = [asyncio.create_task(stopped.wait()), asyncio.create_task(node.failed())]
        done, waiting = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for task in done:
            task.result()
    except RefusalError:
        raise
    except Exception:
        # said where the log is read, before the process ends with it
        log.exception("node.failed")
        raise
    finally:
        await rpc.close()
        await node.stop()


def _end(loop: asyncio.AbstractEventLoop, stopped: asyncio.Event) -> None:
    """Begin to stop; what has not ended in time, such as a thread amid a long work, is cut off."""
    if not stopped.is_set():
        loop.call_soon_threadsafe(stopped.set)
        timer = threading.Timer(_STOP_SECONDS, _cut_off)
        timer.daemon = True
        timer.start()


def _cut_off() -> None:
    log_event(log, logging.WARNING, "node.cut_off", seconds=_STOP_SECONDS)
    sys.stdout.flush()
    os._exit(0)


async def _joined(setup: Setup, stopped: asyncio.Event) -> bool:
    """Join by a state snapshot where there is no store yet; False when it is told to stop meanwhile."""
    if (setup.data_dir / "chain.sqlite").exists():
        return True
    ends = [
        asyncio.create_task(stopped.wait()),
        asyncio.create_task(Join(setup, _SNAPSHOT_PATIENCE).run()),
    ]
    done, waiting = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
    try:
        for task in done:
            task.result()
    except OSError as error:
        raise RefusalError(f"can't join: {error}") from None
    return not stopped.is_set()


def _spare_the_heap() -> None:
    """Give large allocations back once they are done: a heap of glibc keeps them below what still lives."""
    libc = ctypes.CDLL(None)
    for option, value in _HEAPS.items():
        libc.mallopt(option, value)


def _spare_the_collector() -> None:
    """What a node keeps (modules, waiting transactions) holds no cycles: look for them seldom."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT)


async def _listen(config: Config, node: Node, rpc: RpcServer) -> None:
    listen = config.listen
    if listen is None:
        raise RefusalError(_NO_LISTEN)
    try:
        await node.start()
        await rpc.start(listen.address, listen.rpc_port, Path(config.admin_socket))
    except OSError as error:
        raise RefusalError(f"can't listen: {error}") from None
