"""The chain as somebody outside sees it who believes no node: by certificates, from a trusted point on.

The light client runs here, not on a host. It begins at the genesis and keeps its point from one look to the
next, so that it is led across every change of the validators that happens meanwhile.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from tests.host import steady
from tests.host.engine import Ask, Engine, Proven
from tests.host.network import Network
from tests.host.tls import Offer, Session
from tests.host.waiting import until

_AT_ONCE = 200


class Outside:
    """An observer with a client's certificate, and what has been proven to it so far."""

    def __init__(self, network: Network, engine: Engine, offer: Offer) -> None:
        self.network = network
        """May be replaced by one that has grown."""
        self._engine, self._offer = engine, offer
        self._last = engine.begin(network.state / "genesis.json")

    @property
    def last(self) -> Proven:
        """Return the newest block that was proven."""
        return self._last

    def look(self) -> Proven:
        """See that what must hold holds, whatever has happened since the last look; return the new point.

        The chain has gone on; every node has the very block whose certificate the validators of that height
        signed, by more than two thirds of their power; and no node says that anybody has misbehaved.
        """
        network, last = self.network, self._last
        claimed = until(
            lambda: steady.heights(network, network.nodes),
            lambda seen: min(seen.values()) > last.height,
            f"a block after {last.height} on every node",
            steady.RECOVERY,
        )
        height = min(claimed.values())

        def one(name: str) -> Proven:
            with self.asking(name) as ask:
                accused = self._engine.accused(ask)
                assert accused == [], f"{name} accuses {accused}, of whom nobody has lied"
                return self._engine.proven(ask, last, height)

        found = network.each(network.nodes, one)
        blocks = {name: proven.block for name, proven in found.items()}
        assert len(set(blocks.values())) == 1, f"fork: certified blocks at height {height}: {blocks}"
        self._last = next(iter(found.values()))
        return self._last

    def read_back(self, node: str, acknowledged: Sequence[Mapping[str, Any]]) -> None:
        """Read each acknowledged object from a node with its proof, and see that none is lost."""
        lost = []
        for start in range(0, len(acknowledged), _AT_ONCE):
            with self.asking(node) as ask:
                for one in acknowledged[start : start + _AT_ONCE]:
                    name, version = one["object_id"], one["version"]
                    height = self._engine.object_height(ask, self._last, name, version)
                    if height is None or height < one["height"]:
                        lost.append((name, version, height))
        assert lost == [], f"{len(lost)} of {len(acknowledged)} acknowledged objects are lost: {lost[:5]}"

    @contextlib.contextmanager
    def asking(self, node: str) -> Iterator[Ask]:
        """Hold a session with a node's service for clients."""
        with self.network.connection(node, "rpc") as connection:
            session = Session(connection, self._offer)
            session.handshake()
            yield self._engine.asking(session)
