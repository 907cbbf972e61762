"""Wrong use, wrong configuration, and nodes that must not start: one line that says why, and no more."""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from provnode import __version__
from tests.cli.clikit import Chain, lines, provnode, record, refusal
from tests.support.pki import make_key

COMMANDS = (
    "init",
    "run",
    "status",
    "log-level",
    "wait",
    "backup",
    "restore",
    "fsck",
    "block",
    "keygen",
    "csr",
    "rewrap",
    "tx",
    "submit",
    "read",
    "verify",
    "membership",
    "revoke",
    "version",
)


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    return Chain(tmp_path_factory.mktemp("chain"))


@pytest.mark.parametrize(
    "argv",
    [
        [],
        ["nonsense"],
        ["--json"],
        ["block"],
        ["block", "one"],
        ["keygen"],
        ["keygen", "--out", "a", "--show", "b"],
        ["csr", "--key", "a"],
        ["tx"],
        ["tx", "steal", "a"],
        ["tx", "get"],
        ["verify"],
        ["status", "--colour"],
        ["status", "--watch"],
        ["status", "--watch", "0.01"],
        ["log-level", "loud"],
        ["version", "extra"],
    ],
)
def test_wrong_use_exits_2(argv: list[str]) -> None:
    done = provnode(*argv)
    assert done.returncode == 2 and "usage: provnode" in done.stderr and not done.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_shows_an_example(command: str) -> None:
    done = provnode(command, "--help")
    assert done.returncode == 0 and f"Example: provnode {command}" in done.stdout


def test_help_lists_every_command() -> None:
    done = provnode("--help")
    assert done.returncode == 0
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("    ")}
    assert set(COMMANDS) <= listed


def test_version_is_told_to_people_and_machines() -> None:
    assert provnode("version").stdout == f"{__version__}\n"
    assert lines(provnode("version", "--json")) == [{"name": "provnode", "version": __version__}]


def test_where_no_node_runs_this_is_said(tmp_path: Path) -> None:
    for argv in (["status"], ["block", "1"]):
        text = refusal(provnode(*argv, "--socket", tmp_path / "none.sock"))
        assert text.endswith("none.sock: No such file or directory; does the node run here?\n")


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"name": None}, "missing required field `name`"),
        ({"name": "V 1"}, "matching regex"),
        ({"extra": 1}, "unknown field `extra`"),
        ({"peers": None}, "missing required field `peers`"),
        ({"peers": 1}, "Expected `array`, got `int` - at `$.peers`"),
        ({"listen": {"address": "127.0.0.1", "p2p_port": 0, "rpc_port": 2}}, ">= 1 - at `$.listen.p2p_port`"),
        ({"listen": {"address": "127.0.0.1", "p2p_port": 1, "rpc_port": 65536}}, "<= 65535"),
        ({"listen": {"address": "127.0.0.1", "p2p_port": 2, "rpc_port": 2}}, "the ports must differ"),
        ({"listen": {"address": "", "p2p_port": 1, "rpc_port": 2}}, "length >= 1 - at `$.listen.address`"),
        ({"listen": None}, "a client has no node to run"),
        ({"data_dir": None}, "data_dir: is needed by a node that listens"),
        ({"client_key": "/k"}, "client_key and client_id go together"),
        ({"old_kek_credential": "old"}, "old_kek_credential: needs a kek_credential, another one"),
        ({"kek_credential": "k", "old_kek_credential": "k"}, "old_kek_credential: needs a kek_credential"),
        ({"log_level": "loud"}, "Invalid enum value 'loud'"),
        ({"provider": "gmssl"}, "found 'gmssl', allowed: native, openssl, pkcs11"),
        ({"genesis": "/none.json"}, "/none.json: No such file"),
        ({"consensus_key": "/none.pem"}, "/none.pem: No such file"),
        (
            {"organisation": "zjfin"},
            "the certificate is of 'v1' of 'zjex', the configuration of 'v1' of 'zjfin'",
        ),
        ({"name": "v2"}, "the certificate is of 'v1' of 'zjex', the configuration of 'v2' of 'zjex'"),
        ({"identity": {"key": "/none", "cert": "/none", "trust_dir": "/none"}}, "/none: No such file"),
        ({"data_dir": "/proc/none"}, "/proc/none: "),
        ({"keep_blocks": 999}, "keep_blocks: found 999, allowed: 0 (all), and 1000 and more"),
        ({"keep_blocks": -1}, ">= 0 - at `$.keep_blocks`"),
        (
            {"keep_blocks": 29999, "snapshot_interval": 10000},
            "found 29999, allowed: 0 (all), and 30000 and more",
        ),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    chain: Chain, changes: dict[str, Any], text: str
) -> None:
    config = chain.config("v1", **changes)
    for verb in ("init", "run"):
        assert text in refusal(provnode(verb, "--config", config))


def test_two_peers_of_one_name_are_refused(chain: Chain) -> None:
    config = chain.config("v1", peers=[chain.peer("v2"), chain.peer("v2")])
    assert "peers: a name occurs twice" in refusal(provnode("init", "--config", config))


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"= nonsense", "line 1"),
        (b"\xff\xfe", "utf-8"),
        (b"#" * 300_000, "allowed: at most"),
        (b"", "missing required field"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(tmp_path: Path, content: bytes, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(content)
    found = refusal(provnode("run", "--config", path))
    assert str(path) in found and text in found


def test_init_makes_the_folder_and_may_be_repeated(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    done = provnode("init", "--config", chain.config("v1"))
    assert done.returncode == 0, done.stderr
    (found,) = lines(done)
    assert (found["name"], found["organisation"], found["validator"], found["height"]) == (
        "v1",
        "zjex",
        True,
        0,
    )
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700
    assert lines(provnode("init", "--config", chain.config("v1"))) == [found]


def damaged(chain: Chain) -> str:
    store = chain.root / "data" / "chain.sqlite"
    raw = bytearray(store.read_bytes())
    raw[: len(raw) // 2] = b"\xa5" * (len(raw) // 2)
    store.write_bytes(raw)
    return "chain.sqlite"


def damaged_file(name: str, text: str) -> Callable[[Chain], str]:
    """Bytes that no node writes, where the data folder has a file beside the store."""

    def harm(chain: Chain) -> str:
        (chain.root / "data" / name).write_bytes(b"\xa5" * 64)
        return text

    harm.__name__ = name
    return harm


def newer_log(chain: Chain) -> str:
    log = chain.root / "data" / "consensus.wal"
    log.write_bytes(b"PVWAL\x00\x00\x02" + log.read_bytes()[8:])
    return "written by another version (start that version of provnode)"


def lacking_tree(chain: Chain) -> str:
    with chain.running():
        done = provnode("submit", "--config", chain.config("m1"), stdin=record("o1") + "\n")
        assert done.returncode == 0, done.stderr
    with sqlite3.connect(chain.root / "data" / "chain.sqlite") as db:
        db.execute("DELETE FROM nodes")
    db.close()
    return "its state tree is missing (restore a backup)"


def newer(chain: Chain) -> str:
    with sqlite3.connect(chain.root / "data" / "chain.sqlite") as db:
        db.execute("UPDATE meta SET value = 99 WHERE name = 'format'")
    db.close()
    return "has store format 99, this version reads 2 (start the version of provnode that wrote it)"


def other_genesis(chain: Chain) -> str:
    chain.write_genesis(time_ms=1_700_000_000_001)
    return "belongs to genesis"


def other_key(chain: Chain) -> str:
    assert provnode("keygen", "--out", chain.keys["v1"], "--force").returncode == 0
    return "the consensus key is not the one that the chain lists for 'v1'"


def loose_key(chain: Chain) -> str:
    chain.keys["v1"].chmod(0o644)
    return "mode 0644, allowed: 0600"


def loose_tls_key(chain: Chain) -> str:
    (chain.root / "v1" / "key.pem").chmod(0o644)
    return "found mode 0644"


def foreign_tls_key(chain: Chain) -> str:
    make_key(chain.root / "v1" / "key.pem")
    return "key.pem"


def no_ca(chain: Chain) -> str:
    (chain.trust / "zjex.pem").unlink()
    return "no CA of this node's own organisation"


def no_validator(chain: Chain) -> str:
    chain.ca.issue(chain.root / "v1", "v7")
    return "the certificate is of 'v7'"


def broken_genesis(chain: Chain) -> str:
    document = json.loads(chain.genesis.read_text())
    del document["params"]
    chain.genesis.write_text(json.dumps(document))
    return "missing required field `params`"


@pytest.mark.parametrize(
    "harm",
    [
        damaged,
        lacking_tree,
        damaged_file("consensus.wal", "consensus.wal"),
        damaged_file("last-signed.json", "last-signed.json"),
        damaged_file("evidence.msgpack", "remove the file: peers hold the evidence as well"),
        newer,
        newer_log,
        other_genesis,
        other_key,
        loose_key,
        loose_tls_key,
        foreign_tls_key,
        no_ca,
        no_validator,
        broken_genesis,
    ],
)
def test_a_node_whose_files_do_not_fit_does_not_start(tmp_path: Path, harm: Callable[[Chain], str]) -> None:
    chain = Chain(tmp_path)
    config = chain.config("v1")
    assert provnode("init", "--config", config).returncode == 0
    text = harm(chain)
    for verb in ("init", "run"):
        assert text in refusal(provnode(verb, "--config", config))


_HANGING = """
import asyncio, sys, time
from provnode.cli.main import main
from provnode.ops.node import Node

async def stop(self):
    {how}

Node.stop = stop
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    "how",
    ["time.sleep(3600)", "asyncio.get_running_loop().run_in_executor(None, time.sleep, 3600)"],
    ids=["the loop", "a thread that is left behind"],
)
def test_what_does_not_end_is_cut_off(tmp_path: Path, how: str) -> None:
    chain = Chain(tmp_path)
    command = (sys.executable, "-c", _HANGING.format(how=how))
    with chain.running(command) as process:
        process.send_signal(signal.SIGTERM)
        # far longer than it takes: what is waited for is that it ends at all
        assert process.wait(60) == 0
    events = [json.loads(line)["event"] for line in chain.log.read_text().splitlines()]
    assert events[-1] == "node.cut_off" and "node.stopped" not in events
    # and it comes back, as after a crash
    with chain.running():
        pass
    assert json.loads(chain.log.read_text().splitlines()[-1])["event"] == "node.stopped"


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    chain = Chain(tmp_path)
    with chain.running():
        other = chain.config(
            "v1", data_dir=str(tmp_path / "other"), admin_socket=str(tmp_path / "other.sock")
        )
        done = provnode("run", "--config", other)
    assert done.returncode == 1
    assert "can't listen" in done.stderr and "Traceback" not in done.stderr
    log = [json.loads(line) for line in chain.log.read_text().splitlines()]
    events = [line["event"] for line in log]
    assert {"node.started", "rpc.listening", "block.committed", "node.stopped"} <= set(events)
    assert all(line["fields"] for line in log if line["event"] != "log")
