"""Block sync: which blocks to ask whom for, while peers are ahead. Pure; the caller brings the clock.

Consecutive ranges are asked of several peers at once, within a window above the ledger's height. Answers wait
until those before them have come, and are handed on in order. The ledger checks each block's certificate
(precommits of more than two thirds of the power that decides its height) and executes it before it is
committed: a peer can waste time here, but not forge a block.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from math import inf

from provnode.core.types import Certificate, ValidatorSet

# one request is answered with about so many blocks, or bytes if they are large
BATCH_BLOCKS = 64
BATCH_BYTES = 4 * 1024 * 1024
# what may be asked for, wait here and be with the ledger; in bytes, each request counts as a full batch
WINDOW_BLOCKS = 8 * BATCH_BLOCKS
WINDOW_BYTES = 8 * BATCH_BYTES
# requests to one peer, so that it need not wait for us, and answers that the ledger has at a time
PER_PEER = 2
_HANDED = 2
# one block behind is normal while votes are under way; two are not
_BEHIND = 2
_PATIENCE = 0.5
# an answer may take so long, and so much longer a block, once the answers before it have come
_ANSWER_SECONDS = 2.0
_BLOCK_SECONDS = 0.125
# the first block that is missing holds up all others: if they answer, it is asked of another peer by then
_SLOW_SECONDS = 1.0
_AVOIDED_SECONDS = 10.0
_MOST_MISSES = 4

Block = tuple[bytes, Certificate]


@dataclass(frozen=True, slots=True)
class Request:
    """Ask `peer` for `count` blocks from `height` on."""

    peer: str
    height: int
    count: int

    @property
    def last(self) -> int:
        """The height of the last block."""
        return self.height + self.count - 1


@dataclass(frozen=True)
class Answer:
    """Consecutive blocks (at least one) as `peer` sent them, with their certificates; nothing is checked."""

    peer: str
    blocks: tuple[Block, ...]

    @property
    def first(self) -> int:
        """The height of the first."""
        return self.blocks[0][1].height

    @property
    def last(self) -> int:
        """The height of the last."""
        return self.blocks[-1][1].height

    @cached_property
    def size(self) -> int:
        """The bytes of the blocks."""
        return sum(len(raw) for raw, _ in self.blocks)


class BlockSync:
    """What is asked, has come and is with the ledger; a peer that doesn't help is left alone for a while.

    `heights` and `oldest` are what the connected peers have told of their newest and oldest block,
    `validators` gives those of the next height.
    """

    def __init__(self, validators: Callable[[], ValidatorSet]) -> None:
        self._validators = validators
        self.heights: dict[str, int] = {}
        self.oldest: dict[str, int] = {}
        self._height = self._stood = 0
        self._since = self._progress = 0.0
        # in the order in which they were asked; those that took too long count if they come all the same
        self._asked: dict[Request, float] = {}
        self._late: dict[Request, None] = {}
        self._came: list[Answer] = []
        self._handed: list[Answer] = []
        self._heard: dict[str, float] = {}
        self._pace: dict[str, float] = {}
        self._misses: Counter[str] = Counter()
        self._avoided: dict[str, float] = {}

    @property
    def best(self) -> int:
        """The greatest height that a connected peer has."""
        return max(self.heights.values(), default=0)

    @property
    def asked(self) -> tuple[Request, ...]:
        """What peers are waited for."""
        return tuple(self._asked)

    @property
    def held(self) -> int:
        """The bytes of the answers that wait here or are with the ledger."""
        return sum(answer.size for answer in self._held)

    @property
    def _held(self) -> tuple[Answer, ...]:
        return (*self._came, *self._handed)

    def behind(self, height: int) -> bool:
        """Whether a node at `height` should fetch blocks rather than vote.

        Believed only of so many validators that an honest one is among them: a liar must not stop the vote.
        """
        validators = self._validators()
        ahead = (validators.get(name) for name, h in self.heights.items() if h >= height + _BEHIND)
        return sum(validator.power for validator in ahead if validator) >= validators.minority

    def stranded(self, height: int, now: float) -> int | None:
        """Whether a node that stands at `height` can't go on by blocks: no peer that is ahead keeps the next.

        Gives the height of the oldest block that any of them keeps, None while there is hope. As with
        `behind`, a liar is not believed where validators are connected.
        """
        if any(map(self._validators().get, self.heights)) and not self.behind(height):
            return None
        ahead = [name for name, reached in self.heights.items() if reached >= height + _BEHIND]
        oldest = min((self.oldest[name] for name in ahead), default=0)
        if oldest <= height + 1 or height != self._stood or now < self._progress + _AVOIDED_SECONDS:
            return None
        return oldest

    # --- peers

    def note(self, peer: str, height: int, oldest: int = 1) -> None:
        """A peer has told which blocks it has."""
        self.heights[peer], self.oldest[peer] = height, oldest

    def forget(self, peer: str) -> None:
        """A peer is gone, and what it was asked for is asked of others. What it is known for stays."""
        self.heights.pop(peer, None)
        self.oldest.pop(peer, None)
        for request in self._of(peer):
            del self._asked[request]
        self._late = {request: None for request in self._late if request.peer != peer}

    def failed(self, peer: str, now: float) -> None:
        """What this peer sent could not be used: ask others, from the ledger's height on."""
        self._distrust(peer, now)
        # what was handed on after it does not follow any more
        self._handed.clear()

    def _distrust(self, peer: str, now: float) -> None:
        self._avoided[peer] = now + _AVOIDED_SECONDS
        self._came = [answer for answer in self._came if answer.peer != peer]

    def _of(self, peer: str) -> list[Request]:
        return [request for request in self._asked if request.peer == peer]

    # --- answers

    def answered(self, peer: str, blocks: tuple[Block, ...], now: float) -> bool:
        """Blocks came; False when they were not asked for, or are not what was."""
        asked = self._of(peer)
        if not blocks:
            for request in asked[:1]:  # a connection gives the answers in the order of the requests
                del self._asked[request]
                self._avoided[peer] = now + _AVOIDED_SECONDS
            return bool(asked)
        heights = [certificate.height for _, certificate in blocks]
        found = next(
            (one for one in (*asked, *self._late) if (one.peer, one.height) == (peer, heights[0])), None
        )
        if found is None:
            return False
        since = self._asked.pop(found, None)
        self._late.pop(found, None)
        if heights != list(range(found.height, found.height + len(heights))) or len(heights) > found.count:
            self._distrust(peer, now)
            return False
        if since is not None:
            self._pace[peer] = (self._pace.get(peer, now - since) + now - since) / 2
        self._heard[peer] = now
        self._misses.pop(peer, None)
        answer = Answer(peer, blocks)
        known = any(one.first <= answer.first and answer.last <= one.last for one in self._held)
        # what is next is taken whatever its size; all else must fit, or is asked for again
        if not known and (answer.first <= self._next or self.held + answer.size <= WINDOW_BYTES):
            self._came.append(answer)
        return True

    @property
    def _next(self) -> int:
        return max(self._height, *(answer.last for answer in self._handed), 0) + 1

    def ready(self, height: int) -> Answer | None:
        """What the ledger, which is at `height`, is to be given now: each block once, in order."""
        self._settle(height)
        wanted = self._next
        found = next((one for one in self._came if one.first <= wanted <= one.last), None)
        if found is None or len(self._handed) >= _HANDED:
            return None
        self._came.remove(found)
        found = Answer(found.peer, found.blocks[wanted - found.first :])
        self._handed.append(found)
        return found

    def _settle(self, height: int) -> None:
        """Forget what is below the ledger's height."""
        self._height = height
        self._handed = [answer for answer in self._handed if answer.last > height]
        self._came = [answer for answer in self._came if answer.last > height]
        self._asked = {one: since for one, since in self._asked.items() if one.last > height}
        self._late = {one: None for one in self._late if one.last > height}

    # --- requests

    def requests(self, height: int, now: float) -> list[Request]:
        """What to ask for now; `height` is the ledger's."""
        if height != self._stood or self.best <= height:
            self._stood = height
            self._since = self._progress = now
        self._settle(height)
        self._give_up(now)
        lag = self.best - height
        if lag <= 0 or (lag < _BEHIND and now < self._since + _PATIENCE):
            return []
        if now >= self._since + _AVOIDED_SECONDS:
            self._handed.clear()  # what was handed on did not help: begin again
            self._since = now
        found: list[Request] = []
        for start, upto in self._gaps():
            at = start
            while at <= upto:
                request = self._choose(at, upto, now)
                if request is None:
                    return found
                self._asked[request] = now
                found.append(request)
                at += request.count
        return found

    def _give_up(self, now: float) -> None:
        """Wait no longer for who is silent, nor for who holds up the others."""
        for request, since in list(self._asked.items()):
            start = max(since, self._heard.get(request.peer, 0.0))
            if now >= start + _ANSWER_SECONDS + _BLOCK_SECONDS * request.count:
                self._misses[request.peer] += 1
                # others first, but it may be the only one
                self._leave(request, now, 2.0 ** min(self._misses[request.peer], _MOST_MISSES))
            elif request.height <= self._next and now >= since + self._slow(request.peer, since):
                self._leave(request, now, _ANSWER_SECONDS)

    def _slow(self, peer: str, since: float) -> float:
        """How long this peer may hold up the others that have answered since: thrice as long as they take."""
        others = [
            self._pace.get(name, 0.0) for name, heard in self._heard.items() if name != peer and heard > since
        ]
        return max(_SLOW_SECONDS, 3 * min(others, default=inf))

    def _leave(self, request: Request, now: float, seconds: float) -> None:
        del self._asked[request]
        self._late[request] = None
        self._avoided[request.peer] = now + seconds

    def _gaps(self) -> Iterator[tuple[int, int]]:
        """The ranges of the window (first, last) that nobody was asked for and that have not come."""
        taken = sorted(
            [(one.first, one.last) for one in self._held] + [(one.height, one.last) for one in self._asked]
        )
        upto = min(self._height + WINDOW_BLOCKS, self.best)
        start = self._height + 1
        for first, last in taken:
            if start < first:
                yield start, min(first - 1, upto)
            start = max(start, last + 1)
        if start <= upto:
            yield start, upto

    def _choose(self, start: int, upto: int, now: float) -> Request | None:
        """Whom to ask for the blocks from `start` on, up to `upto`: the least busy, then the quickest."""
        if start > self._next and self.held + (len(self._asked) + 1) * BATCH_BYTES > WINDOW_BYTES:
            return None
        busy = Counter(request.peer for request in self._asked)
        able = [
            (busy[name], self._pace.get(name, 0.0), reached, name)
            for name, reached in self.heights.items()
            if self.oldest[name] <= start <= reached
            and self._avoided.get(name, 0.0) <= now
            and busy[name] < PER_PEER
        ]
        if not able:
            return None
        _, _, reached, name = min(able)
        return Request(name, start, min(BATCH_BLOCKS, reached - start + 1, upto - start + 1))
