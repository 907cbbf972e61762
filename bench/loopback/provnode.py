"""A network of provnode processes on loopback, one organisation a validator, under a load of objects."""

from __future__ import annotations

import contextlib
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from provnode.crypto.provider import get_provider
from tests.support.network import free_ports
from tests.support.pki import make_ca, make_trust

from bench.loopback.http import KeptRpc
from bench.loopback.measure import Load
from bench.loopback.processes import Processes
from bench.machine import ROOT

NODE = ROOT / "node"
SIGNER = "client@org1"
_PARAMS = {
    "max_block_bytes": 8 * 1024 * 1024,
    "max_tx_bytes": 65_536,
    "propose_timeout_ms": 3_000,
    "vote_timeout_ms": 1_000,
    "timeout_delta_ms": 500,
}


class Place(NamedTuple):
    """Whose a node is, and where it listens."""

    organisation: str
    p2p_port: int
    rpc_port: int


@dataclass
class Provnode:
    """A network of `count` validators under `root`; `size` is the least length of a transaction in bytes.

    `followers` are nodes without a vote, of the first organisation; the genesis is `age_seconds` old.
    """

    root: Path
    count: int
    size: int
    interval_ms: int
    in_flight: int
    provider: str
    name: str = "provnode"
    snapshot_interval: int = 0
    followers: tuple[str, ...] = ()
    age_seconds: int = 60
    env: dict[str, str] = field(default_factory=dict)
    processes: Processes = field(init=False)
    _asked: dict[str, KeptRpc] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.processes = Processes(self.root)
        self.names = [f"v{number}" for number in range(1, self.count + 1)]
        self._organisations = [f"org{number}" for number in range(1, self.count + 1)]
        self._transactions = self.root / "transactions"
        provider = get_provider(self.provider)
        cas = [make_ca(self.root / "pki" / name, name) for name in self._organisations]
        make_trust(self.root / "trust", cas)
        keys = {}
        for name, ca in zip(self.names, cas, strict=True):
            ca.issue(self.root / name, name)
            keys[name] = provider.generate()
        for name in self.followers:
            cas[0].issue(self.root / name, name)
        keys["client"] = provider.generate()
        for name, key in keys.items():
            path = self.root / f"{name}.pem"
            path.write_bytes(provider.save_private(key))
            path.chmod(0o600)
        public = {name: provider.public_key(key).hex() for name, key in keys.items()}
        (self.root / "genesis.json").write_text(json.dumps(self._genesis(public)), encoding="utf-8")
        members = [*zip(self.names, self._organisations, strict=True)]
        members += [(name, self._organisations[0]) for name in self.followers]
        ports = free_ports(2 * len(members))
        self.members = {
            name: Place(organisation, *ports[2 * n : 2 * n + 2])
            for n, (name, organisation) in enumerate(members)
        }
        for name in self.members:
            self.configure(name)

    def _genesis(self, public: dict[str, str]) -> dict[str, Any]:
        members = list(zip(self.names, self._organisations, strict=True))
        return {
            "format": 1,
            "network": "bench",
            "chain_id": "loopback",
            "time_ms": time.time_ns() // 1_000_000 - 1000 * self.age_seconds,
            "organisations": [
                {"name": name, "title": name, "uscc": "91330000000000000X", "role": "operator"}
                for name in self._organisations
            ],
            "validators": [
                {"name": name, "organisation": organisation, "public_key": public[name], "power": 1}
                for name, organisation in members
            ],
            "signers": [{"id": SIGNER, "organisation": "org1", "public_key": public["client"]}],
            "params": _PARAMS | {"block_interval_ms": self.interval_ms},
            "schemas": {"note": {"type": "object", "properties": {"padding": {"type": "string"}}}},
        }

    def configure(self, name: str, *settings: str, through: Mapping[str, int] | None = None) -> None:
        """Write a node's configuration, with more lines in it; `through` has the ports of its only peers."""
        organisation, p2p, rpc = self.members[name]
        lines = [
            *settings,
            f'name = "{name}"',
            f'organisation = "{organisation}"',
            f'genesis = "{self.root}/genesis.json"',
            f'data_dir = "{self.root}/{name}/data"',
            *([f'consensus_key = "{self.root}/{name}.pem"'] if name in self.names else []),
            f'admin_socket = "{self.socket(name)}"',
            f'provider = "{self.provider}"',
            f'log_level = "{"info" if name in self.followers else "warning"}"',
            f"snapshot_interval = {self.snapshot_interval}",
            f'listen = {{address = "127.0.0.1", p2p_port = {p2p}, rpc_port = {rpc}}}',
            "[identity]",
            f'key = "{self.root}/{name}/key.pem"',
            f'cert = "{self.root}/{name}/cert.pem"',
            f'trust_dir = "{self.root}/trust"',
        ]
        for other, (its, other_p2p, other_rpc) in self.members.items():
            if other == name or (through is not None and other not in through):
                continue
            lines += ["[[peers]]", f'name = "{other}"', f'organisation = "{its}"', 'address = "127.0.0.1"']
            lines += [f"p2p_port = {(through or {}).get(other, other_p2p)}", f"rpc_port = {other_rpc}"]
            lines += [f"dial = {str(other not in self.followers).lower()}"]
        (self.root / f"{name}.toml").write_text("\n".join(lines) + "\n", encoding="utf-8")

    def socket(self, name: str) -> Path:
        """Where a node takes local requests."""
        return self.root / f"{name}.sock"

    def start(self) -> None:
        """Start the nodes on an empty chain."""
        for name in self.names:
            self.empty(name)
            self.start_one(name)
        self.processes.wait_for(lambda: self.height() >= 2, "second block")

    def empty(self, name: str) -> None:
        """Remove what a node has of the chain."""
        shutil.rmtree(self.root / name / "data", ignore_errors=True)

    def start_one(self, name: str) -> None:
        """Start a node on what is in its folder."""
        argv = [sys.executable, "-m", "provnode", "run", "--config", str(self.root / f"{name}.toml")]
        self.processes.start(name, argv, NODE, self.env)

    def height(self, name: str = "v1") -> int:
        """The newest block of a node; -1 while it does not answer."""
        try:
            if name not in self._asked:
                self._asked[name] = KeptRpc(self.socket(name))
            return int(self._asked[name].ask("node_status")["height"])
        except OSError:
            if name in self._asked:
                self._asked.pop(name).close()
            return -1

    def sign(self, count: int) -> int:
        """Sign so many transactions for all loads to come; gives their mean length in bytes."""
        asked = {"key": str(self.root / "client.pem"), "genesis": str(self.root / "genesis.json")}
        asked |= {"provider": self.provider, "signer": SIGNER, "out": str(self._transactions)}
        argv = [sys.executable, "-m", "bench.loopback.signing", json.dumps(asked | {"size": self.size})]
        subprocess.run([*argv, str(count)], cwd=ROOT, check=True)
        found = msgspec.msgpack.decode(self._transactions.read_bytes())
        return sum(len(raw) for _, raw in found) // len(found)

    @contextlib.contextmanager
    def load(self, seconds: int, rate: float = 0.0) -> Iterator[list[Load]]:
        """Keep `in_flight` transactions in flight meanwhile, or hand in `rate` a second; over all nodes."""
        asked = {"sockets": [str(self.socket(name)) for name in self.names], "seconds": seconds}
        asked |= {"transactions": str(self._transactions), "in_flight": self.in_flight, "rate": rate}
        argv = [sys.executable, "-m", "bench.loopback.client", json.dumps(asked)]
        found: list[Load] = []
        with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE) as process:
            yield found
            said = process.communicate()[0]
        if process.returncode != 0:
            raise RuntimeError(f"the load generator ended with {process.returncode}")
        told = msgspec.msgpack.decode(said)
        sent = [(height, at) for height, at, count in told["batches"] for _ in range(count)]
        found.append(Load(sent, told["began"], told["ended"], told["refused"], told["cpu_seconds"]))

    def stop(self) -> None:
        """End the nodes."""
        for kept in self._asked.values():
            kept.close()
        self._asked.clear()
        self.processes.stop()
