"""Whether a block is the one that was named, and what its header should say."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from provnode import wire
from provnode.ledger.errors import BlockError, OtherBlockError


def expect(*fields: tuple[str, object, object]) -> None:
    """Raise BlockError for the first field, with its name, that was found to differ from what is allowed."""
    for name, found, allowed in fields:
        if found != allowed:
            raise BlockError(f"{name}: found {_show(found)}, allowed: {_show(allowed)}")


def check_named(block: bytes | wire.Block, block_id: bytes, root: Callable[[Sequence[bytes]], bytes]) -> None:
    """Raise OtherBlockError unless this is the block of that id, or no block at all has that id.

    `root` gives the Merkle root of transactions. The id is over the header, which names the rest by its
    hashes. A header that contradicts what comes with it was sent with another block's content, or by a
    proposer whose block nobody can have.
    """
    try:
        found = wire.decode_block(block) if isinstance(block, bytes) else block
    except wire.WireError as error:
        raise OtherBlockError(f"block: {error}") from error
    header = found.header
    try:
        expect(
            ("block_id", header.block_id, block_id),
            ("last_commit_hash", header.last_commit_hash, wire.certificate_hash(found.last_commit)),
            ("tx_count", header.tx_count, len(found.txs)),
            ("tx_root", header.tx_root, root(found.txs)),
        )
    except BlockError as error:
        raise OtherBlockError(str(error)) from error


def _show(value: object) -> str:
    return value.hex() if isinstance(value, bytes) else repr(value)
