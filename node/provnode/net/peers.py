"""The connections to the known peers: dialled again when lost, at most one each, bans kept.

Known are those of the configuration, and validators that joined by a change of the membership.

Both sides dial. When two connections meet, both ends keep the same one: of two that were made at the same
time, the one that the node of the lesser name dialled; otherwise the newer: who dials a peer that it
is connected to knows that the older one is dead, or renews it.

A connection is renewed when this node has another certificate than the one that it showed there, and when the
peer's will end soon: the new connection takes over before the old one is closed.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from provnode.net.connection import Connection, PeerLimits, frame, read_frame
from provnode.net.errors import NetError, StreamError, TlsError
from provnode.net.events import log_event
from provnode.net.identity import Identity
from provnode.net.tls import Limits, Peer, Server, Stream, open_tls, serve_tls

log = logging.getLogger(__name__)
_FIRST_DELAY = 0.2
_LONGEST_DELAY = 5.0
# connections made so close together were made without knowledge of each other, in seconds
_TOGETHER = 3.0
_HELLO_BYTES = 4096
# in seconds: how often certificates are looked at; how long before its end a peer's is asked for anew,
# and how often then
_LOOK_SECONDS = 1.0
_RENEW_BEFORE_SECONDS = 86_400.0
_RENEW_AGAIN_SECONDS = 3_600.0


class ProtocolError(NetError):
    """A peer sent what no correct node sends; it is shut out for a while."""


class Handshake(Protocol):
    """What the two sides tell each other first."""

    def hello(self) -> bytes:
        """This node's first message."""

    def check_hello(self, peer: str, body: bytes) -> None:
        """Accept the peer's first message, or raise NetError saying why it is of another chain."""

    async def on_message(self, peer: Connection, body: bytes) -> None:
        """A message arrived. Raises ProtocolError for what no correct node sends."""

    def on_connected(self, peer: Connection) -> None:
        """The peer is there; now is the time to tell it what it should know."""

    def on_lost(self, peer: Connection) -> None:
        """The peer is gone."""


@dataclass(frozen=True, slots=True)
class KnownPeer:
    """A known peer. Without `dial` it is waited for: the flow matrix may allow one way only."""

    name: str
    organisation: str
    address: str
    port: int
    dial: bool = True


class PeerSet:
    """All peers of one node."""

    def __init__(
        self,
        identity: Identity,
        known: Sequence[KnownPeer],
        handshake: Handshake,
        *,
        limits: PeerLimits | None = None,
        tls_limits: Limits | None = None,
    ) -> None:
        self._identity = identity
        self._me = identity.own.name
        self._known = {peer.name: peer for peer in known if peer.name != self._me}
        self._handshake = handshake
        self._limits = limits or PeerLimits()
        self._tls_limits = tls_limits or Limits()
        self._server: Server | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._dials: dict[str, asyncio.Task[None]] = {}
        self._banned: dict[str, float] = {}
        self._renewals: set[asyncio.Task[None]] = set()
        self._renewed: dict[str, float] = {}
        self.connected: dict[str, Connection] = {}

    @property
    def port(self) -> int:
        """The port that this node listens on."""
        if self._server is None:
            raise StreamError("closed", "the peer set is not started")
        return self._server.port

    async def start(self, address: str, port: int) -> None:
        """Listen and dial. Raises OSError when the address can't be had."""
        self._server = await serve_tls(address, port, self._identity, self._accept, self._tls_limits)
        self._identity.on_revoked(self._end_revoked)
        for peer in self._known.values():
            self._look_for(peer)
        self._tasks.append(asyncio.create_task(self._watch_certificates(), name="certificates"))

    async def close(self) -> None:
        """End every connection."""
        tasks = (*self._tasks, *self._dials.values(), *self._renewals)
        for task in tasks:
            task.cancel()
        for connection in self.connected.values():
            connection.close()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._server is not None:
            await self._server.close()

    def add(self, peer: KnownPeer) -> None:
        """Know a peer from now on, and dial it; one of the same name that is known otherwise is replaced."""
        if peer.name == self._me or self._known.get(peer.name) == peer:
            return
        self.remove(peer.name)
        self._known[peer.name] = peer
        if self._server is not None:
            self._look_for(peer)
        log_event(log, logging.INFO, "peer.added", peer=peer.name, organisation=peer.organisation)

    def remove(self, name: str) -> None:
        """Know a peer no more, and end its connection."""
        known, dialling = self._known.pop(name, None), self._dials.pop(name, None)
        if dialling is not None:
            dialling.cancel()
        connection = self.connected.get(name)
        if connection is not None:
            connection.close()
        if known is not None:
            log_event(log, logging.INFO, "peer.removed", peer=name)

    def _look_for(self, peer: KnownPeer) -> None:
        if peer.dial:
            task = asyncio.create_task(self._keep_dialling(peer), name=f"dial-{peer.name}")
            self._dials[peer.name] = task

    def broadcast(self, body: bytes, *, urgent: bool, but: str | None = None) -> None:
        """Queue a message to every connected peer, leaving out `but`."""
        for name, peer in self.connected.items():
            if name != but:
                peer.send(body, urgent=urgent)

    def ban(self, name: str, error: NetError) -> None:
        """Shut a peer out for a while."""
        self._banned[name] = time.monotonic() + self._limits.ban_seconds
        log_event(
            log,
            logging.WARNING,
            "peer.banned",
            peer=name,
            reason=error.reason,
            seconds=self._limits.ban_seconds,
            error=error,
        )
        connection = self.connected.get(name)
        if connection is not None:
            connection.close()

    def is_banned(self, name: str) -> bool:
        """Whether this peer is shut out now."""
        return self._banned.get(name, 0.0) > time.monotonic()

    async def _keep_dialling(self, peer: KnownPeer) -> None:
        delay, said = _FIRST_DELAY, ""
        while True:
            if peer.name not in self.connected and not self.is_banned(peer.name):
                try:
                    if await self._dial(peer):
                        delay, said = _FIRST_DELAY, ""
                except NetError as error:
                    if error.reason != said:  # a peer that is down is reported once, not every 5 s
                        log_event(log, logging.INFO, "peer.unreachable", peer=peer.name, error=error)
                    said = error.reason
                delay = min(2 * delay, _LONGEST_DELAY)
            else:
                delay, said = _FIRST_DELAY, ""
            # jitter, so that nodes that start together do not dial each other in step
            await asyncio.sleep(delay * random.uniform(0.5, 1.5))  # noqa: S311  # no secret depends on it

    async def _dial(self, peer: KnownPeer) -> bool:
        expected = Peer(peer.name, peer.organisation)
        stream = await open_tls(peer.address, peer.port, self._identity, expected, self._tls_limits)
        return await self._run(stream, dialer=self._me)

    async def _accept(self, stream: Stream) -> None:
        found = stream.peer
        known = self._known.get(found.name)
        if known is None or known.organisation != found.organisation:
            raise TlsError("unknown_peer", f"{found.name!r} of {found.organisation!r} is no configured peer")
        if self.is_banned(found.name):
            raise TlsError("banned", f"{found.name!r} is shut out for now")
        try:
            await self._run(stream, dialer=found.name)
        except NetError as error:
            log_event(log, logging.INFO, "peer.refused", peer=found.name, reason=error.reason, error=error)

    async def _run(self, stream: Stream, *, dialer: str) -> bool:
        """Serve a connection to its end; False when it never became the peer's one connection."""
        try:
            await self._greet(stream)
            connection = Connection(stream, self._limits, dialer=dialer)
            older = self.connected.get(connection.name)
            if older is not None and not self._replaces(connection, older):
                return False
            self.connected[connection.name] = connection
            if older is not None:
                older.close()
            await self._serve(connection)
        finally:
            await stream.close()
        return True

    async def _serve(self, connection: Connection) -> None:
        name = connection.name
        log_event(log, logging.INFO, "peer.connected", peer=name, dialer=connection.dialer)
        self._handshake.on_connected(connection)
        try:
            await connection.run(self._handshake.on_message)
        except ProtocolError as error:
            self.ban(name, error)
        except NetError as error:
            if error.reason == "oversized":
                self.ban(name, error)
            if self.connected.get(name) is connection:
                log_event(log, logging.INFO, "peer.lost", peer=name, reason=error.reason, error=error)
            else:
                log_event(log, logging.INFO, "peer.replaced", peer=name)
        finally:
            if self.connected.get(name) is connection:
                del self.connected[name]
                self._handshake.on_lost(connection)

    async def _greet(self, stream: Stream) -> None:
        seconds = self._limits.hello_seconds
        limits = PeerLimits(frame=_HELLO_BYTES, idle=seconds, frame_seconds=seconds)
        await stream.write(frame(self._handshake.hello()))
        try:
            # for all of it, however it comes in pieces
            async with asyncio.timeout(seconds):
                body = await read_frame(stream, limits)
        except TimeoutError as error:
            raise StreamError("idle", f"no hello within {seconds} s") from error
        self._handshake.check_hello(stream.peer.name, body)

    def _replaces(self, new: Connection, old: Connection) -> bool:
        together = new.since - old.since < _TOGETHER
        if together and new.dialer != old.dialer:
            return new.dialer < old.dialer
        return True

    def _end_revoked(self) -> None:
        for connection in list(self.connected.values()):
            if self._identity.is_revoked(connection.stream.peer):
                log_event(log, logging.WARNING, "peer.revoked", peer=connection.name)
                connection.close()

    async def _watch_certificates(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            # reads the files anew where they have changed, revocation lists included
            own, now = self._identity.certificate, time.monotonic()
            for connection in list(self.connected.values()):
                left = (connection.expires - datetime.now(UTC)).total_seconds()
                if left <= 0:
                    log_event(log, logging.WARNING, "peer.certificate_ended", peer=connection.name)
                    connection.close()
                elif connection.own_certificate != own or left < _RENEW_BEFORE_SECONDS:
                    self._renew(connection, own, now)

    def _renew(self, connection: Connection, own: bytes, now: float) -> None:
        """Dial a peer anew, if this node may; a peer that has no new certificate yet is asked again later."""
        name, peer = connection.name, self._known.get(connection.name)
        pause = _RENEW_AGAIN_SECONDS if connection.own_certificate == own else _LONGEST_DELAY
        if peer is None or not peer.dial or now - self._renewed.get(name, -pause) < pause:
            return
        self._renewed[name] = now

        async def renew() -> None:
            try:
                await self._dial(peer)
            except NetError as error:
                log_event(log, logging.WARNING, "peer.renewal_failed", peer=name, error=error)

        log_event(log, logging.INFO, "peer.renewing", peer=name, expires=connection.expires)
        # the task serves the new connection to its end
        task = asyncio.create_task(renew(), name=f"renew-{name}")
        self._renewals.add(task)
        task.add_done_callback(self._renewals.discard)
