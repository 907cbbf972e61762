"""Certificates are renewed while the network runs: no height is missed, and no peer is lost meanwhile."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from provnode.net import peers
from provnode.net.connection import Connection
from provnode.net.errors import NetError
from provnode.net.identity import PeerIdentity
from provnode.net.tls import Peer, open_tls
from provnode.ops.node import Node
from tests.support.network import ORGANISATIONS, LocalNetwork, local_network
from tests.support.waiting import until

ALL = ("v1", "v2", "v3", "v4")


def scenario(tmp_path: Path, action: Callable[[LocalNetwork], Awaitable[None]], days: int = 30) -> None:
    async def run() -> None:
        async with local_network(tmp_path, start=False) as net:
            net.cas["zjex"].issue(tmp_path / "v1" / "identity", "v1", days=days)
            await action(net)

    asyncio.run(run())


async def all_connected(net: LocalNetwork) -> None:
    await until(lambda: all(len(node.peers.connected) == 3 for node in net.nodes.values()), "all see all")
    # whatever was dialled at the same time has been sorted out
    await asyncio.sleep(0.5)


def watch_losses(net: LocalNetwork, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Note from now on which node loses which peer."""
    lost: list[tuple[str, str]] = []
    for name, node in net.nodes.items():

        def on_lost(peer: Connection, name: str = name, told: object = node.gossip.on_lost) -> None:
            lost.append((name, peer.name))
            assert callable(told)
            told(peer)

        monkeypatch.setattr(node.gossip, "on_lost", on_lost)
    return lost


def rotate(net: LocalNetwork, name: str, days: int) -> None:
    """A new key and certificate, as the playbook puts them there: the key first."""
    where = net.root / name / "identity"
    key, cert = net.cas[net.members[name]].issue(net.root / "fresh", name, days=days)
    key.replace(where / "key.pem")
    cert.replace(where / "cert.pem")


async def on_the_wire(net: LocalNetwork, name: str) -> PeerIdentity:
    """Who a node shows to be, asked by one that is no peer."""
    organisation = net.members[name]
    with contextlib.suppress(FileExistsError):
        net.cas["zjcsd"].issue(net.root / "stranger" / "identity", "stranger")
    stream = await open_tls("127.0.0.1", net.ports[name], net.identity("stranger"), Peer(name, organisation))
    with contextlib.suppress(NetError):
        await stream.close()
    return stream.peer


def test_a_renewed_certificate_replaces_all_connections_while_blocks_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(peers, "_LOOK_SECONDS", 0.1)
    caplog.set_level(logging.INFO)

    async def action(net: LocalNetwork) -> None:
        await net.start()
        await all_connected(net)
        before = await on_the_wire(net, "v1")
        await net.commit_one("v1")
        start = net.nodes["v1"].height
        lost = watch_losses(net, monkeypatch)
        caplog.clear()
        rotate(net, "v1", days=60)
        others = [net.nodes[name] for name in ALL[1:]]

        def renewed() -> bool:
            net.check()
            return all(
                "v1" in node.peers.connected and node.peers.connected["v1"].expires > before.expires
                for node in others
            )

        await until(renewed, "every peer has a connection with the new certificate", 20)
        await net.commit_one("v1")
        await net.reach(start + 10)
        assert lost == [] and "peer.lost" not in caplog.text and "peer.replaced" in caplog.text
        after = await on_the_wire(net, "v1")
        assert (after.name, after.organisation) == ("v1", ORGANISATIONS[0]) and after.expires > before.expires
        assert net.same_chain() >= start + 10
        rows = [net.nodes["v2"].ledger.stored_block(height) for height in range(start, start + 11)]
        voters = {signature.validator for _, certificate in rows for signature in certificate.signatures}
        assert voters == set(ALL)
        # connections between the others had no reason to change
        assert all(len(node.peers.connected) == 3 for node in net.nodes.values())

    scenario(tmp_path, action)


def test_who_may_dial_fetches_the_new_certificate_of_a_peer_that_may_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(peers, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(peers, "_RENEW_AGAIN_SECONDS", 0.5)
    # the certificate of one day ends so soon that its renewal is due at once, those of 30 days don't
    monkeypatch.setattr(peers, "_RENEW_BEFORE_SECONDS", 2 * 86_400.0)

    async def action(net: LocalNetwork) -> None:
        setup = net.setup("v1")
        net.nodes["v1"] = Node(replace(setup, peers=[replace(peer, dial=False) for peer in setup.peers]))
        await net.nodes["v1"].start()
        await net.start(*ALL[1:])
        await all_connected(net)
        old = net.nodes["v2"].peers.connected["v1"]
        lost = watch_losses(net, monkeypatch)
        # without a new certificate yet, the peer is asked again, and kept
        await until(lambda: net.nodes["v2"].peers.connected["v1"] not in (None, old), "v2 has asked v1 again")
        assert net.nodes["v2"].peers.connected["v1"].expires == old.expires
        rotate(net, "v1", days=60)
        await until(
            lambda: all(net.nodes[n].peers.connected["v1"].expires > old.expires for n in ALL[1:]),
            "all have the new certificate",
            20,
        )
        await net.commit_one("v1")
        assert lost == []
        net.same_chain()

    scenario(tmp_path, action, days=1)


def test_nothing_is_renewed_without_need(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_LOOK_SECONDS", 0.05)

    async def action(net: LocalNetwork) -> None:
        await net.start()
        await all_connected(net)
        held = {(name, peer): c for name, n in net.nodes.items() for peer, c in n.peers.connected.items()}
        await net.reach(net.nodes["v1"].height + 5)
        now = {(name, peer): c for name, n in net.nodes.items() for peer, c in n.peers.connected.items()}
        assert now == held

    scenario(tmp_path, action)


def test_an_ended_certificate_ends_its_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(peers, "_LOOK_SECONDS", 0.05)

    async def action(net: LocalNetwork) -> None:
        await net.start()
        await all_connected(net)
        lost = watch_losses(net, monkeypatch)
        connection = net.nodes["v2"].peers.connected["v1"]
        connection.expires = connection.expires.replace(year=2000)
        await until(lambda: ("v2", "v1") in lost, "the connection is ended")
        await net.commit_one("v2")

    scenario(tmp_path, action)
