"""A network whose members change while it runs: nobody restarts, nobody edits a configuration."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import pytest
from provnode.core.types import Validator
from provnode.crypto.crl import read_crl
from provnode.ledger.canonical import Json
from provnode.ledger.changes import approve, change_json
from provnode.ledger.membership import EARLIEST, Action, Change, Place
from provnode.ledger.revocation import revocation_body
from provnode.light import Trust, follow, verify_proof
from provnode.net.errors import StreamError, TlsError
from provnode.net.tls import Peer, open_tls
from provnode.rpc.server import RpcServer
from tests.support.network import LocalNetwork, local_network
from tests.support.waiting import until

PATIENCE = 60.0


def change(
    net: LocalNetwork, action: Action, validator: Validator | str, place: Place | None = None
) -> Change:
    """A change of the membership as v2 sees it, to be in force a few blocks on."""
    ledger = net.nodes["v2"].ledger
    membership = ledger.membership
    if isinstance(validator, str):
        validator = {one.name: one for one in (*membership.active, *membership.suspended)}[validator]
    return Change(action, validator, ledger.height + EARLIEST + 4, membership.sequence + 1, place)


async def enact(net: LocalNetwork, wanted: Change, via: str = "v2") -> None:
    """Have all organisations approve a change, commit it, and wait until it is in force everywhere."""
    approvals: list[Json] = [
        approve(net.provider, key, f"client@{name}", net.genesis, wanted)
        for name, key in sorted(net.founders.items())
    ]
    body: Json = {"change": change_json(wanted), "approvals": approvals}
    txid = await net.nodes[via].submit(net.sign("zjfin", "membership", body))
    await net.nodes[via].wait_committed(txid, PATIENCE)
    await net.reach(wanted.effective_height, seconds=PATIENCE)


async def keep_submitting(net: LocalNetwork, sent: list[bytes]) -> None:
    while True:
        sent.append(await net.nodes["v2"].submit(net.transaction()))
        await asyncio.sleep(0.05)


def votes(net: LocalNetwork, name: str) -> bool:
    """Whether the node's signature is in the newest certificate that v2 holds."""
    certificate = net.nodes["v2"].ledger.last_certificate
    return certificate is not None and name in {one.validator for one in certificate.signatures}


def names(net: LocalNetwork) -> list[str]:
    return [one.name for one in net.nodes["v2"].ledger.validators]


def test_members_come_and_go_while_transactions_flow_and_a_light_client_follows(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path, extra=("v5",), unlisted=("v5",), start=False) as net:
            net.keys["v5"], net.next_keys["v1"] = net.provider.generate(), net.provider.generate()
            await net.start("v1", "v2", "v3", "v4", "v5")
            sent: list[bytes] = []
            client = asyncio.create_task(keep_submitting(net, sent))
            await net.reach(1, "v1", "v2", "v3", "v4")
            assert net.nodes["v5"].peers.connected == {}  # nobody knows it
            added = Validator("v5", "zjex", net.keys["v5"].public, 1)
            await enact(net, change(net, Action.ADD, added, Place("127.0.0.1", net.ports["v5"])))
            await until(lambda: votes(net, "v5"), "v5 votes", PATIENCE)
            assert net.nodes["v5"].status().validator
            await enact(net, change(net, Action.REKEY, Validator("v1", "zjex", net.next_keys["v1"].public)))
            await until(lambda: votes(net, "v1"), "v1 votes with its next key", PATIENCE)
            await enact(net, change(net, Action.SUSPEND, "v4"))
            assert names(net) == ["v1", "v2", "v3", "v5"] and not net.nodes["v4"].status().validator
            await net.reach(net.nodes["v2"].height + 2, "v4", seconds=PATIENCE)  # it still follows
            await enact(net, change(net, Action.RESUME, "v4"), via="v4")
            await until(lambda: votes(net, "v4"), "v4 votes again", PATIENCE)
            await enact(net, change(net, Action.REMOVE, "v3"))
            assert names(net) == ["v1", "v2", "v4", "v5"]
            await net.reach(net.nodes["v2"].height + 2, "v3", seconds=PATIENCE)
            client.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await client
            heights = [await net.nodes["v3"].wait_committed(txid, PATIENCE) for txid in sent]
            assert len(sent) > 5 and all(heights)
            await net.reach(max(heights), seconds=PATIENCE)
            net.same_chain()
            prove(net)

    asyncio.run(scenario())


def prove(net: LocalNetwork) -> None:
    """A client that has the genesis only is led through all five changes, by whichever node."""
    for node in net.nodes.values():
        trust = Trust.of_genesis(net.document, net.provider)
        bundle = node.ledger.prove("o-1")
        assert len(bundle["handovers"]) == 5  # type: ignore[arg-type]  # a list
        found = verify_proof(bundle, trust, net.provider)
        assert {one.name for one in found.trust.validators} == {"v1", "v2", "v4", "v5"}
        again = follow(trust, bundle["handovers"], net.provider)
        assert found.trust.validators == again.validators and found.height > again.height


def test_a_revoked_certificate_loses_its_connections_at_once_and_for_good(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path, extra=("a1",)) as net:
            node = net.nodes["v2"]
            rpc = RpcServer(node)
            await rpc.start("127.0.0.1", 0, tmp_path / "admin.sock")
            try:
                await revoke(net, rpc)
            finally:
                await rpc.close()
            await net.commit_one("v2", seconds=PATIENCE)  # three of four go on
            # a node that starts later knows it from its store
            await net.stop("v3")
            await net.start("v3")
            with pytest.raises((TlsError, StreamError)):
                await greeted(net, net.ports["v3"], "v3", "zjdata")
            assert {"a1", "v1"} & set(net.nodes["v3"].peers.connected) == set()

    async def revoke(net: LocalNetwork, rpc: RpcServer) -> None:
        node = net.nodes["v2"]
        everyone = {"v1", "v3", "v4", "a1"}
        await until(lambda: set(node.peers.connected) == everyone, "all are connected", PATIENCE)
        caller = await open_tls("127.0.0.1", rpc.port, net.identity("v1"), Peer("v2", "zjfin"))
        await caller.write(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
        assert (await caller.read()).startswith(b"HTTP/1.1 ")
        certs = [tmp_path / name / "identity" / "cert.pem" for name in ("v1", "a1")]
        crl = read_crl(net.cas["zjex"].revoke(*certs), "zjex")
        txid = await node.submit(net.sign("zjex", "revocation", revocation_body(crl)))
        await node.wait_committed(txid, PATIENCE)
        await until(lambda: set(node.peers.connected) == {"v3", "v4"}, "they are cut off", PATIENCE)
        async with asyncio.timeout(PATIENCE / 3):  # before the server tires of an idle caller
            with contextlib.suppress(StreamError):
                assert await caller.read() == b""
        for port, name, organisation in (
            (rpc.port, "v2", "zjfin"),
            (net.ports["v2"], "v2", "zjfin"),
            (net.ports["v4"], "v4", "zjcsd"),
        ):
            with pytest.raises((TlsError, StreamError)):
                await greeted(net, port, name, organisation)

    async def greeted(net: LocalNetwork, port: int, name: str, organisation: str) -> None:
        """Connect with the revoked certificate and wait for a word."""
        async with asyncio.timeout(PATIENCE):
            stream = await open_tls("127.0.0.1", port, net.identity("v1"), Peer(name, organisation))
            try:
                await stream.write(b"GET /health HTTP/1.1\r\nhost: x\r\n\r\n")
                if not await stream.read():
                    raise StreamError("cut_off", "the other side has closed")
            finally:
                await stream.close()

    asyncio.run(scenario())
