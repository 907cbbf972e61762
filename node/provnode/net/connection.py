"""One established connection to a peer: frames in, frames out, bounded in both directions.

A frame is its length in 4 bytes, big endian, and that many bytes. What is urgent (votes, proposals, status)
overtakes the rest (transactions, blocks for a peer that was away).
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from provnode.net.errors import StreamError
from provnode.net.events import log_event
from provnode.net.limits import Bucket
from provnode.net.stream import Stream
from provnode.wire import MAX_FRAME_BYTES

log = logging.getLogger(__name__)
_HEAD = 4
# small frames that wait together leave together
_COALESCE = 64 * 1024


@dataclass(frozen=True, slots=True)
class PeerLimits:
    """What one peer may use. Sizes in bytes, times in seconds."""

    frame: int = MAX_FRAME_BYTES
    queue: int = 48 * 1024 * 1024
    messages_per_second: float = 1_000.0
    bytes_per_second: float = 64.0 * 1024 * 1024
    # nothing received for so long: the peer is gone (status messages come every second)
    idle: float = 10.0
    # one frame must arrive within so long
    frame_seconds: float = 30.0
    hello_seconds: float = 5.0
    # how long a peer that broke the protocol is shut out
    ban_seconds: float = 30.0


async def read_frame(stream: Stream, limits: PeerLimits) -> bytes:
    """The next frame. Raises StreamError: `oversized`, `idle`, or what the stream raises."""
    try:
        async with asyncio.timeout(limits.idle):
            size = int.from_bytes(await stream.read_exactly(_HEAD), "big")
        if not 0 < size <= limits.frame:
            raise StreamError("oversized", f"a frame of {size} bytes, allowed: 1 to {limits.frame}")
        async with asyncio.timeout(limits.frame_seconds):
            return await stream.read_exactly(size)
    except TimeoutError as error:
        raise StreamError("idle", f"nothing for {limits.idle} s, or a frame that never ended") from error


def frame(body: bytes) -> bytes:
    """`body` with its length before it."""
    return len(body).to_bytes(_HEAD, "big") + body


class Connection:
    """A peer that has proven who it is and follows the same chain."""

    def __init__(self, stream: Stream, limits: PeerLimits, *, dialer: str) -> None:
        self.stream = stream
        self.name = stream.peer.name
        self.organisation = stream.peer.organisation
        self.expires = stream.peer.expires
        self.own_certificate = stream.own_certificate
        self.dialer = dialer
        self.since = time.monotonic()
        self._limits = limits
        self._urgent: deque[bytes] = deque()
        self._bulk: deque[bytes] = deque()
        self._queued = 0
        self._wake = asyncio.Event()

    def send(self, body: bytes, *, urgent: bool) -> bool:
        """Queue a message. False, and nothing queued, when too much waits already: what matters is resent."""
        if self._queued + len(body) > self._limits.queue:
            log_event(log, logging.DEBUG, "peer.queue_full", peer=self.name, waiting=self._queued)
            return False
        (self._urgent if urgent else self._bulk).append(body)
        self._queued += len(body)
        self._wake.set()
        return True

    async def run(self, on_message: Callable[[Connection, bytes], Awaitable[None]]) -> None:
        """Serve the connection until it ends. Raises NetError saying why it ended."""
        sender = asyncio.create_task(self._send_all(), name=f"send-{self.name}")
        receiver = asyncio.create_task(self._receive_all(on_message), name=f"receive-{self.name}")
        try:
            done, _ = await asyncio.wait({sender, receiver}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (sender, receiver):
                task.cancel()
            try:
                # theirs are given back: an error here is that this task is cancelled, which must not get lost
                await asyncio.gather(sender, receiver, return_exceptions=True)
            finally:
                await self.stream.close()

    def close(self) -> None:
        """End the connection; `run` then returns."""
        self.stream.abort()

    async def _send_all(self) -> None:
        while True:
            await self._wake.wait()
            parts: list[bytes] = []
            size = 0
            while size < _COALESCE and (self._urgent or self._bulk):
                body = (self._urgent or self._bulk).popleft()
                parts.append(frame(body))
                size += len(body)
            if not parts:
                self._wake.clear()
                continue
            await self.stream.write(b"".join(parts))
            self._queued -= size

    async def _receive_all(self, on_message: Callable[[Connection, bytes], Awaitable[None]]) -> None:
        limits = self._limits
        now = time.monotonic()
        messages = Bucket(limits.messages_per_second, 2 * limits.messages_per_second, now)
        octets = Bucket(limits.bytes_per_second, max(limits.bytes_per_second, 2 * limits.frame), now)
        slowed = False
        while True:
            body = await read_frame(self.stream, limits)
            now = time.monotonic()
            wait = max(messages.take(1, now), octets.take(len(body), now))
            if wait:
                # reading on more slowly lets TCP hold the peer back; what it has sent is not lost
                if not slowed:
                    log_event(log, logging.WARNING, "peer.slowed", peer=self.name)
                slowed = True
                await asyncio.sleep(wait)
            await on_message(self, body)
