"""The methods: JR/T 0314-2024 clause 7's capabilities, and this node's own status.

Every method takes named parameters only; an unknown, missing or mistyped one is an error.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from provnode.ledger.changes import membership_json
from provnode.ledger.errors import NotFoundError, PrunedError, TxError
from provnode.ledger.views import EVIDENCE_PAGE
from provnode.net.events import log_event
from provnode.ops import logs
from provnode.ops.node import Node
from provnode.ops.rekey import RekeyError
from provnode.ops.status import Status
from provnode.rpc.access import Caller, Right
from provnode.rpc.errors import INVALID_PARAMS, NOT_FOUND, REFUSED, TIMED_OUT, RpcError
from provnode.storage.errors import StoreError

log = logging.getLogger(__name__)
_LONGEST_WAIT = 60
# JR/T 0314-2024 clause 6: header.content.object_id
_LONGEST_OBJECT_ID = 128
MAX_SUBMITTED = 256
"""Transactions in one `submit_transactions`."""
# two numbers, the kind and a name
_LONGEST_EVIDENCE_ID = 128
Params = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Entry:
    """A method, its parameters with their types, and the right it takes to call it."""

    run: Callable[[Params], Awaitable[object]]
    needed: Mapping[str, type] = field(default_factory=dict)
    optional: Mapping[str, type] = field(default_factory=dict)
    right: Right = Right.READ


class Methods:
    """What may be called on a node."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._ledger = node.ledger
        schemas = node.ledger.genesis.document["schemas"]
        self._types = sorted(schemas) if isinstance(schemas, dict) else []
        height, network = {"height": int}, {"id": str}
        self._table = {
            "node_status": _Entry(self._status),
            "network_list": _Entry(self._list),
            "network_options": _Entry(self._options, {}, network),
            "network_status": _Entry(self._network_status, {}, network),
            "block": _Entry(self._block, height),
            "transaction": _Entry(self._transaction, {"txid": str}),
            "consensus_state": _Entry(self._consensus, height),
            "objects": _Entry(self._objects, height),
            "object": _Entry(
                self._object, {"object_id": str}, {"version": int, "proof": bool, "trusted_height": int}
            ),
            "state": _Entry(self._state, {"kind": str, "id": str}, {"trusted_height": int}),
            "handovers": _Entry(self._handovers, {"from_height": int, "to_height": int}),
            "membership": _Entry(self._membership),
            "evidence": _Entry(self._evidence, {}, {"after": str, "count": int}),
            "submit_transaction": _Entry(
                self._submit, {"transaction": str}, {"wait_seconds": int}, Right.SUBMIT
            ),
            "submit_transactions": _Entry(self._submit_many, {"transactions": list}, {}, Right.SUBMIT),
            "wait_transaction": _Entry(self._wait, {"txid": str}, {"seconds": int}),
            "rekey": _Entry(self._rekey, right=Right.OPERATE),
            "log_level": _Entry(self._log_level, {}, {"level": str}, Right.OPERATE),
        }

    @property
    def names(self) -> Set[str]:
        """The methods there are."""
        return self._table.keys()

    async def call(self, caller: Caller, name: str, params: Params) -> object:
        """Run one of them for a caller. Raises RpcError."""
        entry = self._table[name]
        caller.require(entry.right)
        _check_params(params, entry.needed, entry.optional)
        if name == "submit_transactions":
            # each counts as a request of its own; the first was counted with the call
            await caller.turn(max(0, min(len(params["transactions"]), MAX_SUBMITTED) - 1))
        try:
            return await entry.run(params)
        except PrunedError as error:
            raise RpcError(NOT_FOUND, str(error), "pruned", oldest_height=error.oldest) from None
        except NotFoundError as error:
            raise RpcError(NOT_FOUND, str(error), "not_found") from None
        except TxError as error:
            raise RpcError(REFUSED, error.message, str(error.code)) from None
        except TimeoutError:
            text = "not committed in the time allowed; it may be later"
            raise RpcError(TIMED_OUT, text, "timeout") from None

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
        object_id: str = params["object_id"]
        if len(object_id) > _LONGEST_OBJECT_ID:
            raise RpcError(INVALID_PARAMS, f"object_id: longer than {_LONGEST_OBJECT_ID} characters")
        version: int | None = params.get("version")
        if not params.get("proof"):
            return await asyncio.to_thread(self._ledger.object, object_id, version)
        return await _proven(self._ledger.prove, object_id, version, params.get("trusted_height", 0))

    async def _state(self, params: Params) -> object:
        return await _proven(
            self._ledger.prove_state, params["kind"], params["id"], params.get("trusted_height", 0)
        )

    async def _handovers(self, params: Params) -> object:
        return await asyncio.to_thread(self._ledger.handovers, params["from_height"], params["to_height"])

    async def _membership(self, _: Params) -> object:
        return {"height": self._ledger.height} | membership_json(self._ledger.membership)

    async def _evidence(self, params: Params) -> object:
        after, count = params.get("after", ""), params.get("count", EVIDENCE_PAGE)
        if len(after) > _LONGEST_EVIDENCE_ID:
            raise RpcError(INVALID_PARAMS, f"after: longer than {_LONGEST_EVIDENCE_ID} characters")
        if not 1 <= count <= EVIDENCE_PAGE:
            raise RpcError(INVALID_PARAMS, f"count: found {count}, allowed: 1 to {EVIDENCE_PAGE}")
        found = await asyncio.to_thread(self._ledger.evidence, after, count)
        organisations = self._ledger.genesis.organisations
        titled = [{**one, "title": organisations[str(one["organisation"])].title} for one in found]
        return {"evidence": titled, "next": found[-1]["id"] if len(found) == count else None}

    async def _submit(self, params: Params) -> object:
        raw = _bytes(params, "transaction")
        # before the transaction is taken: a refused request has no effect
        seconds = _seconds(params, "wait_seconds") if "wait_seconds" in params else None
        txid = await self._node.submit(raw)
        if seconds is None:
            return {"txid": txid.hex()}
        return {"txid": txid.hex(), "height": await self._node.wait_committed(txid, seconds)}

    async def _submit_many(self, params: Params) -> object:
        found = params["transactions"]
        if not 0 < len(found) <= MAX_SUBMITTED:
            text = f"transactions: found {len(found)}, allowed: 1 to {MAX_SUBMITTED}"
            raise RpcError(INVALID_PARAMS, text)
        # all are read before one is taken: a refused request has no effect
        raws = [_hex(f"transactions/{place}", text) for place, text in enumerate(found)]
        return [
            {"code": str(outcome.code), "message": outcome.message}
            if isinstance(outcome, TxError)
            else {"txid": outcome.hex()}
            for outcome in await self._node.submit_many(raws)
        ]

    async def _wait(self, params: Params) -> object:
        txid = _txid(params)
        return {
            "txid": txid.hex(),
            "height": await self._node.wait_committed(txid, _seconds(params, "seconds")),
        }

    async def _rekey(self, _: Params) -> object:
        try:
            return {"data_key": await self._node.rekeying.begin()}
        except (RekeyError, StoreError) as error:
            raise RpcError(REFUSED, str(error)) from None

    async def _log_level(self, params: Params) -> object:
        before = logs.level()
        if "level" in params:
            try:
                logs.set_level(params["level"])
            except ValueError as error:
                raise RpcError(INVALID_PARAMS, str(error)) from None
            log_event(log, logging.WARNING, "log.level", before=before, now=logs.level())
        return {"level": logs.level(), "before": before}


async def _proven(prove: Callable[..., object], *what: object) -> object:
    try:
        return await asyncio.to_thread(prove, *what)
    except ValueError as error:
        raise RpcError(INVALID_PARAMS, str(error)) from None


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
        "oldest_height": status.oldest_height,
        "block_hash": status.block_id.hex(),
        "block_time": block_time.isoformat(timespec="milliseconds"),
        "state_root": status.state_root.hex(),
        "genesis_hash": status.genesis_hash.hex(),
        "validator": status.validator,
        "syncing": status.syncing,
        "round": status.round,
        "step": status.step,
        "mempool": status.mempool_count,
        "verify_queue": status.verify_queue,
        "store_bytes": status.store_bytes,
        "peers": [
            {"name": peer.name, "organisation": peer.organisation, "height": peer.height}
            for peer in status.peers
        ],
        "evidence": {"pending": status.evidence_pending, "committed": dict(status.evidence_committed)},
        "certificate_expires": status.certificate_expires.isoformat(),
        "rekey": status.rekey and dict(zip(("done", "of"), status.rekey, strict=True)),
        "problem": status.problem,
    }


def _check_params(params: Params, needed: Mapping[str, type], optional: Mapping[str, type]) -> None:
    allowed = {**needed, **optional}
    unknown, missing = set(params) - set(allowed), set(needed) - set(params)
    if unknown:
        names = ", ".join(sorted(unknown))[:200]
        raise RpcError(INVALID_PARAMS, f"unknown: {names}; allowed: {', '.join(allowed) or 'none'}")
    if missing:
        raise RpcError(INVALID_PARAMS, f"missing: {', '.join(sorted(missing))}")
    for key, value in params.items():
        # exact: true is no integer here
        if type(value) is not allowed[key]:
            found = type(value).__name__
            raise RpcError(INVALID_PARAMS, f"{key}: found {found}, allowed: {allowed[key].__name__}")


def _height(params: Params) -> int:
    height: int = params["height"]
    if height < 1:
        raise RpcError(INVALID_PARAMS, f"height: found {height}, allowed: 1 and above")
    return height


def _bytes(params: Params, key: str) -> bytes:
    return _hex(key, params[key])


def _hex(key: str, text: object) -> bytes:
    try:
        found = bytes.fromhex(text) if isinstance(text, str) else None
    except ValueError:
        found = None
    # one spelling only: no spaces, no capitals
    if found is None or found.hex() != text:
        raise RpcError(INVALID_PARAMS, f"{key}: allowed are pairs of lower-case hexadecimal digits")
    return found


def _txid(params: Params) -> bytes:
    txid = _bytes(params, "txid")
    if len(txid) != 32:
        raise RpcError(INVALID_PARAMS, f"txid: found {len(txid)} bytes, allowed: 32")
    return txid


def _seconds(params: Params, key: str) -> int:
    seconds: int = params.get(key, _LONGEST_WAIT)
    if not 1 <= seconds <= _LONGEST_WAIT:
        raise RpcError(INVALID_PARAMS, f"{key}: found {seconds}, allowed: 1 to {_LONGEST_WAIT}")
    return seconds
