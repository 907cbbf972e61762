"""Starting a node: everything is checked first, and a refusal says what doesn't fit."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

from provnode.cli.keys import load_key
from provnode.cli.main import RefusalError, print_json
from provnode.crypto import CryptoError, get_provider
from provnode.ledger.errors import GenesisError
from provnode.ledger.genesis import load_genesis
from provnode.net.errors import NetError
from provnode.net.identity import Identity
from provnode.net.peers import KnownPeer
from provnode.ops.config import Config, ConfigError, load_config
from provnode.ops.logs import set_up
from provnode.ops.node import Node, NodeError, Setup
from provnode.rpc.server import RpcServer
from provnode.storage.errors import StoreError


def prepare(config: Config) -> Setup:
    """Read and check all that a node is made of. Raises RefusalError."""
    if config.listen is None:
        raise RefusalError("listen: is missing in the configuration; a client has no node to run")
    try:
        genesis = load_genesis(Path(config.genesis))
        provider = get_provider(config.provider)
        organisations = frozenset(genesis.organisations)
        files = config.identity
        identity = Identity(Path(files.key), Path(files.cert), Path(files.trust_dir), organisations)
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
    key = load_key(Path(config.consensus_key), provider) if config.consensus_key else None
    peers = [KnownPeer(p.name, p.organisation, p.address, p.p2p_port, p.dial) for p in config.peers]
    listen = config.listen
    return Setup(
        genesis, identity, key, provider, Path(config.data_dir), listen.address, listen.p2p_port, peers
    )


def _node(config: Config) -> Node:
    setup = prepare(config)
    try:
        return Node(setup)
    except (NodeError, StoreError, GenesisError, NetError) as error:
        raise RefusalError(str(error)) from None


def _config(given: argparse.Namespace) -> Config:
    try:
        return load_config(given.config)
    except ConfigError as error:
        raise RefusalError(str(error)) from None


def init(given: argparse.Namespace) -> int:
    """Check everything and make the data folder; changes nothing that is there."""
    config = _config(given)
    node = _node(config)
    found = {
        "name": config.name,
        "height": node.ledger.height,
        "genesis_hash": node.ledger.genesis.hash.hex(),
    }
    asyncio.run(node.stop())
    print_json(found)
    return 0


def run(given: argparse.Namespace) -> int:
    """Run until SIGTERM or SIGINT."""
    config = _config(given)
    set_up(config.log_level)
    asyncio.run(_run(config))
    return 0


async def _run(config: Config) -> None:
    node = _node(config)
    rpc = RpcServer(node)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    try:
        await node.start()
        listen = config.listen
        if listen is not None:
            await rpc.start(listen.address, listen.rpc_port, Path(config.admin_socket))
        ends = [asyncio.create_task(stopped.wait()), asyncio.create_task(node.failed())]
        done, waiting = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in waiting:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        for task in done:
            task.result()
    except OSError as error:
        raise RefusalError(f"can't listen: {error}") from None
    finally:
        await rpc.close()
        await node.stop()
