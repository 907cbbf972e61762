"""A chain of one validator with a client beside it, as files, and the command in processes of its own."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from provnode.crypto import get_provider
from provnode.ledger.objects import PROTOCOL
from tests.support.network import PARAMS, free_ports
from tests.support.pki import make_ca, make_trust

NODE = Path(__file__).resolve().parents[2]
Json = Any  # what json.loads gives


def provnode(*argv: str | Path, stdin: str | bytes = "") -> subprocess.CompletedProcess[str]:
    """Run the command."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    command = [sys.executable, "-m", "provnode", *argv]
    done = subprocess.run(command, input=data, capture_output=True, cwd=NODE, check=False)
    return subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())


def refusal(done: subprocess.CompletedProcess[str]) -> str:
    """The one line that a refused command leaves."""
    assert done.returncode == 1, (done.returncode, done.stdout, done.stderr)
    assert done.stderr.startswith("provnode: ") and done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def lines(done: subprocess.CompletedProcess[str]) -> list[Json]:
    """The JSON lines that a command printed."""
    return [json.loads(line) for line in done.stdout.splitlines()]


def toml(value: object) -> str:
    """A scalar, a table of scalars, or a list of them, as TOML (JSON's strings are TOML's too)."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value)


@dataclass
class Chain:
    """Everything in `root`: v1 (validator of zjex) and m1 (client of zjex), and their configurations."""

    root: Path
    common: dict[str, object] = field(default_factory=dict)
    """What stands in every configuration."""

    def __post_init__(self) -> None:
        self.provider = get_provider("openssl")
        ca = make_ca(self.root / "pki", "zjex")
        self.trust = make_trust(self.root / "trust", [ca])
        self.keys = {}
        for name in ("v1", "m1"):
            ca.issue(self.root / name, name)
            self.keys[name] = self.root / name / "signing.pem"
            done = provnode("keygen", "--out", self.keys[name])
            assert done.returncode == 0, done.stderr
        self.ca = ca
        self.p2p, self.rpc = free_ports(2)
        self.genesis = self.root / "genesis.json"
        self.write_genesis()

    def write_genesis(self, **changes: object) -> None:
        """Write the genesis with v1 as its only validator, which commits alone."""
        public = {
            name: json.loads(provnode("keygen", "--show", key).stdout) for name, key in self.keys.items()
        }
        member = {"name": "zjex", "title": "市场", "uscc": "91330000000000000X", "role": "operator"}
        validator = {
            "name": "v1",
            "organisation": "zjex",
            "public_key": public["v1"]["public_key"],
            "power": 1,
        }
        signer = {"id": "m1@zjex", "organisation": "zjex", "public_key": public["m1"]["public_key"]}
        document = {
            "format": 1,
            "network": "test",
            "chain_id": "zhejiang",
            "time_ms": 1_700_000_000_000,
            "organisations": [member],
            "validators": [validator],
            "signers": [signer],
            "params": PARAMS,
            "schemas": {"note": {"type": "object"}},
        }
        self.genesis.write_text(json.dumps(document | changes))

    def config(self, name: str, /, **changes: object) -> Path:
        """Write a configuration; a change to None leaves the key out."""
        where = self.root / name
        files = {"key": str(where / "key.pem"), "cert": str(where / "cert.pem"), "trust_dir": str(self.trust)}
        found: dict[str, object] = {"name": name, "organisation": "zjex", "genesis": str(self.genesis)}
        found["identity"] = files
        if name == "v1":
            found |= {"consensus_key": str(self.keys["v1"]), "data_dir": str(self.root / "data"), "peers": []}
            found |= {"listen": {"address": "127.0.0.1", "p2p_port": self.p2p, "rpc_port": self.rpc}}
            found |= {"admin_socket": str(self.socket)}
        else:
            found |= {"client_key": str(self.keys["m1"]), "client_id": "m1@zjex", "peers": [self.peer("v1")]}
        found = {key: value for key, value in (found | self.common | changes).items() if value is not None}
        path = self.root / f"{name}.toml"
        path.write_text("".join(f"{key} = {toml(value)}\n" for key, value in found.items()))
        return path

    def peer(self, name: str) -> dict[str, object]:
        """An entry of `peers` with v1's address and ports."""
        found: dict[str, object] = {"name": name, "organisation": "zjex", "address": "127.0.0.1"}
        return found | {"p2p_port": self.p2p, "rpc_port": self.rpc}

    @property
    def socket(self) -> Path:
        """The unix socket of v1."""
        return self.root / "admin.sock"

    @contextlib.contextmanager
    def running(
        self, program: Sequence[str] = (sys.executable, "-m", "provnode")
    ) -> Iterator[subprocess.Popen[bytes]]:
        """Run v1 until the block ends, its log in `log`; then it must end well by itself."""
        command = [*program, "run", "--config", str(self.config("v1"))]
        # a file: a pipe that nobody reads would stop the node
        with (
            self.log.open("wb") as log,
            subprocess.Popen(command, cwd=NODE, stdout=log, stderr=subprocess.STDOUT) as process,
        ):
            try:
                self._wait(process)
                yield process
            finally:
                process.send_signal(signal.SIGTERM)

    @property
    def log(self) -> Path:
        """What the node of `running` wrote."""
        return self.root / "log"

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + 30
        while True:
            done = provnode("status", "--json", "--socket", self.socket)
            if done.returncode == 0 and json.loads(done.stdout)["height"] > 0:
                return
            assert process.poll() is None and time.monotonic() < end, done.stderr
            time.sleep(0.05)


def record(object_id: str, version: int = 0, operation: str = "create", **body: object) -> str:
    """An object as a line of JSON."""
    content = {"type": "note", "object_id": object_id, "version": version, "operation": operation}
    content |= {"timestamp": int(time.time())}
    header = {"model": {"protocol": PROTOCOL, "version": "1.0"}, "content": content}
    return json.dumps({"header": header, "body": body}, ensure_ascii=False)
