"""The methods: JR/T 0314-2024 clause 7's capabilities, and this node's own status.

Every method takes named parameters only; an unknown, missing or mistyped one is an error.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any

from provnode.ledger.errors import NotFoundError, TxError
from provnode.ops.node import Node, Status
from provnode.rpc.errors import INVALID_PARAMS, NOT_FOUND, REFUSED, TIMED_OUT, RpcError

_LONGEST_WAIT = 60
_MAX_HEIGHT = 2**62
Params = dict[str, Any]
Method = Callable[[Params], Awaitable[object]]


class Methods:
    """What may be called on a node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ledger = node.ledger
        schemas = node.ledger.genesis.document["schemas"]
        self._types = sorted(schemas) if isinstance(schemas, dict) else []
        self.table: dict[str, tuple[Method, dict[str, type], frozenset[str]]] = {
            "node_status": (self._status, {}, frozenset()),
            "network_list": (self._list, {}, frozenset()),
            "network_options": (self._options, {"id": str}, frozenset()),
            "network_status": (self._network_status, {"id": str}, frozenset()),
            "block": (self._block, {"height": int}, frozenset({"height"})),
            "transaction": (self._transaction, {"txid": str}, frozenset({"txid"})),
            "consensus_state": (self._consensus, {"height": int}, frozenset({"height"})),
            "objects": (self._objects, {"height": int}, frozenset({"height"})),
            "object": (
                self._object,
                {"object_id": str, "version": int, "proof": bool},
                frozenset({"object_id"}),
            ),
            "submit_transaction": (
                self._submit,
                {"transaction": str, "wait_seconds": int},
                frozenset({"transaction"}),
            ),
            "wait_transaction": (self._wait, {"txid": str, "seconds": int}, frozenset({"txid"})),
        }

    async def call(self, name: str, params: Params) -> object:
        """Run a method that is in the table. Raises RpcError."""
        method, allowed, needed = self.table[name]
        unknown, missing = set(params) - set(allowed), needed - set(params)
        if unknown:
            raise RpcError(
                INVALID_PARAMS, f"unknown: {', '.join(sorted(unknown))}; allowed: {', '.join(allowed)}"
            )
        if missing:
            raise RpcError(INVALID_PARAMS, f"missing: {', '.join(sorted(missing))}")
        for key, value in params.items():
            if type(value) is not allowed[key]:
                found = type(value).__name__
                raise RpcError(INVALID_PARAMS, f"{key}: found {found}, allowed: {allowed[key].__name__}")
        try:
            return await method(params)
        except NotFoundError as error:
            raise RpcError(NOT_FOUND, str(error)) from None
        except TxError as error:
            raise RpcError(REFUSED, error.message, str(error.code)) from None
        except TimeoutError:
            raise RpcError(TIMED_OUT, "not committed in the time allowed; it may be later") from None

    async def _status(self, _: Params) -> object:
        return status_json(self._node.status())

    async def _list(self, _: Params) -> object:
        status = self._node.status()
        return [
            {
                "id": status.network,
                "chain_id": status.chain_id,
                "genesis_hash": status.genesis_hash.hex(),
                "organisations": self._ledger.genesis.document["organisations"],
                "sub_networks": [],
            }
        ]

    async def _options(self, params: Params) -> object:
        self._check_network(params)
        return {
            "node_version": self._node.status().version,
            "consensus": "bft-tendermint",
            "operations": dict.fromkeys(("create", "update", "overwrite", "delete"), "committed"),
            "object_types": self._types,
        }

    async def _network_status(self, params: Params) -> object:
        self._check_network(params)
        found = status_json(self._node.status())
        return {key: found[key] for key in ("height", "block_hash", "block_time", "state_root", "peers")}

    def _check_network(self, params: Params) -> None:
        own = self._ledger.genesis.network
        if params.get("id", own) != own:
            raise RpcError(NOT_FOUND, f"network: found {params['id'][:64]!r}, here is {own!r}")

    async def _block(self, params: Params) -> object:
        return await asyncio.to_thread(self._ledger.block, _height(params))

    async def _consensus(self, params: Params) -> object:
        return await asyncio.to_thread(self._ledger.consensus_state, _height(params))

    async def _objects(self, params: Params) -> object:
        return await asyncio.to_thread(self._ledger.objects, _height(params))

    async def _transaction(self, params: Params) -> object:
        return await asyncio.to_thread(self._ledger.transaction, _txid(params))

    async def _object(self, params: Params) -> object:
        look = self._ledger.prove if params.get("proof") else self._ledger.object
        return await asyncio.to_thread(look, params["object_id"], params.get("version"))

    async def _submit(self, params: Params) -> object:
        try:
            raw = bytes.fromhex(params["transaction"])
        except ValueError:
            raise RpcError(INVALID_PARAMS, "transaction: not hexadecimal") from None
        txid = await self._node.submit(raw)
        if not params.get("wait_seconds"):
            return {"txid": txid.hex()}
        height = await self._node.wait_committed(txid, _seconds(params, "wait_seconds"))
        return {"txid": txid.hex(), "height": height}

    async def _wait(self, params: Params) -> object:
        txid = _txid(params)
        return {
            "txid": txid.hex(),
            "height": await self._node.wait_committed(txid, _seconds(params, "seconds")),
        }


def status_json(status: Status) -> dict[str, Any]:
    """Return a status as the engine verb ``status`` gives it."""
    block_time = datetime.fromtimestamp(status.block_time_ms / 1000, UTC)
    return {
        "name": status.name,
        "organisation": status.organisation,
        "network": status.network,
        "chain_id": status.chain_id,
        "version": status.version,
        "height": status.height,
        "block_hash": status.block_id.hex(),
        "block_time": block_time.isoformat(timespec="milliseconds"),
        "state_root": status.state_root.hex(),
        "genesis_hash": status.genesis_hash.hex(),
        "validator": status.validator,
        "syncing": status.syncing,
        "round": status.round,
        "step": status.step,
        "mempool": status.mempool_count,
        "peers": [
            {"name": peer.name, "organisation": peer.organisation, "height": peer.height}
            for peer in status.peers
        ],
        "double_votes": status.double_votes,
        "certificate_expires": status.certificate_expires.isoformat(),
        "problem": status.problem,
    }


def _height(params: Params) -> int:
    height: int = params["height"]
    if not 1 <= height <= _MAX_HEIGHT:
        raise RpcError(INVALID_PARAMS, f"height: found {height}, allowed: 1 and above")
    return height


def _txid(params: Params) -> bytes:
    try:
        txid = bytes.fromhex(params["txid"])
    except ValueError:
        txid = b""
    if len(txid) != 32:
        raise RpcError(INVALID_PARAMS, "txid: not 64 hexadecimal digits")
    return txid


def _seconds(params: Params, key: str) -> int:
    seconds: int = params.get(key, _LONGEST_WAIT)
    if not 1 <= seconds <= _LONGEST_WAIT:
        raise RpcError(INVALID_PARAMS, f"{key}: found {seconds}, allowed: 1 to {_LONGEST_WAIT}")
    return seconds
