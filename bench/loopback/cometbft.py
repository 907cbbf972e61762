"""CometBFT's kvstore on this machine: built once from its published module, with its own load generator."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import http.client
import json
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from tests.support.network import free_ports

from bench.loopback.measure import Load
from bench.loopback.processes import Processes
from bench.machine import ROOT
from provchain.paths import cache

_SOURCE = ROOT / "bench" / "cometbft"
# more than it commits; spread over the nodes
_RATE = 10_000


def build() -> Path:
    """The folder of the programs, kept in the cache under a digest of go.mod and go.sum."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum"):
        digest.update((_SOURCE / name).read_bytes())
    folder = cache() / "bench-cometbft" / digest.hexdigest()[:16]
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "load").is_file():
            folder.mkdir(exist_ok=True)
            argv = [
                "go",
                "build",
                "-mod=readonly",
                "-trimpath",
                "-ldflags",
                "-s -w",
                "-o",
                f"{folder}/",
                "tool",
            ]
            subprocess.run(argv, cwd=_SOURCE, check=True)
    return folder


@dataclass
class CometBft:
    """A network of `count` validators under `root`, with the default configuration but for the addresses."""

    root: Path
    count: int
    size: int
    name: str = "cometbft"
    processes: Processes = field(init=False)
    _asked: http.client.HTTPConnection | None = None
    _asking: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.processes = Processes(self.root)
        self._bin = build()
        ports = free_ports(3 * self.count)
        self._rpc, self._p2p, self._pprof = (ports[n::3] for n in range(3))

    def start(self) -> None:
        """Make a new chain and start its nodes."""
        shutil.rmtree(self.root / "nodes", ignore_errors=True)
        self._cometbft("testnet", "--v", str(self.count), "--o", str(self.root / "nodes"))
        homes = [self.root / "nodes" / f"node{n}" for n in range(self.count)]
        ids = [self._cometbft("show-node-id", "--home", str(home)).strip() for home in homes]
        for n, home in enumerate(homes):
            self._configure(home, n, ids)
            argv = [str(self._bin / "cometbft"), "node", "--home", str(home), "--proxy_app", "kvstore"]
            self.processes.start(f"node{n}", argv, self.root)
        self.processes.wait_for(lambda: self.height() >= 2, "second block")

    def height(self) -> int:
        """The newest block of the first node; -1 while it does not answer."""
        try:
            return int(self._get("status")["sync_info"]["latest_block_height"])
        except OSError:
            return -1

    @contextlib.contextmanager
    def load(self, seconds: int, rate: float = _RATE) -> Iterator[list[Load]]:
        """Saturate it meanwhile, or send at a rate; the list has what was sent once the load has ended."""
        endpoints = ",".join(f"ws://127.0.0.1:{port}/v1/websocket" for port in self._rpc)
        each = str(int(rate) // self.count)
        argv = [str(self._bin / "load"), "-c", "1", "-T", str(seconds), "-r", each, "-s", str(self.size)]
        argv += ["--broadcast-tx-method", "async", "--endpoints", endpoints]
        began, first = time.time(), self.height()
        found: list[Load] = []
        with (self.root / "load.log").open("wb") as log:
            with subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT) as process:
                yield found
            if process.returncode != 0:
                raise RuntimeError((self.root / "load.log").read_text(errors="replace")[-2000:])
        ended = time.time()
        sent: list[tuple[int | None, float]] = []
        for height in range(first + 1, self.height() + 1):
            txs = self._get("block", height=height)["block"]["data"]["txs"] or []
            sent += [(height, _sent_at(base64.b64decode(tx))) for tx in txs]
        found.append(Load(sent, began, ended))

    def stop(self) -> None:
        """End the nodes."""
        if self._asked is not None:
            self._asked.close()
            self._asked = None
        self.processes.stop()

    def _configure(self, home: Path, number: int, ids: list[str]) -> None:
        path = home / "config" / "config.toml"
        text = path.read_text(encoding="utf-8")
        peers = ",".join(
            f"{one}@127.0.0.1:{port}" for one, port in zip(ids, self._p2p, strict=True) if one != ids[number]
        )
        for pattern, value in (
            (r'^(\[rpc\].*?^laddr = )"[^"]*"', f"tcp://127.0.0.1:{self._rpc[number]}"),
            (r'^(\[p2p\].*?^laddr = )"[^"]*"', f"tcp://127.0.0.1:{self._p2p[number]}"),
            (r'^(persistent_peers = )"[^"]*"', peers),
            (r'^(pprof_laddr = )"[^"]*"', f"127.0.0.1:{self._pprof[number]}"),
            (r'^(log_level = )"[^"]*"', "error"),
        ):
            text, done = re.subn(pattern, rf'\g<1>"{value}"', text, count=1, flags=re.DOTALL | re.MULTILINE)
            if done != 1:
                raise RuntimeError(f"{path}: no {pattern}")
        path.write_text(text, encoding="utf-8")

    def _cometbft(self, *argv: str) -> str:
        done = subprocess.run([self._bin / "cometbft", *argv], capture_output=True, text=True, check=True)
        return done.stdout

    def _get(self, method: str, **params: object) -> dict[str, Any]:
        query = "&".join(f"{key}={value}" for key, value in params.items())
        # the height is watched from a thread of its own
        with self._asking:
            if self._asked is None:
                self._asked = http.client.HTTPConnection("127.0.0.1", self._rpc[0], timeout=30)
            try:
                self._asked.request("GET", f"/{method}?{query}")
                found: dict[str, Any] = json.load(self._asked.getresponse())
            except (OSError, http.client.HTTPException) as error:
                self._asked.close()
                self._asked = None
                raise OSError(str(error)) from error
        if "result" not in found:
            raise OSError(f"{method}: {found.get('error')}")
        return cast(dict[str, Any], found["result"])


def _sent_at(tx: bytes) -> float:
    """When the generator made a transaction: field 4 of its payload, a protobuf Timestamp."""
    fields = _protobuf(bytes.fromhex(tx.removeprefix(b"a=").decode()))
    moment = _protobuf(bytes(fields[4]))
    return int(moment[1]) + int(moment.get(2, 0)) / 1e9


def _protobuf(raw: bytes) -> dict[int, Any]:
    """The fields of a message that has varints and byte strings only."""
    found: dict[int, Any] = {}
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = raw[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(raw):
        key = varint()
        value = varint()
        if key & 7 == 2:
            found[key >> 3] = raw[at : at + value]
            at += value
        else:
            found[key >> 3] = value
    return found
