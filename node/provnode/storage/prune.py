"""Dropping the oldest blocks, a few at a time; each step is one durable transaction beside the commits.

Only rows of `blocks` go. Objects with all their versions, users, membership, evidence, handovers and the
index of transactions stay, so history can be read and proven, and a light client led on from the genesis. The
pages that were freed are what later rows are written to: the file stops growing, it does not shrink.
"""

from __future__ import annotations

from provnode.storage.store import Store

STEP_BLOCKS = 64
# what a commit may have to wait for: SQLite visits every page that it frees
_STEP_BYTES = 4 * 1024 * 1024


def prune(store: Store, keep_from: int) -> int:
    """Drop some of the blocks below `keep_from`, the oldest first, at least one and never the newest.

    Gives the height of the oldest that is left, 0 when there is none. Raises StoreError.
    """
    with store.writing("pruning") as db:
        rows = db.execute(
            "SELECT height, length(raw) FROM blocks"
            " WHERE height < ? AND height < (SELECT max(height) FROM blocks) ORDER BY height LIMIT ?",
            (keep_from, STEP_BLOCKS),
        ).fetchall()
        upto = size = 0
        for height, length in rows:
            if upto and size + length > _STEP_BYTES:
                break
            upto, size = height, size + length
        db.execute("DELETE FROM blocks WHERE height <= ?", (upto,))
        return store.lowest()
