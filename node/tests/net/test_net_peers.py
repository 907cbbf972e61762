"""Peers that misbehave after a perfect handshake: what they get, and that the others go on undisturbed."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from provnode import __version__, wire
from provnode.core.types import Certificate, CommitSig, Proposal, Vote, VoteType
from provnode.net.connection import PeerLimits, frame, read_frame
from provnode.net.errors import NetError
from provnode.net.gossip import check_hello
from provnode.net.tls import Peer, Stream, StreamError, open_tls
from provnode.ops.node import Node
from tests.support.network import LocalNetwork, local_network
from tests.support.waiting import until

LIMITS = PeerLimits()


async def join(net: LocalNetwork, name: str = "v4", target: str = "v1", **changes: object) -> Stream:
    """Connect to `target` as `name`, hello included; `changes` alter the hello."""
    stream = await open_tls(
        "127.0.0.1", net.ports[target], net.identity(name), Peer(target, net.members[target])
    )
    fields = {
        "genesis_hash": net.genesis.hash,
        "network": "test",
        "height": 0,
        "version": __version__,
        **changes,
    }
    await stream.write(frame(wire.encode_message(wire.Hello(**fields))))  # type: ignore[arg-type]
    return stream


async def ended(stream: Stream) -> None:
    """Wait until the other side closes."""
    try:
        async with asyncio.timeout(15):
            while await stream.read():
                pass
    except StreamError:
        pass
    await stream.close()


def scenario(root: Path, action: Callable[[LocalNetwork], Awaitable[None]]) -> None:
    """v1 to v3 run, v4 is played by the test; afterwards the three still commit."""

    async def run() -> None:
        async with local_network(root, start=False) as net:
            await net.start("v1", "v2", "v3")
            await net.commit_one()
            await action(net)
            await net.commit_one()
            net.check()

    asyncio.run(run())


def test_a_peer_of_another_chain_network_or_version_is_turned_away(tmp_path: Path) -> None:
    async def action(net: LocalNetwork) -> None:
        for wrong in ({"genesis_hash": bytes(32)}, {"network": "other"}, {"version": "9.0.0"}):
            await ended(await join(net, **wrong))
        assert "v4" not in net.nodes["v1"].peers.connected
        assert not net.nodes["v1"].peers.is_banned("v4")
        stream = await join(net)  # with the right words it is let in
        await until(lambda: "v4" in net.nodes["v1"].peers.connected, "v4 is connected")
        await stream.close()

    scenario(tmp_path, action)


@pytest.mark.parametrize(
    ("theirs", "ours", "fits"),
    [
        ("1.2.0", "1.3.1", True),
        ("1.2.0", "2.2.0", False),
        ("0.1.0", "0.1.9", True),
        ("0.1.0", "0.2.0", False),
        ("0.1.0", "1.1.0", False),
    ],
)
def test_versions_of_one_line_understand_each_other(theirs: str, ours: str, fits: bool) -> None:
    said = wire.encode_message(wire.Hello(bytes(32), "test", 0, theirs))
    refusal = contextlib.nullcontext() if fits else pytest.raises(NetError, match=theirs)
    with refusal:
        assert check_hello("v4", said, bytes(32), "test", ours).version == theirs


def test_a_node_of_the_network_that_is_no_configured_peer_is_turned_away(tmp_path: Path) -> None:
    async def action(net: LocalNetwork) -> None:
        net.cas["zjfin"].issue(net.root / "intruder" / "identity", "v9")
        await ended(await join(net, "intruder"))
        # the right name, but of another organisation, whose own CA vouches for it
        net.cas["zjfin"].issue(net.root / "pretender" / "identity", "v4")
        await ended(await join(net, "pretender"))
        assert not set(net.nodes["v1"].peers.connected) & {"v9", "v4"}

    scenario(tmp_path, action)


def forged(net: LocalNetwork) -> dict[str, bytes]:
    """Messages that no correct node sends."""
    height = net.nodes["v1"].height + 1
    others_vote = Vote(VoteType.PREVOTE, height, 0, None, "v2", b"\x30\x06\x02\x01\x01\x02\x01\x01")
    proposer = net.genesis.validators.proposer(height, 0)
    other = next(name for name in net.keys if name != proposer)
    foreign = Proposal(height, 0, -1, bytes(32), other, os.urandom(70))
    return {
        "garbage": os.urandom(200),
        "empty list": b"\x90",
        "second hello": wire.encode_message(wire.Hello(net.genesis.hash, "test", 0, __version__)),
        "vote in another's name": wire.encode_message(wire.VoteMsg(others_vote)),
        "proposal out of turn": wire.encode_message(wire.ProposalMsg(foreign, b"block")),
        "bad transaction": wire.encode_message(wire.TxMsg((b"nonsense",))),
    }


@pytest.mark.parametrize(
    "kind",
    [
        "garbage",
        "empty list",
        "second hello",
        "vote in another's name",
        "proposal out of turn",
        "bad transaction",
        "oversized",
    ],
)
def test_a_peer_that_breaks_the_protocol_is_shut_out(tmp_path: Path, kind: str) -> None:
    async def action(net: LocalNetwork) -> None:
        peers = net.nodes["v1"].peers
        stream = await join(net)
        await read_frame(stream, LIMITS)
        await until(lambda: "v4" in peers.connected, "v4 is connected")
        if kind == "oversized":
            await stream.write((LIMITS.frame + 1).to_bytes(4, "big") + bytes(100))
        else:
            while not peers.is_banned("v4"):  # a height may end before the message for it is looked at
                try:
                    await stream.write(frame(forged(net)[kind]))
                except StreamError:
                    break
                await asyncio.sleep(0.02)
        await until(lambda: peers.is_banned("v4"), "v4 is shut out")
        await ended(stream)
        await ended(await join(net))  # again at once: no
        assert "v4" not in peers.connected

    scenario(tmp_path, action)


def test_a_flood_slows_down_only_the_one_who_floods(tmp_path: Path) -> None:
    async def action(net: LocalNetwork) -> None:
        stream = await join(net)
        old = Vote(VoteType.PREVOTE, 1, 0, None, "v4", b"\x30")
        flood = frame(wire.encode_message(wire.VoteMsg(old))) * 500

        async def pour() -> None:
            while True:
                await stream.write(flood)

        pouring = asyncio.create_task(pour())
        for name in ("v1", "v2", "v1"):
            await net.commit_one(name)
        assert not pouring.done()  # it is held back, not shut out: it broke no rule
        pouring.cancel()
        stream.abort()

    scenario(tmp_path, action)


def test_a_peer_that_boasts_of_blocks_stops_nobody_and_forges_none(tmp_path: Path) -> None:
    async def action(net: LocalNetwork) -> None:
        node = net.nodes["v1"]
        stream = await join(net, height=1_000_000)
        await stream.write(frame(wire.encode_message(wire.StatusMsg(1_000_000))))
        while True:
            message = wire.decode_message(await read_frame(stream, LIMITS))
            if isinstance(message, wire.BlockRequest):
                break
        await net.commit_one()  # the three others go on meanwhile
        raw, own = node.ledger.stored_block(1)
        signatures = tuple(
            CommitSig(name, b"\x30\x06\x02\x01\x01\x02\x01\x01") for name in ("v1", "v2", "v3")
        )
        fake = Certificate(message.height, own.round, own.block_id, signatures)
        await stream.write(frame(wire.encode_message(wire.BlockResponse(((raw, fake),)))))
        await net.commit_one()
        stream.abort()
        net.same_chain()

    scenario(tmp_path, action)


def test_connections_that_meet_end_up_as_one(tmp_path: Path) -> None:
    async def run() -> None:
        async with local_network(tmp_path) as net:
            await until(
                lambda: all(len(node.peers.connected) == 3 for node in net.nodes.values()), "all see all"
            )
            # both dial: each pair is left with one connection, the same on both ends
            await until(lambda: _pairs_agree(net), "both ends keep the same connection")
            # one that breaks is made anew
            net.nodes["v1"].peers.connected["v2"].close()
            await until(lambda: "v2" not in net.nodes["v1"].peers.connected, "the connection is gone")
            await until(lambda: "v2" in net.nodes["v1"].peers.connected, "the connection is back")

    asyncio.run(run())


def _pairs_agree(net: LocalNetwork) -> bool:
    for name, node in net.nodes.items():
        for peer, connection in node.peers.connected.items():
            other = net.nodes[peer].peers.connected.get(name)
            if other is None or other.dialer != connection.dialer:
                return False
    return True


def test_a_peer_that_is_only_waited_for_is_let_in(tmp_path: Path) -> None:
    async def run() -> None:
        async with local_network(tmp_path, start=False) as net:
            waiting = net.setup("v1")
            passive = [replace(peer, dial=False) for peer in waiting.peers]
            net.nodes["v1"] = Node(replace(waiting, peers=passive))
            await net.nodes["v1"].start()
            net.nodes["v2"] = Node(net.setup("v2"))
            await net.nodes["v2"].start()
            peers = net.nodes["v1"].peers.connected
            await until(lambda: "v2" in peers, "v2 has come")
            assert peers["v2"].dialer == "v2"

    asyncio.run(run())
