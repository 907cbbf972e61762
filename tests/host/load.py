"""Load from a business system's side, and whether what it was promised is there afterwards."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections.abc import Iterator
from typing import Any

from tests.host.engine import Engine
from tests.host.network import Network


class Load:
    """Submits objects through an entrance in small batches and remembers what was acknowledged."""

    def __init__(self, network: Network, engine: Engine, entrance: str, label: str) -> None:
        """Prepare; nothing is sent yet."""
        self._network, self._engine, self._entrance, self._label = network, engine, entrance, label
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.acknowledged: list[dict[str, Any]] = []
        self.interrupted = 0
        """Batches that the entrance did not finish."""

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """Submit for the length of a block of code."""
        self._thread.start()
        try:
            yield
        finally:
            self._end.set()
            self._thread.join()

    def _run(self) -> None:
        batch = 0
        while not self._end.is_set():
            samples = self._engine.samples(10, f"{self._label}-{batch}")
            lines = "".join(json.dumps(sample, ensure_ascii=False) + "\n" for sample in samples)
            self._submit(lines)
            batch += 1

    def _submit(self, lines: str) -> None:
        argv = self._network.ssh_argv(self._entrance, self._network.verb_argv(self._entrance, "submit", {}))
        done = subprocess.run(argv, input=lines, capture_output=True, text=True, timeout=120, check=False)
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.endswith("}")]
        good = [answer for answer in answers if answer["ok"]]
        self.acknowledged += good
        self.interrupted += len(good) < lines.count("\n")


def entrance_and_reader(network: Network) -> tuple[str, str]:
    """Return a full node that takes submissions, and an RPC node of another organisation."""
    serving = [host for host in network.spec.hosts if "rpc" in host.roles]
    entrance = next(host for host in serving if "full" in host.roles)
    reader = next(host for host in serving if host.organisation != entrance.organisation)
    return entrance.name, reader.name
