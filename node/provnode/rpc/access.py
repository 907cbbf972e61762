"""Who calls, what they may do, and how often.

Every organisation of the genesis may read all and submit: what a transaction may do is decided by its
signature, not by who carried it. What changes the node itself is for who is on its host.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Mapping
from enum import Enum

from provnode.ledger.genesis import Organisation
from provnode.net.limits import Bucket
from provnode.rpc.errors import FORBIDDEN, RpcError

_KEPT_CALLERS = 1024


class Right(Enum):
    """What a method needs."""

    READ = "read"
    SUBMIT = "submit"
    OPERATE = "operate"


class Caller:
    """One peer of the RPC, however many connections it has; without a bucket it is not slowed down."""

    def __init__(self, name: str, rights: frozenset[Right], bucket: Bucket | None = None) -> None:
        self.name = name
        self._rights = rights
        self._bucket = bucket

    def require(self, right: Right) -> None:
        """Raise RpcError unless this caller has the right."""
        if right not in self._rights:
            raise RpcError(FORBIDDEN, f"{self.name} has no right to {right.value}")

    async def turn(self, count: int = 1) -> None:
        """Wait until this caller may have so many requests more."""
        if self._bucket is not None and (delay := self._bucket.take(count, time.monotonic())):
            await asyncio.sleep(delay)


_MEMBER = frozenset({Right.READ, Right.SUBMIT})
LOCAL = Caller("local", frozenset(Right))
"""Whoever can open the unix socket: the file's mode says who."""


class Callers:
    """The callers by certificate, each with a bucket of its own that outlives its connections."""

    def __init__(self, organisations: Mapping[str, Organisation], rate: float, burst: float) -> None:
        self._organisations = organisations
        self._rate = rate
        self._burst = burst
        self._known: OrderedDict[tuple[str, str], Caller] = OrderedDict()

    def get(self, name: str, organisation: str) -> Caller:
        """The caller whose certificate names it so."""
        key = (name, organisation)
        caller = self._known.pop(key, None)
        if caller is None:
            listed = organisation in self._organisations
            bucket = Bucket(self._rate, self._burst, time.monotonic())
            caller = Caller(f"{name}@{organisation}", _MEMBER if listed else frozenset(), bucket)
        self._known[key] = caller
        while len(self._known) > _KEPT_CALLERS:
            self._known.popitem(last=False)
        return caller
