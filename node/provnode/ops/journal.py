"""The consensus log's records: every event that the machine took, and the blocks that they speak of.

The machine is deterministic: the same events in the same order give the same lock, the same round and the
same effects. Replaying them after a crash therefore continues where the process stopped (arXiv 1807.04938,
section III: a validator must not forget its lock).
"""

from __future__ import annotations

from collections import deque
from pathlib import Path

import msgspec

from provnode import wire
from provnode.core.events import Event, ProposalReceived, Start, TimeoutFired, ValueReady, VoteReceived
from provnode.core.types import Step
from provnode.crypto.hashing import pack
from provnode.storage.errors import WalCorruptError
from provnode.storage.sealing import PLAIN, Sealing, journal_row
from provnode.storage.wal import ConsensusWal

_START, _VALUE, _PROPOSAL, _VOTE, _TIMEOUT, _BLOCK, _MARK = range(7)


class Journal:
    """The events of one height; blocks lie there as `sealing` has them.

    What no message of this node's own depends on yet waits in memory: after a crash peers send it again.
    `sync` and `reset` raise StoreError when the disk refuses; either may be called again after that.
    """

    def __init__(self, path: Path, height: int, sealing: Sealing = PLAIN) -> None:
        self._path = path
        self._sealing = sealing
        self._wal = ConsensusWal.open(path, height)
        if self._wal.height != height:
            self._wal.reset(height)  # that height was committed, or blocks came by sync meanwhile
        self._blocks: set[bytes] = set()
        self._waiting: deque[bytes] = deque()

    def replay(self) -> tuple[list[Event], dict[bytes, bytes]]:
        """What was logged: the events in order, and the blocks by id. Raises WalCorruptError."""
        events: list[Event] = []
        blocks: dict[bytes, bytes] = {}
        try:
            for record in self._wal.records:
                item = msgspec.msgpack.decode(record)
                if item[0] == _BLOCK:
                    blocks[item[1]] = self._sealing.open(journal_row(item[1]), item[2])
                elif item[0] != _MARK:
                    events.append(_read(item))
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise WalCorruptError(self._path, 0, f"an event can't be read: {error}") from error
        self._blocks = set(blocks)
        return events, blocks

    def block(self, block_id: bytes, raw: bytes) -> None:
        """Keep a block that later events speak of, once. It reaches the disk with the next `sync`."""
        if block_id not in self._blocks:
            self._waiting.append(pack([_BLOCK, block_id, self._sealing.seal(journal_row(block_id), raw)]))
            self._blocks.add(block_id)

    def event(self, event: Event) -> None:
        """Keep an event. It reaches the disk with the next `sync`."""
        self._waiting.append(pack(_write(event)))

    def sync(self) -> None:
        """What was kept is on the disk when this returns."""
        while self._waiting:
            self._wal.append(self._waiting[0], sync=False)
            self._waiting.popleft()
        self._wal.append(pack([_MARK]), sync=True)

    def reset(self, height: int) -> None:
        """The height is committed: begin the next one."""
        self._wal.reset(height)
        self._waiting.clear()
        self._blocks.clear()

    def close(self) -> None:
        """Let go of the file."""
        self._wal.close()


def _write(event: Event) -> list[object]:
    match event:
        case Start():
            return [_START]
        case ValueReady(height, round_, block_id):
            return [_VALUE, height, round_, block_id]
        case ProposalReceived(proposal, valid):
            return [_PROPOSAL, wire.encode_proposal(proposal), int(valid)]
        case VoteReceived(vote):
            return [_VOTE, wire.encode_vote(vote)]
        case TimeoutFired(step, height, round_):
            return [_TIMEOUT, int(step), height, round_]


def _read(item: list[object]) -> Event:
    match item:
        case [0]:
            return Start()
        case [1, int(height), int(round_), bytes(block_id)]:
            return ValueReady(height, round_, block_id)
        case [2, bytes(raw), int(valid)]:
            return ProposalReceived(wire.decode_proposal(raw), bool(valid))
        case [3, bytes(raw)]:
            return VoteReceived(wire.decode_vote(raw))
        case [4, int(step), int(height), int(round_)]:
            return TimeoutFired(Step(step), height, round_)
    raise ValueError(f"unknown record {str(item[:1])[:64]}")
