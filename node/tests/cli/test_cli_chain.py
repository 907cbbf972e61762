"""The command against a running node: from a client's object to a verified proof of it."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from provnode.cli.client import Host, prove
from provnode.light import Trust
from tests.cli.clikit import NODE, Chain, lines, provnode, record, refusal


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chain]:
    made = Chain(tmp_path_factory.mktemp("chain"))
    with made.running() as process:
        yield made
    assert process.returncode == 0, made.log.read_text()


def test_status_tells_what_the_engine_contract_asks_for(chain: Chain) -> None:
    (found,) = lines(provnode("status", "--json", "--socket", chain.socket))
    expected = {"name": "v1", "organisation": "zjex", "network": "test", "chain_id": "zhejiang"}
    assert found | expected == found
    assert found["validator"] is True and found["syncing"] is False and found["peers"] == []
    for key in ("block_hash", "state_root", "genesis_hash"):
        assert len(bytes.fromhex(found[key])) == 32
    text = provnode("status", "--socket", chain.socket).stdout
    assert "organisation         zjex" in text


def test_the_log_level_is_shown_and_set(chain: Chain) -> None:
    at = ("--socket", chain.socket)
    assert provnode("log-level", *at).stdout == "info\n"
    assert provnode("log-level", "debug", *at).stdout == "debug\n"
    assert provnode("log-level", *at).stdout == "debug\n"
    assert provnode("log-level", "info", *at).stdout == "info\n"


def test_wait_returns_with_the_next_block(chain: Chain, tmp_path: Path) -> None:
    (before,) = lines(provnode("status", "--json", "--socket", chain.socket))
    assert provnode("wait", "--seconds", "30", "--socket", chain.socket).returncode == 0
    (after,) = lines(provnode("status", "--json", "--socket", chain.socket))
    assert after["height"] > before["height"]
    text = refusal(provnode("wait", "--seconds", "0.5", "--socket", tmp_path / "none.sock"))
    assert "not ready within 0.5 s: " in text and "does the node run here?" in text


def test_status_is_watched_until_interrupted(chain: Chain) -> None:
    command = [
        sys.executable,
        "-m",
        "provnode",
        "status",
        "--watch",
        "0.1",
        "--json",
        "--socket",
        str(chain.socket),
    ]
    with subprocess.Popen(command, cwd=NODE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        found = [json.loads(process.stdout.readline()) for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 130
    assert [one["name"] for one in found] == ["v1"] * 3


def test_block_shows_a_block_and_who_decided_it(chain: Chain) -> None:
    (found,) = lines(provnode("block", "1", "--socket", chain.socket))
    (status,) = lines(provnode("status", "--json", "--socket", chain.socket))
    assert found["height"] == 1 and found["parent"] == status["genesis_hash"]
    assert found["certificate"]["validators"] == ["v1"] and found["proposer"] == "v1"
    assert "no block 999999" in refusal(provnode("block", "999999", "--socket", chain.socket))


def test_what_a_client_submits_is_read_back_with_a_proof_that_holds(chain: Chain) -> None:
    config = chain.config("m1")
    objects = [record(f"s-{n}", name="甲") for n in range(5)] + [record("s-0", 1, "update", name="乙")]
    sent = provnode("submit", "--config", config, stdin="\n".join(objects) + "\n\n")
    assert sent.returncode == 0, sent.stderr
    results = lines(sent)
    assert [(one["object_id"], one["version"], one["ok"]) for one in results] == [
        *((f"s-{n}", 0, True) for n in range(5)),
        ("s-0", 1, True),
    ]
    assert all(one["height"] > 0 and one["error"] == "" for one in results)
    asked = "".join(
        json.dumps({"object_id": o["object_id"], "version": o["version"]}) + "\n" for o in results
    )
    read = provnode("read", "--node", "v1", "--config", config, stdin=asked)
    assert read.returncode == 0, read.stderr
    found = lines(read)
    assert all(one["verified"] and one["organisation"] == "zjex" for one in found)
    assert [one["object"]["body"]["name"] for one in found] == ["甲"] * 5 + ["乙"]
    latest = lines(provnode("read", "--config", config, stdin='{"object_id": "s-0"}\n'))
    assert latest[0]["version"] == 1 and latest[0]["object"] == found[5]["object"]


def test_every_line_submitted_has_its_result_also_where_it_is_refused(chain: Chain) -> None:
    text = "\n".join((record("t-1"), "{", record("t-1"), record("t-2", 0, "explode"), "[]", '{"a":1,"a":2}'))
    done = provnode("submit", "--config", chain.config("m1"), stdin=text.encode() + b"\n\xff\xfe\n")
    assert done.returncode == 1
    results = lines(done)
    assert [one["ok"] for one in results] == [True, False, False, False, False, False, False]
    assert all(one["error"] and one["code"] for one in results[1:])
    assert results[1]["code"] == results[6]["code"] == "malformed"


def test_what_is_not_there_is_not_verified(chain: Chain) -> None:
    asked = '{"object_id": "nothing", "version": 0}\n'
    done = provnode("read", "--node", "v1", "--config", chain.config("m1"), stdin=asked)
    assert done.returncode == 1
    (found,) = lines(done)
    assert found["verified"] is False and "no object nothing" in found["error"] and "object" not in found
    for wrong in (
        "{}",
        "[]",
        "nonsense",
        '{"object_id": 1}',
        '{"object_id": "a", "version": "1"}',
        "[" * 10_000,
    ):
        done = provnode("read", "--config", chain.config("m1"), stdin=wrong)
        assert "needed is" in refusal(done)


def test_tx_puts_gets_and_proves_and_verify_needs_the_genesis_only(chain: Chain, tmp_path: Path) -> None:
    config = chain.config("m1")
    file = tmp_path / "object.json"
    file.write_text(json.dumps(json.loads(record("u-1", name="甲")), indent=2))  # over several lines
    assert lines(provnode("tx", "put", file, "--config", config))[0]["ok"]
    (got,) = lines(provnode("tx", "get", "u-1", "--config", config))
    assert got["verified"] and got["object"]["body"] == {"name": "甲"}
    bundle = tmp_path / "proof.json"
    bundle.write_text(provnode("tx", "prove", "u-1", "--version", "0", "--config", config).stdout)
    done = provnode("verify", bundle, "--genesis", chain.genesis)
    assert done.returncode == 0
    assert lines(done)[0] | {"verified": True, "object_id": "u-1", "validators": ["v1"]} == lines(done)[0]
    assert lines(done)[0]["time_ms"] == json.loads(bundle.read_text())["header"]["time_ms"]
    forged = json.loads(bundle.read_text())
    forged["snapshot"]["body"]["name"] = "乙"
    bundle.write_text(json.dumps(forged))
    done = provnode("verify", bundle, "--genesis", chain.genesis)
    assert done.returncode == 1 and lines(done)[0]["verified"] is False
    for wrong in ("[]", "{", "{}", '{"format": 1}'):
        bundle.write_text(wrong)
        assert provnode("verify", bundle, "--genesis", chain.genesis).returncode == 1
    other = tmp_path / "genesis.json"
    for text in ("{}", "[]", "no"):
        other.write_text(text)
        refusal(provnode("verify", bundle, "--genesis", other))


def test_a_reader_with_another_genesis_verifies_nothing(chain: Chain, tmp_path: Path) -> None:
    assert provnode("submit", "--config", chain.config("m1"), stdin=record("w-1")).returncode == 0
    other = tmp_path / "genesis.json"
    document = json.loads(chain.genesis.read_text())
    document["organisations"][0]["title"] = "别的"
    other.write_text(json.dumps(document))
    config = chain.config("m1", genesis=str(other))
    done = provnode("read", "--config", config, stdin='{"object_id": "w-1"}')
    assert done.returncode == 1
    assert "signature of v1 does not hold" in lines(done)[0]["error"]


def test_a_good_proof_of_something_else_is_not_taken(chain: Chain) -> None:
    config = chain.config("m1")
    first, second = record("y-1", name="甲"), record("y-1", 1, "update", name="乙")
    assert provnode("submit", "--config", config, stdin=f"{first}\n{second}\n").returncode == 0
    (bundle,) = lines(provnode("tx", "prove", "y-1", "--version", "0", "--config", config))
    host = Host.load(argparse.Namespace(config=config, node=None))

    class Liar:
        """A node that answers every question with the same proof, which holds."""

        async def call(self, *_: object, **__: object) -> object:
            return bundle

    def ask(object_id: str, version: int | None) -> dict[str, object]:
        trust = Trust.of_genesis(host.genesis.document, chain.provider)
        return asyncio.run(prove(host, Liar(), "zjex", trust, object_id, version))

    assert ask("y-1", 0)["verified"] is True
    for other in (ask("y-1", 1), ask("y-2", 0), ask("y-2", None)):
        assert other["verified"] is False and "the proof is of 'y-1' version 0" in str(other["error"])


def test_a_client_refuses_to_start_without_what_it_needs(chain: Chain, tmp_path: Path) -> None:
    def submit(**changes: object) -> str:
        return refusal(provnode("submit", "--config", chain.config("m1", **changes), stdin=record("x-1")))

    assert "client_key: is missing" in submit(client_key=None, client_id=None)
    assert "no/such: No such file" in submit(client_key="/no/such")
    assert "node 'v9' is not in the configuration; known: v1" in refusal(
        provnode("read", "--node", "v9", "--config", chain.config("m1"))
    )
    # the name of one node at the address of another is not believed
    assert "found 'v1' of 'zjex', allowed: 'v2' of 'zjex'" in submit(peers=[chain.peer("v2")])
    assert "known: none" in submit(peers=[])
    chain.keys["m1"].chmod(0o640)
    assert "mode 0640, allowed: 0600" in submit()
    chain.keys["m1"].chmod(0o600)


def test_a_running_nodes_data_is_left_alone(chain: Chain) -> None:
    for verb in ("init", "run"):
        assert "in use by a running provnode" in refusal(provnode(verb, "--config", chain.config("v1")))
