"""From a request body to an answer body: JSON-RPC 2.0, strict, whatever the bytes."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Set
from typing import Any, Protocol

import msgspec

from provnode.ledger.canonical import CanonicalError, decode
from provnode.rpc.access import Caller
from provnode.rpc.errors import (
    INTERNAL,
    INVALID_PARAMS,
    INVALID_REQUEST,
    METHOD_NOT_FOUND,
    PARSE,
    TIMED_OUT,
    RpcError,
)

MAX_BATCH = 64
# for a request or a whole batch; more than the longest wait for a commit
ANSWER_SECONDS = 75.0
_LONGEST_ID = 128
log = logging.getLogger(__name__)
_encode = msgspec.json.Encoder().encode


class Callable(Protocol):
    """What may be called."""

    @property
    def names(self) -> Set[str]:
        """The methods there are."""

    def call(self, caller: Caller, name: str, params: dict[str, Any]) -> Awaitable[object]:
        """Run one of them. Raises RpcError."""


class Dispatcher:
    """Answers requests by calling methods. ``outcomes`` counts them by method and error code (0: none)."""

    def __init__(self, methods: Callable, seconds: float = ANSWER_SECONDS) -> None:
        self._methods = methods
        self._seconds = seconds
        self.outcomes: Counter[tuple[str, int]] = Counter()

    async def answer(self, caller: Caller, body: bytes) -> bytes | None:
        """Return the answer to a request or batch, or None where nothing but notifications came."""
        end = asyncio.get_running_loop().time() + self._seconds
        try:
            # as strict as transactions are read: a key twice or an odd number may not be read in two ways
            request = decode(body)
        except CanonicalError as error:
            return _encode(self._failure(None, "", RpcError(PARSE, str(error))))
        if not isinstance(request, list):
            single = await self._one(caller, request, end)
            return None if single is None else _encode(single)
        if not 0 < len(request) <= MAX_BATCH:
            text = f"batch: found {len(request)} requests, allowed: 1 to {MAX_BATCH}"
            return _encode(self._failure(None, "", RpcError(INVALID_REQUEST, text)))
        answers = [found for one in request if (found := await self._one(caller, one, end)) is not None]
        return _encode(answers) if answers else None

    async def _one(self, caller: Caller, request: object, end: float) -> dict[str, Any] | None:
        ident: str | int | None = None
        try:
            ident = _ident(request)
            name, params = _check(request)
        except RpcError as error:
            # also without an id: what is no request is no notification either
            return self._failure(ident, "", error)
        found = await self._call(caller, ident, name, params, end)
        # a request without id is a notification, which is never answered (section 4.1)
        return found if isinstance(request, dict) and "id" in request else None

    async def _call(
        self, caller: Caller, ident: str | int | None, name: str, params: object, end: float
    ) -> dict[str, Any]:
        if name not in self._methods.names:
            return self._failure(ident, "", RpcError(METHOD_NOT_FOUND, f"method: found {name[:64]!r}"))
        try:
            if not isinstance(params, dict):
                raise RpcError(INVALID_PARAMS, "params: allowed is an object")
            async with asyncio.timeout_at(end):
                await caller.turn()
                result = await self._methods.call(caller, name, params)
        except RpcError as error:
            return self._failure(ident, name, error)
        except TimeoutError:
            return self._failure(ident, name, RpcError(TIMED_OUT, f"not answered in {self._seconds:g} s"))
        except Exception:
            # a defect here, not of the caller: the log has its place, the caller gets no internals
            log.exception("rpc.failed method=%s", name)
            text = "the node failed to answer; its log says why"
            return self._failure(ident, name, RpcError(INTERNAL, text))
        self.outcomes[name, 0] += 1
        return {"jsonrpc": "2.0", "id": ident, "result": result}

    def _failure(self, ident: str | int | None, name: str, error: RpcError) -> dict[str, Any]:
        self.outcomes[name, error.code] += 1
        return {"jsonrpc": "2.0", "id": ident, "error": error.as_json()}


def _ident(request: object) -> str | int | None:
    ident = request.get("id") if isinstance(request, dict) else None
    if isinstance(ident, bool) or not isinstance(ident, str | int | None):
        raise RpcError(INVALID_REQUEST, "id: allowed is a string, an integer or null")
    if isinstance(ident, str) and len(ident) > _LONGEST_ID:
        raise RpcError(INVALID_REQUEST, f"id: longer than {_LONGEST_ID} characters")
    return ident


def _check(request: object) -> tuple[str, object]:
    if not isinstance(request, dict) or request.get("jsonrpc") != "2.0":
        raise RpcError(INVALID_REQUEST, 'not an object with "jsonrpc": "2.0"')
    unknown = set(request) - {"jsonrpc", "id", "method", "params"}
    if unknown:
        raise RpcError(INVALID_REQUEST, f"unknown: {', '.join(sorted(unknown))[:200]}")
    name = request.get("method")
    if not isinstance(name, str):
        raise RpcError(INVALID_REQUEST, "method: allowed is a string")
    return name, request.get("params", {})
