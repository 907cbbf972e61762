"""A TLS connection as a byte stream under asyncio: pyOpenSSL does the records, asyncio the sockets."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from OpenSSL import SSL, crypto

from provnode.net.errors import StreamError, TlsError
from provnode.net.identity import Identity, PeerIdentity, describe

_CHUNK = 64 * 1024
# after so much encryption or decryption in one go, other tasks get a turn (about 3 ms)
_TURN = 256 * 1024
# on closing, the other side has so long to take what is on its way
_LINGER_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on what others can make this node spend. Times in seconds, sizes in bytes."""

    handshake_seconds: float = 5.0
    connections: int = 256
    connections_per_address: int = 64
    handshakes: int = 32
    handshakes_per_address: int = 8
    # a peer that takes nothing for so long is cut off; so is one with so much waiting for it
    write_seconds: float = 10.0
    write_backlog: int = 1024 * 1024


class Stream:
    """One connection after its handshake. `peer` is who the other side has proven to be.

    Reads and writes may run side by side; two writes at a time are queued, so that each arrives in one piece.
    Raises StreamError: `tls` (broken record or alert), `cut_off`, `slow`, `closed`.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        connection: SSL.Connection,
        limits: Limits,
    ) -> None:
        self._reader = reader
        self._writer = writer
        self._tls = connection
        self._limits = limits
        self._lock = asyncio.Lock()
        self._closed = False
        self._turn = 0
        self._identity: PeerIdentity | None = None
        self.address = str((writer.get_extra_info("peername") or ("?",))[0])
        writer.transport.set_write_buffer_limits(high=limits.write_backlog)

    @property
    def peer(self) -> PeerIdentity:
        """The certificate's identity, verified."""
        if self._identity is None:
            raise StreamError("handshake", "no handshake has been made")
        return self._identity

    @property
    def own_certificate(self) -> bytes:
        """The certificate that this side showed, DER."""
        shown = self._tls.get_certificate()
        if shown is None:
            raise StreamError("handshake", "this side has no certificate")
        return crypto.dump_certificate(crypto.FILETYPE_ASN1, shown)

    async def handshake(self, identity: Identity, *, server: bool) -> None:
        """Run the handshake and assert its outcome. Raises TlsError."""
        if server:
            self._tls.set_accept_state()
        else:
            self._tls.set_connect_state()
        try:
            async with asyncio.timeout(self._limits.handshake_seconds):
                await self._shake()
            self._identity = identity.check_peer(self._tls, server=server)
        except TimeoutError as error:
            limit = self._limits.handshake_seconds
            raise TlsError("slow", f"no handshake within {limit} s") from error
        except SSL.Error as error:
            # the alert that says why is still in the buffer
            self._flush()
            raise TlsError("handshake", describe(error)) from error
        except OSError as error:
            raise TlsError("cut_off", f"the connection broke in the handshake: {error}") from error

    async def _shake(self) -> None:
        while True:
            try:
                self._tls.do_handshake()
            except SSL.WantReadError:
                self._flush()
                if not await self._fill():
                    raise TlsError("cut_off", "the connection ended in the handshake") from None
            else:
                self._flush()
                return

    async def read(self, most: int = _CHUNK) -> bytes:
        """Up to `most` bytes, as soon as there are any; b"" when the other side has closed."""
        while True:
            try:
                data: bytes = self._tls.recv(most)
            except SSL.WantReadError:
                self._flush()
                try:
                    if not await self._fill():
                        return b""
                except OSError as error:
                    raise StreamError("cut_off", str(error)) from error
            except SSL.ZeroReturnError:
                return b""
            except SSL.Error as error:
                self._flush()
                raise StreamError("tls", describe(error)) from error
            else:
                await self._take_turns(len(data))
                return data

    async def read_exactly(self, size: int) -> bytes:
        """Exactly `size` bytes. Raises StreamError `cut_off` when the other side closes before that."""
        parts: list[bytes] = []
        missing = size
        while missing:
            part = await self.read(min(missing, _TURN))
            if not part:
                raise StreamError("cut_off", f"closed with {missing} of {size} bytes missing")
            parts.append(part)
            missing -= len(part)
        return b"".join(parts)

    async def write(self, data: bytes) -> None:
        """Send all of `data`; returns when little enough of it still waits in this process."""
        async with self._lock:
            view = memoryview(data)
            while view:
                if self._closed:
                    raise StreamError("closed", "the connection is closed")
                try:
                    sent = self._tls.send(view[:_CHUNK])
                except SSL.Error as error:
                    raise StreamError("tls", describe(error)) from error
                view = view[sent:]
                self._flush()
                await self._drain()
                await self._take_turns(sent)

    async def close(self) -> None:
        """Say goodbye and close; what is written already is still sent, if the other side takes it soon."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(SSL.Error):
            self._tls.shutdown()
        self._flush()
        self._writer.close()
        try:
            async with asyncio.timeout(_LINGER_SECONDS):
                await self._writer.wait_closed()
        except TimeoutError:
            # the other side does not take the rest
            self._writer.transport.abort()
        except OSError:
            pass  # it has closed already

    def abort(self) -> None:
        """Close at once."""
        self._closed = True
        if not self._writer.transport.is_closing():
            self._writer.transport.abort()

    async def _drain(self) -> None:
        transport = self._writer.transport
        if transport.get_write_buffer_size() <= self._limits.write_backlog and not transport.is_closing():
            return  # a time limit costs more than most writes
        try:
            async with asyncio.timeout(self._limits.write_seconds):
                await self._writer.drain()
        except TimeoutError as error:
            self.abort()
            raise StreamError("slow", f"took nothing for {self._limits.write_seconds} s") from error
        except OSError as error:
            raise StreamError("cut_off", str(error)) from error

    async def _take_turns(self, size: int) -> None:
        self._turn += size
        if self._turn >= _TURN:
            self._turn = 0
            await asyncio.sleep(0)

    async def _fill(self) -> bool:
        data = await self._reader.read(_CHUNK)
        if data:
            self._tls.bio_write(data)
        return bool(data)

    def _flush(self) -> None:
        while True:
            try:
                data = self._tls.bio_read(_CHUNK)
            except SSL.Error:
                return  # WantReadError: nothing more to send
            if not self._writer.transport.is_closing():
                self._writer.write(data)
