"""How a node is, as clients are told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class PeerStatus:
    """A connected peer and the height it has told."""

    name: str
    organisation: str
    height: int


@dataclass(frozen=True, slots=True)
class Status:
    """The node at this moment. `problem` says why it stands still, if it does.

    `deciding` are the organisations of the other validators, whose nodes should be among the `peers`.
    `oldest_height` is that of the oldest block that is kept, 0 before the first.
    `rekey` tells, while the data key is being changed, how many rows were looked at, of how many;
    `evidence_committed` tells how much misbehaviour the chain records of each organisation.
    """

    name: str
    organisation: str
    network: str
    chain_id: str
    version: str
    genesis_hash: bytes
    validator: bool
    height: int
    oldest_height: int
    block_id: bytes
    block_time_ms: int
    state_root: bytes
    round: int
    step: str
    syncing: bool
    peers: tuple[PeerStatus, ...]
    deciding: tuple[str, ...]
    mempool_count: int
    mempool_bytes: int
    verify_queue: int
    store_bytes: int
    evidence_pending: int
    evidence_committed: Mapping[str, int]
    rekey: tuple[int, int] | None
    certificate_expires: datetime
    problem: str | None


def stranded(height: int, oldest: int | None) -> str | None:
    """The problem of a node whose peers keep no block below `oldest`; none without it."""
    if oldest is None:
        return None
    return (
        f"no peer keeps block {height + 1}, the oldest that one has is {oldest}: "
        'move chain.sqlite* out of the data folder and start with sync = "snapshot"'
    )
