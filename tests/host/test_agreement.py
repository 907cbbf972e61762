"""All nodes have one chain: the same genesis, the same block at each height, the same state (A7)."""

from __future__ import annotations

from typing import Any

import pytest

from tests.host.network import Network
from tests.host.waiting import until

Blocks = dict[int, dict[str, dict[str, Any]]]


@pytest.fixture(scope="module")
def members(network: Network) -> dict[str, str]:
    """Return the validators that the chain lists, each with its organisation."""
    listed = network.ask(network.nodes[0], "members")["validators"]
    return {one["name"]: one["organisation"] for one in listed}


@pytest.fixture(scope="module")
def together(network: Network) -> dict[str, dict[str, Any]]:
    """Return a status of every node, all taken at one height."""
    return until(
        network.statuses,
        lambda seen: len({status["height"] for status in seen.values()}) == 1,
        "all nodes at one height",
        30,
    )


def _agreed(together: dict[str, dict[str, Any]], key: str) -> None:
    found = {name: status[key] for name, status in together.items()}
    assert len(set(found.values())) == 1, found
    assert all(found.values()), found


@pytest.mark.parametrize(
    "key", ["genesis_hash", "network", "chain_id", "block_hash", "state_root", "version"]
)
def test_all_nodes_say_the_same_at_one_height(together: dict[str, dict[str, Any]], key: str) -> None:
    _agreed(together, key)


def test_the_chain_is_that_of_the_description(together: dict[str, dict[str, Any]], network: Network) -> None:
    spec = network.spec
    for name, status in together.items():
        assert (status["network"], status["chain_id"]) == (spec.network, spec.chain_id), name
        assert status["version"] == spec.engine.version, name
        assert status["name"] == name
        assert status["organisation"] == spec.host(name).organisation, name
        assert status["syncing"] is False, name


@pytest.fixture(scope="module")
def blocks(network: Network, together: dict[str, dict[str, Any]]) -> Blocks:
    """Return blocks of every node by height: the oldest that all have, one in between, the newest two."""
    statuses = together.values()
    # a node that joined by a snapshot has no block before it
    first, last = max(s["oldest_height"] for s in statuses), min(s["height"] for s in statuses)
    assert last > first >= 1, "fewer than two blocks that all have"
    return network.blocks(sorted({first, (first + last) // 2, last - 1, last}))


def test_the_same_block_at_the_same_height_everywhere(blocks: Blocks) -> None:
    for height, found in blocks.items():
        hashes = {name: block["hash"] for name, block in found.items()}
        assert len(set(hashes.values())) == 1, f"height {height}: {hashes}"


def test_each_block_names_its_parent(blocks: Blocks) -> None:
    last = max(blocks)
    for name, child in blocks[last].items():
        assert child["parent"] == blocks[last - 1][name]["hash"], name


def test_who_votes_is_whom_the_chain_lists(
    together: dict[str, dict[str, Any]], members: dict[str, str]
) -> None:
    """A validator that lost its key, or whose change of keys was not ended, follows without a vote."""
    voting = {name for name, status in together.items() if status["validator"]}
    assert voting == set(members), (
        "membership add, rekey or remove; or provchain up where chain.yml is behind"
    )


def test_a_quorum_signed_each_block(blocks: Blocks, members: dict[str, str]) -> None:
    for name, block in blocks[max(blocks)].items():
        signers = block["certificate"]["validators"]
        assert len(set(signers)) == len(signers) and set(signers) <= set(members), (name, signers)
        assert 3 * len(signers) > 2 * len(members), (name, signers)
        # no single organisation finalises alone (A16)
        assert len({members[signer] for signer in signers}) > 1, (name, signers)


def test_the_chain_grows(network: Network, together: dict[str, dict[str, Any]]) -> None:
    """Since they were all at one height: an idle chain takes its time."""
    before = min(status["height"] for status in together.values())
    interval = network.spec.consensus.block_interval_ms / 1000
    until(
        network.heights, lambda now: min(now.values()) > before, f"a block after {before}", 10 + 10 * interval
    )


def test_every_node_is_connected_to_a_quorum(
    together: dict[str, dict[str, Any]], network: Network, members: dict[str, str]
) -> None:
    for name, status in together.items():
        peers = {peer["name"] for peer in status["peers"]}
        assert 3 * len((peers | {name}) & set(members)) > 2 * len(members), f"{name}: {peers}"
        for peer in status["peers"]:
            assert peer["organisation"] == network.spec.host(peer["name"]).organisation, name
