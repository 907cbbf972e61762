"""Misbehaviour among real nodes: gathered, passed on, committed by everybody, and told to operators."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from provnode import wire
from provnode.cli.main import main
from provnode.core.types import Proposal, Vote, VoteType
from provnode.ops.metrics import render
from provnode.ops.node import Node
from tests.ledger.evidencekit import Liar
from tests.rpc.rpckit import served
from tests.support.network import LocalNetwork, local_network
from tests.support.waiting import until


def liar(net: LocalNetwork, name: str = "v4") -> Liar:
    return Liar(name, net.keys[name], net.genesis.hash, net.provider)


def tell(node: Node, message: wire.Message, but: str | None = None) -> None:
    """Send a message to every peer, whatever it says."""
    node.peers.broadcast(wire.encode_message(message), urgent=True, but=but)


def vote_twice(net: LocalNetwork, name: str, kind: VoteType, most: int) -> Callable[[], int]:
    """Let a validator sign a second, contradictory vote beside each of a kind, so many times."""
    node, author, done = net.nodes[name], liar(net, name), 0
    honest = node.gossip.send_vote

    def send(vote: Vote) -> None:
        nonlocal done
        honest(vote)
        if vote.type is kind and done < most:
            done += 1
            block = None if vote.block_id else b"x" * 32
            other = author.vote(block, vote.height, vote.round, prevote=kind is VoteType.PREVOTE)
            tell(node, wire.VoteMsg(other))

    node.gossip.send_vote = send  # type: ignore[method-assign] # this node is made to misbehave
    return lambda: done


def propose_twice(net: LocalNetwork, name: str) -> None:
    """Let a validator send a second block beside its own."""
    node, author, honest = net.nodes[name], liar(net, name), net.nodes[name].gossip.send_proposal

    def send(proposal: Proposal, block: bytes) -> None:
        honest(proposal, block)
        decoded = wire.decode_block(block)
        later = replace(decoded, header=replace(decoded.header, time_ms=decoded.header.time_ms + 1))
        raw = wire.encode_block(later)
        other = author.proposal(wire.decode_block(raw).block_id, proposal.height, proposal.round)
        tell(node, wire.ProposalMsg(other, raw))

    node.gossip.send_proposal = send  # type: ignore[method-assign] # this node is made to misbehave


def recorded(node: Node) -> set[tuple[object, object]]:
    return {(one["validator"], one["kind"]) for one in node.ledger.evidence("", 100)}


def test_double_votes_and_proposals_end_up_in_everybody_s_chain(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path, extra=("a1",)) as net:
            await net.reach(1)
            propose_twice(net, "v4")
            vote_twice(net, "v4", VoteType.PREVOTE, 6)
            wanted = {("v4", "prevote"), ("v4", "proposal")}
            honest = [net.nodes[name] for name in ("v1", "v2", "v3", "a1")]
            await until(lambda: all(recorded(node) >= wanted for node in honest), "records", 60)
            await net.stop("v4")
            _, height = await net.commit_one(seconds=40)
            await net.reach(height, seconds=40)
            net.same_chain()
            # what is committed leaves the pools; no honest validator is accused
            await until(lambda: all(node.status().evidence_pending == 0 for node in honest), "records", 40)
            for node in honest:
                assert {who for who, _ in recorded(node)} == {"v4"}
                assert list(node.status().evidence_committed) == ["zjcsd"]
            # and stays after a restart
            before = net.nodes["v2"].status().evidence_committed["zjcsd"]
            await net.stop("v2")
            await net.start("v2")
            assert net.nodes["v2"].status().evidence_committed["zjcsd"] >= before

    caplog.set_level(logging.ERROR)
    asyncio.run(scenario())
    committed = [
        one.getMessage() for one in caplog.records if one.getMessage().startswith("evidence.committed")
    ]
    assert committed and all("validator=v4 organisation=zjcsd" in line for line in committed)


def test_evidence_reaches_those_who_saw_nothing_and_forged_evidence_bans_its_sender(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with local_network(tmp_path) as net:
            await net.reach(2)
            sender, victim = net.nodes["v2"], net.nodes["v1"]
            # of a height that is decided: no machine would find this by itself
            good = liar(net, "v3").double_vote(height=1)
            tell(sender, wire.EvidenceMsg((good,)))
            await until(
                lambda: all(n.ledger.has_evidence(good.id) for n in net.nodes.values()), "records", 40
            )
            await until(lambda: victim.status().evidence_committed == {"zjdata": 1}, "the count", 40)
            # again, and ahead of time: no harm, and no fault of the sender
            tell(sender, wire.EvidenceMsg((good, liar(net, "v3").double_vote(height=10_000))))
            _, height = await net.commit_one()
            assert "v2" in victim.peers.connected
            forger = Liar("v3", net.keys["v2"], net.genesis.hash, net.provider)
            tell(sender, wire.EvidenceMsg((forger.double_vote(height=2),)), but="v4")
            await until(lambda: "v2" not in victim.peers.connected, "the forger is shut out", 20)
            await net.reach(height + 1, "v1", "v3", "v4", seconds=40)
            for node in net.nodes.values():
                assert node.ledger.count_evidence() == {"zjdata": 1}

    asyncio.run(scenario())


def test_operators_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    async def scenario() -> None:
        async with served(tmp_path, others=True) as it:

            async def command(*words: str) -> tuple[int, str]:
                code = await asyncio.to_thread(main, [*words, "--socket", str(it.socket)])
                return code, capsys.readouterr().out

            assert await command("evidence") == (0, "")
            assert "none, 0 pending" in (await command("status"))[1]
            await it.network.reach(2)
            found = [liar(it.network, "v3").double_vote(height=1, round_=n) for n in range(3)]
            tell(it.network.nodes["v2"], wire.EvidenceMsg(tuple(found)))
            await until(lambda: it.node.status().evidence_committed == {"zjdata": 3}, "records", 40)
            await until(lambda: it.node.status().evidence_pending == 0, "an empty pool", 40)
            client = await it.remote()
            first = await client.call("evidence", count=2)
            rest = await client.call("evidence", after=first["next"], count=2)
            listed = [*first["evidence"], *rest["evidence"]]
            assert [one["id"] for one in listed] == [one.id for one in found] and rest["next"] is None
            assert (listed[0]["organisation"], listed[0]["title"]) == ("zjdata", "zjdata")
            assert (await client.call("node_status"))["evidence"] == {
                "pending": 0,
                "committed": {"zjdata": 3},
            }
            for wrong in ({"count": 0}, {"count": 101}, {"after": "x" * 129}, {"after": 1}):
                answer = await it.ask({"jsonrpc": "2.0", "id": 1, "method": "evidence", "params": wrong})
                assert answer["error"]["code"] == -32602
            await client.close()
            code, text = await command("evidence")
            assert code == 1 and text.splitlines()[0].startswith(
                "v3 of zjdata (zjdata): two different precommits in height 1, round 0; recorded at "
            )
            assert "zjdata 3, 0 pending" in (await command("status"))[1]
            page = render(it.node.status(), {}, {}, {})
            assert 'provnode_evidence_total{organisation="zjdata"} 3' in page.splitlines()
            assert "provnode_evidence_pending 0" in page.splitlines()

    asyncio.run(scenario())
