"""A state snapshot as it is stored and sent: a manifest, and chunks of records.

chunk      pack([record, …]); a chunk is full once its records have CHUNK_BYTES together, so that every node
           cuts the same state the same way. Records: the block itself, then every object version by id and
           number, every user by id, all other state by kind and id
content    pack([format, genesis_hash, height, block_id, state_root, [SM3 of each chunk], versions, users,
           state])
snapshot id  digest("provnode.snapshot", content): equal on every node that has the same state
manifest   pack([content, header, certificate, [[header, certificate, validators], …], signer, signature]);
           header, certificate and validators as `wire.blocks` has them
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct

from provnode.crypto.hashing import digest, pack
from provnode.wire.codec import decode, encode
from provnode.wire.limits import (
    MAX_BLOCK_BYTES,
    MIB,
    BlockBytes,
    Hash,
    Height,
    KnownHeight,
    Name,
    PublicKey,
    Signature,
)

CHUNK_BYTES = MIB
# the last record of a chunk may be a whole block; a chunk fits a frame
MAX_CHUNK_BYTES = MAX_BLOCK_BYTES + MIB - 4096
MAX_MANIFEST_BYTES = 16 * MIB
MAX_CHUNKS = 1 << 18
_Text = Annotated[str, Meta(min_length=1, max_length=256)]
_Blob = Annotated[bytes, Meta(max_length=MAX_BLOCK_BYTES)]
_Count = Annotated[int, Meta(ge=0, le=2**53 - 1)]


class SnapshotContent(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What the same state has on every node; `versions`, `users` and `state` count the records."""

    format: Literal[1]
    genesis_hash: Hash
    height: Height
    block_id: Hash
    state_root: Hash
    chunks: Annotated[tuple[Hash, ...], Meta(min_length=1, max_length=MAX_CHUNKS)]
    versions: _Count
    users: _Count
    state: _Count

    @property
    def id(self) -> bytes:
        """The id by which chunks are asked for."""
        return digest(b"provnode.snapshot", pack(self))


class WireHandover(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """The last header of a validator set, what committed it, and the next set, as encoded."""

    header: _Blob
    certificate: _Blob
    validators: _Blob


class Manifest(Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """A content and what proves it, with the signature of the validator that made it.

    Handovers and certificate are this node's own: other nodes may have gathered other signatures.
    """

    content: SnapshotContent
    header: _Blob
    certificate: _Blob
    handovers: tuple[WireHandover, ...]
    signer: Name
    signature: Signature


class BlockRecord(Struct, frozen=True, array_like=True, tag=0, forbid_unknown_fields=True):
    """The block of the snapshot's height, as encoded."""

    raw: BlockBytes


class VersionRecord(Struct, frozen=True, array_like=True, tag=1, forbid_unknown_fields=True):
    """An object version; `deletes` where it deletes the object."""

    object_id: _Text
    version: _Count
    organisation: Name
    deletes: bool
    snapshot: _Blob
    submitted: _Blob
    writers: Annotated[tuple[Hash, ...], Meta(min_length=1, max_length=1024)]
    height: Height


class UserRecord(Struct, frozen=True, array_like=True, tag=2, forbid_unknown_fields=True):
    """A registered signer."""

    id: _Text
    organisation: Name
    public_key: PublicKey
    height: KnownHeight


class StateRecord(Struct, frozen=True, array_like=True, tag=3, forbid_unknown_fields=True):
    """Another piece of state."""

    kind: _Text
    id: Annotated[str, Meta(max_length=256)]
    value: _Blob


Record = BlockRecord | VersionRecord | UserRecord | StateRecord
_chunk = msgspec.msgpack.Decoder(Annotated[tuple[Record, ...], Meta(min_length=1)])
_manifest = msgspec.msgpack.Decoder(Manifest)


def snapshot_sign_bytes(content: SnapshotContent) -> bytes:
    """What the validator that made a snapshot signs."""
    return pack(["provnode.snapshot", content.genesis_hash, content.id])


def encode_manifest(manifest: Manifest) -> bytes:
    """A manifest as bytes. Raises WireError when it is longer than peers take."""
    return encode(manifest, MAX_MANIFEST_BYTES, "manifest")


def decode_manifest(raw: bytes) -> Manifest:
    """A manifest whose form is right; nothing in it is verified. Raises WireError."""
    return decode(_manifest, raw, MAX_MANIFEST_BYTES, "manifest")


def encode_chunk(records: list[Record]) -> bytes:
    """A chunk as bytes. Raises WireError when it is longer than peers take."""
    return encode(records, MAX_CHUNK_BYTES, "chunk")


def decode_chunk(raw: bytes) -> tuple[Record, ...]:
    """The records of a chunk. Raises WireError."""
    return decode(_chunk, raw, MAX_CHUNK_BYTES, "chunk")
