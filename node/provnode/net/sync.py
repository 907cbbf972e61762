"""Block sync: which blocks to ask whom for, while peers are ahead. Pure; the caller brings the clock.

What comes back goes to the ledger, which checks each block's certificate (precommits of more than two thirds
of the power) and executes it before it is committed: a peer can waste time here, but not forge a block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from provnode.core.types import ValidatorSet

# one request is answered with about so many blocks, or bytes if they are large
BATCH_BLOCKS = 64
BATCH_BYTES = 4 * 1024 * 1024
# one block behind is normal while votes are under way; two are not
_BEHIND = 2
_PATIENCE = 0.5
# an answer may take so long, and so much longer a block
_ANSWER_SECONDS = 2.0
_BLOCK_SECONDS = 0.125
_AVOIDED_SECONDS = 10.0
# so many blocks may wait for the ledger before more are asked for
_AHEAD = 2 * BATCH_BLOCKS


@dataclass(frozen=True, slots=True)
class Request:
    """Ask `peer` for `count` blocks from `height` on."""

    peer: str
    height: int
    count: int


class BlockSync:
    """One request at a time, to the peer that answers; a peer that doesn't is left alone for a while.

    `heights` and `oldest` are what the connected peers have told of their newest and oldest block,
    `validators` gives those of the next height.
    """

    def __init__(self, validators: Callable[[], ValidatorSet]) -> None:
        self._validators = validators
        self.heights: dict[str, int] = {}
        self.oldest: dict[str, int] = {}
        self._height = 0
        self._since = self._progress = 0.0
        self._asked: Request | None = None
        self._deadline = 0.0
        self._taken = 0
        self._avoided: dict[str, float] = {}

    @property
    def best(self) -> int:
        """The greatest height that a connected peer has."""
        return max(self.heights.values(), default=0)

    def behind(self, height: int) -> bool:
        """Whether a node at `height` should fetch blocks rather than vote.

        Believed only of so many validators that an honest one is among them: a liar must not stop the vote.
        """
        validators = self._validators()
        ahead = (validators.get(name) for name, h in self.heights.items() if h >= height + _BEHIND)
        return sum(validator.power for validator in ahead if validator) >= validators.minority

    def stranded(self, height: int, now: float) -> int | None:
        """Whether a node that stands at `height` can't go on by blocks: no peer that is ahead keeps the next.

        Gives the height of the oldest block that any of them keeps, None while there is hope.
        """
        ahead = [name for name, reached in self.heights.items() if reached >= height + _BEHIND]
        oldest = min((self.oldest[name] for name in ahead), default=0)
        if oldest <= height + 1 or height != self._height or now < self._progress + _AVOIDED_SECONDS:
            return None
        return oldest

    def note(self, peer: str, height: int, oldest: int = 1) -> None:
        """A peer has told which blocks it has."""
        self.heights[peer], self.oldest[peer] = height, oldest

    def forget(self, peer: str) -> None:
        """A peer is gone, and with it what it was asked for."""
        self.heights.pop(peer, None)
        self.oldest.pop(peer, None)
        if self._asked is not None and self._asked.peer == peer:
            self._asked = None

    def answered(self, peer: str, height: int, blocks: int, now: float) -> bool:
        """Blocks came; False when they were not asked for. They start at `height`."""
        asked = self._asked
        if asked is None or asked.peer != peer or (blocks and height != asked.height) or blocks > asked.count:
            return False
        self._asked = None
        if blocks:
            self._taken = height + blocks - 1
        else:
            self._avoided[peer] = now + _AVOIDED_SECONDS
        return True

    def failed(self, peer: str, now: float) -> None:
        """What this peer sent could not be used: ask others, from the ledger's height on."""
        self._avoided[peer] = now + _AVOIDED_SECONDS
        self._taken = 0

    def next(self, height: int, now: float) -> Request | None:
        """What to ask for now, if anything; `height` is the ledger's."""
        if height != self._height or self.best <= height:
            self._height = height
            self._since = self._progress = now
        if self._asked is not None:
            if now < self._deadline:
                return None
            # silent for once: others first, but it may be the only one
            self._avoided[self._asked.peer] = now + _ANSWER_SECONDS
            self._asked = None
        lag = self.best - height
        if lag <= 0 or (lag < _BEHIND and now < self._since + _PATIENCE):
            return None
        if now >= self._since + _AVOIDED_SECONDS:
            self._taken, self._since = 0, now  # what was taken did not help: begin again
        start = max(height, self._taken) + 1
        if start > height + _AHEAD:
            return None
        able = sorted(
            (reached, name)
            for name, reached in self.heights.items()
            if self.oldest[name] <= start <= reached and self._avoided.get(name, 0.0) <= now
        )
        if not able:
            return None
        reached, name = able[len(able) // 2]  # the middle one: who boasts of most is not asked first
        self._asked = Request(name, start, min(BATCH_BLOCKS, reached - start + 1))
        self._deadline = now + _ANSWER_SECONDS + _BLOCK_SECONDS * self._asked.count
        return self._asked
