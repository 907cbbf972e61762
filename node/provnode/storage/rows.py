"""What the store's tables hold, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct


class HeadRow(Struct, frozen=True, gc=False):
    """What holds for an object as a whole; `latest` is its newest version, `organisation` its owner."""

    object_id: str
    type: str
    organisation: str
    latest: int
    deleted: bool


class VersionRow(Struct, frozen=True, gc=False):
    """One version: the snapshot (canonical JSON of header and merged body) and the body as submitted.

    `writers` are the ids of the transactions that wrote this version's own submission, in order: the first,
    then every overwrite. `height` is that of the block with the last of them.
    """

    object_id: str
    version: int
    snapshot: bytes
    submitted: bytes
    writers: tuple[bytes, ...]
    height: int

    @property
    def txid(self) -> bytes:
        """The transaction that last wrote this version's own submission."""
        return self.writers[-1]


class UserRow(Struct, frozen=True, gc=False):
    """A signer that a transaction registered."""

    id: str
    organisation: str
    public_key: bytes
    height: int


class StateRow(Struct, frozen=True, gc=False):
    """A piece of state that is no object and no user: what kind it is, of whom, and its bytes."""

    kind: str
    id: str
    value: bytes


class HandoverRow(Struct, frozen=True, gc=False):
    """The last block of a validator set: its header, its certificate, and the set that comes after it."""

    height: int
    header: bytes
    certificate: bytes
    validators: bytes


class BlockRow(Struct, frozen=True, gc=False):
    """A committed block and the certificate that committed it, both as encoded bytes."""

    height: int
    block_id: bytes
    raw: bytes
    certificate: bytes


@dataclass(frozen=True, slots=True)
class BlockWrite:
    """All that one block changes."""

    block: BlockRow
    txids: Sequence[bytes]
    heads: Sequence[HeadRow]
    versions: Sequence[VersionRow]
    users: Sequence[UserRow]
    state: Sequence[StateRow]
    handover: HandoverRow | None
    nodes: Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows to write together."""

    heads: Sequence[HeadRow] = ()
    versions: Sequence[VersionRow] = ()
    users: Sequence[UserRow] = ()
    state: Sequence[StateRow] = ()
    handovers: Sequence[HandoverRow] = ()
    nodes: Mapping[bytes, bytes] = field(default_factory=dict)
