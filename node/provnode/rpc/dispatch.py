"""From a request body to an answer body: JSON-RPC 2.0, strict, whatever the bytes."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Any, Protocol

import msgspec

from provnode.rpc.errors import (
    INTERNAL,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE,
    RpcError,
)

MAX_BATCH = 64
MAX_DEPTH = 8
log = logging.getLogger(__name__)
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class Callable(Protocol):
    """A table of methods."""

    table: Any

    def call(self, name: str, params: dict[str, Any]) -> Awaitable[object]:
        """Run a method of the table."""


async def answer(methods: Callable, body: bytes) -> bytes | None:
    """Return the answer to a request or batch, or None where nothing but notifications came."""
    try:
        request = _decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _encode(_failure(None, RpcError(PARSE, "not JSON")))
    if not isinstance(request, list):
        single = await _one(methods, request)
        return None if single is None else _encode(single)
    if not 0 < len(request) <= MAX_BATCH:
        error = RpcError(INVALID_REQUEST, f"batch: found {len(request)} requests, allowed: 1 to {MAX_BATCH}")
        return _encode(_failure(None, error))
    answers = [found for one in request if (found := await _one(methods, one)) is not None]
    return _encode(answers) if answers else None


async def _one(methods: Callable, request: object) -> dict[str, Any] | None:
    ident = request.get("id") if isinstance(request, dict) else None
    if not isinstance(ident, str | int | None) or isinstance(ident, bool):
        ident = None
    try:
        name, params = _check(methods, request)
        result = await methods.call(name, params)
    except RpcError as error:
        found = _failure(ident, error)
    except Exception:
        # a defect here, not of the caller: the log has its place, the caller gets no internals
        log.exception("rpc.failed")
        found = _failure(ident, RpcError(INTERNAL, "the node failed to answer; its log says why"))
    else:
        found = {"jsonrpc": "2.0", "id": ident, "result": result}
    # a request without id is a notification, which is never answered (section 4.1)
    notification = isinstance(request, dict) and "id" not in request and request.get("jsonrpc") == "2.0"
    return None if notification else found


def _check(methods: Callable, request: object) -> tuple[str, dict[str, Any]]:
    if not isinstance(request, dict) or request.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'not an object with "jsonrpc": "2.0"')
    unknown = set(request) - {"jsonrpc", "id", "method", "params"}
    if unknown:
        raise RpcError(INVALID_REQUEST, f"unknown: {', '.join(sorted(unknown))[:200]}")
    if "id" in request and (
        not isinstance(request["id"], str | int | None) or isinstance(request["id"], bool)
    ):
        raise RpcError(INVALID_REQUEST, "id: allowed is a string, an integer or null")
    name, params = request.get("method"), request.get("params", {})
    if not isinstance(name, str):
        raise RpcError(INVALID_REQUEST, "method: allowed is a string")
    if name not in methods.table:
        raise RpcError(METHOD_NOT_FOUND, f"method: found {name[:64]!r}, allowed: {', '.join(methods.table)}")
    if not isinstance(params, dict):
        raise RpcError(INVALID_PARAMS, "params: allowed is an object")
    if _deeper(params, MAX_DEPTH):
        raise RpcError(INVALID_PARAMS, f"params: deeper than {MAX_DEPTH}")
    return name, params


def _deeper(value: object, left: int) -> bool:
    if left == 0:
        return True
    if isinstance(value, dict):
        return any(_deeper(item, left - 1) for item in value.values())
    return isinstance(value, list) and any(_deeper(item, left - 1) for item in value)


def _failure(ident: object, error: RpcError) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": ident, "error": error.as_json()}
