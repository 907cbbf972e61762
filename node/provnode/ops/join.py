"""How a node without a store joins by a state snapshot of its peers, before it takes part in anything.

Manifests are asked of every peer. Each is verified from the genesis on; of those that hold, the one that two
organisations offer is preferred, then the highest. Its chunks are fetched from all who offer it, side by
side, and kept as they come, so that a restart goes on where it was. Whoever sends something false is not
asked again.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from provnode import __version__, wire
from provnode.crypto.hashing import sm3
from provnode.ledger.snapshot import SnapshotError, check_manifest, rebuild
from provnode.net.connection import Connection
from provnode.net.events import log_event
from provnode.net.gossip import check_hello, decode_message
from provnode.net.peers import PeerSet, ProtocolError
from provnode.ops.node import Setup
from provnode.storage.errors import StoreError
from provnode.storage.files import os_error, replace_file
from provnode.storage.floor import FLOOR, SigningFloor
from provnode.storage.sealing import Sealing, open_sealing
from provnode.wire.snapshots import Manifest, decode_manifest

log = logging.getLogger(__name__)
_TICK = 0.02
_STATUS_SECONDS = 1.0
# how often a peer is asked again, and how long other offers are waited for after the first
_ASK_SECONDS = 2.0
_GATHER_SECONDS = 3.0
_CHUNK_SECONDS = 20.0
_AT_ONCE = 4


@dataclass(slots=True)
class _Offer:
    """A snapshot and the peers (with their organisations) that have it."""

    manifest: Manifest
    peers: dict[str, str] = field(default_factory=dict)

    @property
    def rank(self) -> tuple[bool, int]:
        return len(set(self.peers.values())) > 1, self.manifest.content.height


class Join:
    """One attempt; `run` gives the height, or None when none was offered within `patience` seconds."""

    def __init__(self, setup: Setup, patience: float) -> None:
        self._setup = setup
        self._patience = patience
        self._folder = setup.data_dir / "joining"
        setup.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sealing: Sealing = open_sealing(setup.data_dir, setup.kek)
        self._peers = PeerSet(setup.identity, setup.peers, self)
        self._asked: dict[str, float] = {}
        self._refused: set[str] = set()
        self._offers: dict[bytes, _Offer] = {}
        self._fetch: _Fetch | None = None

    async def run(self) -> int | None:
        """Join. Raises OSError when the address can't be had, StoreError when the disk refuses."""
        await self._peers.start(self._setup.address, self._setup.p2p_port)
        asking = asyncio.create_task(self._keep_asking(), name="ask")
        try:
            while True:
                offer = await self._choose()
                if offer is None:
                    log_event(log, logging.WARNING, "join.no_snapshot", seconds=self._patience)
                    return None
                if await self._take(offer):
                    return offer.manifest.content.height
        finally:
            asking.cancel()
            await asyncio.gather(asking, return_exceptions=True)
            await self._peers.close()

    async def _choose(self) -> _Offer | None:
        start = time.monotonic()
        first: float | None = None
        while True:
            await asyncio.sleep(_TICK)
            now = time.monotonic()
            best = max(self._offers.values(), key=lambda offer: offer.rank, default=None)
            if best is None:
                first = None
                if now > start + self._patience:
                    return None
                continue
            first = first or now
            if best.rank[0] or now > first + _GATHER_SECONDS:
                return best

    async def _take(self, offer: _Offer) -> bool:
        content = offer.manifest.content
        log_event(
            log,
            logging.INFO,
            "join.begun",
            height=content.height,
            chunks=len(content.chunks),
            peers=sorted(offer.peers),
        )
        try:
            self._fetch = _Fetch(
                offer, self._folder / content.id.hex(), self._peers, self._sealing, self._refuse
            )
            if not await self._fetch.run():
                self._offers.pop(content.id, None)
                return False
            setup = self._setup
            if not (setup.data_dir / "last-signed.json").exists():
                # a validator whose folder was lost may have signed before
                SigningFloor(setup.data_dir / FLOOR).set(None)
            await asyncio.to_thread(
                rebuild,
                offer.manifest,
                self._fetch.chunks(),
                setup.genesis,
                setup.provider,
                setup.data_dir / "chain.sqlite",
                self._sealing,
            )
        except SnapshotError as error:
            # the header holds, the state does not: all who offer it keep a false one
            for peer in list(offer.peers):
                self._refuse(peer, str(error))
            self._offers.pop(content.id, None)
            return False
        finally:
            self._fetch = None
        shutil.rmtree(self._folder, ignore_errors=True)
        log_event(log, logging.INFO, "join.done", height=content.height)
        return True

    def _refuse(self, peer: str, reason: str) -> None:
        self._refused.add(peer)
        log_event(log, logging.WARNING, "join.refused", peer=peer, reason=reason)
        for key, offer in list(self._offers.items()):
            offer.peers.pop(peer, None)
            if not offer.peers:
                del self._offers[key]

    async def _keep_asking(self) -> None:
        said = 0.0
        while True:
            now = time.monotonic()
            if now >= said + _STATUS_SECONDS:
                said = now
                self._peers.broadcast(wire.encode_message(wire.StatusMsg(0, 0)), urgent=True)
            for name, peer in self._peers.connected.items():
                if name not in self._refused and now >= self._asked.get(name, 0.0) + _ASK_SECONDS:
                    self._asked[name] = now
                    peer.send(wire.encode_message(wire.SnapshotRequest()), urgent=False)
            await asyncio.sleep(_TICK)

    # --- net.peers.Handshake

    def hello(self) -> bytes:
        """Which chain this node wants to follow."""
        genesis = self._setup.genesis
        return wire.encode_message(wire.Hello(genesis.hash, genesis.network, 0, __version__))

    def check_hello(self, peer: str, body: bytes) -> None:
        """Refuse a peer of another chain."""
        check_hello(peer, body, self._setup.genesis.hash, self._setup.genesis.network, __version__)

    def on_connected(self, peer: Connection) -> None:
        """It is asked with the next tick."""
        self._asked.pop(peer.name, None)

    def on_lost(self, peer: Connection) -> None:
        """What it was asked for is asked of others."""
        if self._fetch is not None:
            self._fetch.lost(peer.name)

    async def on_message(self, peer: Connection, body: bytes) -> None:
        """Take offers and chunks; all else is for nodes that have a chain. Raises ProtocolError."""
        match decode_message(body):
            case wire.SnapshotOffer(manifest=raw) if raw:
                if peer.name not in self._refused and self._fetch is None:
                    await self._take_offer(peer, raw)
            case wire.ChunkResponse(index=index, chunk=chunk, height=height):
                if self._fetch is not None:
                    await self._fetch.take(peer.name, height, index, chunk)
            case _:
                pass

    async def _take_offer(self, peer: Connection, raw: bytes) -> None:
        try:
            manifest = decode_manifest(raw)
            setup = self._setup
            trusted, height = setup.trusted, manifest.content.height
            if trusted is not None and height < trusted.height:
                # nothing wrong with it, it is only too old: the next one may do
                log_event(log, logging.INFO, "join.too_old", peer=peer.name, height=height)
                return
            if manifest.content.id not in self._offers:
                await asyncio.to_thread(check_manifest, manifest, setup.genesis, setup.provider, trusted)
        except (wire.WireError, SnapshotError) as error:
            self._refuse(peer.name, str(error))
            raise ProtocolError("bad_snapshot", str(error)) from error
        for offer in self._offers.values():
            offer.peers.pop(peer.name, None)
        offer = self._offers.setdefault(manifest.content.id, _Offer(manifest))
        offer.peers[peer.name] = peer.organisation
        self._offers = {key: one for key, one in self._offers.items() if one.peers}


class _Fetch:
    """The chunks of one snapshot, from several peers, into a folder."""

    def __init__(
        self,
        offer: _Offer,
        folder: Path,
        peers: PeerSet,
        sealing: Sealing,
        refuse: Callable[[str, str], None],
    ) -> None:
        self._offer = offer
        self._folder = folder
        self._peers = peers
        self._sealing = sealing
        self._refuse = refuse
        self._hashes = offer.manifest.content.chunks
        self._height = offer.manifest.content.height
        self._missing: deque[int] = deque()
        self._asked: dict[str, dict[int, float]] = {}
        self._left = 0

    async def run(self) -> bool:
        """Fetch what is missing; False when no peer is left that has it. Raises StoreError."""
        self._missing.extend(await asyncio.to_thread(self._look))
        self._left = len(self._missing)
        while self._left:
            now = time.monotonic()
            for name, asked in list(self._asked.items()):
                if any(now > since + _CHUNK_SECONDS for since in asked.values()):
                    self.lost(name)
            if not self._offer.peers:
                return False
            for name in list(self._offer.peers):
                self._ask(name, now)
            await asyncio.sleep(_TICK)
        return True

    def chunks(self) -> Iterator[bytes]:
        """Every chunk, in order."""
        for index in range(len(self._hashes)):
            yield self._read(index)

    def _look(self) -> list[int]:
        """Which chunks are not there; what an earlier attempt left of other snapshots is removed."""
        try:
            if self._folder.parent.is_dir():
                for path in self._folder.parent.iterdir():
                    if path != self._folder:
                        shutil.rmtree(path)
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            return [index for index, wanted in enumerate(self._hashes) if not self._has(index, wanted)]
        except OSError as error:
            raise os_error(error, str(self._folder)) from error

    def _has(self, index: int, wanted: bytes) -> bool:
        try:
            return sm3(self._read(index)) == wanted
        except (FileNotFoundError, StoreError):
            return False

    def _read(self, index: int) -> bytes:
        return self._sealing.open(self._place(index), (self._folder / str(index)).read_bytes())

    def _place(self, index: int) -> bytes:
        return f"chunk {index}".encode()

    def _ask(self, name: str, now: float) -> None:
        peer = self._peers.connected.get(name)
        if peer is None:
            self.lost(name)
            return
        asked = self._asked.setdefault(name, {})
        while self._missing and len(asked) < _AT_ONCE:
            index = self._missing[0]
            if not peer.send(wire.encode_message(wire.ChunkRequest(self._height, index)), urgent=False):
                return
            asked[self._missing.popleft()] = now

    def lost(self, name: str) -> None:
        """A peer is gone, or too slow: others are asked for what it owes."""
        self._offer.peers.pop(name, None)
        self._missing.extend(self._asked.pop(name, {}))

    async def take(self, name: str, height: int, index: int, chunk: bytes) -> None:
        """A chunk came. Raises ProtocolError when it is not the one that was asked for."""
        asked = self._asked.get(name, {})
        if height != self._height or asked.pop(index, None) is None:
            return  # too late: it has been asked of somebody else
        if not chunk:
            self._missing.append(index)
            self.lost(name)  # it keeps a newer one by now
            return
        if sm3(chunk) != self._hashes[index]:
            self._missing.append(index)
            self.lost(name)
            reason = f"chunk {index} of height {height} is not what was offered"
            self._refuse(name, reason)
            raise ProtocolError("bad_chunk", reason)
        await asyncio.to_thread(
            replace_file, self._folder / str(index), self._sealing.seal(self._place(index), chunk)
        )
        self._left -= 1
