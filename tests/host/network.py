"""The network under test: its description, and ways to ask its hosts."""

from __future__ import annotations

import contextlib
import json
import shlex
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import testinfra

from provchain import paths
from provchain.spec import ChainSpec, Host, permits
from provchain.spec.flows import SERVICES

_REMOTE = Path(__file__).with_name("remote")
_ANSWER_SECONDS = 30
_T = TypeVar("_T")


class Result(Protocol):
    """How a remote command ended; the part of testinfra's result that is used here."""

    rc: int
    stdout: str
    stderr: str


class Remote(Protocol):
    """A host as testinfra hands it out; that library has no types of its own."""

    def run(self, command: str) -> Result:
        """Run a command line."""


@dataclass(frozen=True)
class Network:
    """A network that runs, reached as its operators reach it: over SSH through the bastion."""

    spec: ChainSpec
    state: Path
    """Where the controller keeps the network's keys and configuration."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Return the names of all hosts."""
        return tuple(host.name for host in self.spec.hosts)

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """Return the names of the hosts that run the engine."""
        return tuple(host.name for host in self.spec.nodes)

    @cached_property
    def ssh_config(self) -> Path:
        """Return the SSH configuration that provchain generated."""
        return self.state / "ssh" / "config"

    def host(self, name: str) -> Remote:
        """Return testinfra's handle of a host; the network's own SSH configuration keeps the connection."""
        spec = f"ssh://{name}?ssh_config={self.ssh_config}&controlpersist=0"
        return cast(Remote, testinfra.get_host(spec))

    def python(self, name: str, script: str, argument: object, *, sudo: bool = False) -> dict[str, Any]:
        """Run a script of ``remote/`` on a host and return the JSON object that it prints."""
        code = (_REMOTE / script).read_text(encoding="utf-8")
        argv = ["sudo", "-n"] if sudo else []
        argv += ["python3", "-I", "-c", code, json.dumps(argument)]
        done = self._remote(name, argv)
        assert done.rc == 0, f"{name}: {script} failed: {done.stderr.strip()}"
        return cast(dict[str, Any], json.loads(done.stdout))

    def run(self, name: str, *argv: str) -> str:
        """Run a command as root on a host and return its output; AssertionError if it fails."""
        done = self._remote(name, ["sudo", "-n", *argv])
        assert done.rc == 0, f"{name}: {shlex.join(argv)}: exit code {done.rc}: {done.stderr.strip()}"
        return done.stdout

    def _remote(self, name: str, argv: Sequence[str]) -> Result:
        try:
            return self.host(name).run(shlex.join(argv))
        except RuntimeError as problem:  # testinfra's for ssh's own failure; it holds the whole command
            said = getattr(problem.args[0], "stderr", "") if problem.args else ""
            raise AssertionError(f"{name} can't be reached: {said.strip()}") from None

    def ssh_argv(self, name: str, remote: Sequence[str]) -> list[str]:
        """Return the command line that runs ``remote`` on a host with the caller's own pipes."""
        argv = ["ssh", "-F", str(self.ssh_config), "-o", "BatchMode=yes", name]
        return [*argv, "--", shlex.join(remote)]

    @contextlib.contextmanager
    def connection(self, target: str, service: str) -> Iterator[socket.socket]:
        """Hold a TCP connection to a service of a host, opened from where the flow matrix permits it.

        A process on that vantage host joins it to the socket that is returned. OSError if it can't connect.
        """
        code = (_REMOTE / "relay.py").read_text(encoding="utf-8")
        address, port = self.described(target).address, self.port(service)
        argv = ["python3", "-I", "-c", code, str(address), str(port)]
        near, far = socket.socketpair()
        with near, tempfile.TemporaryFile() as words:
            argv = self.ssh_argv(self.vantage(target, service), argv)
            relay = subprocess.Popen(argv, stdin=far.fileno(), stdout=far.fileno(), stderr=words)
            far.close()
            near.settimeout(_ANSWER_SECONDS)
            try:
                if near.recv(1) != b"+":  # the relay's own word that it is connected
                    words.seek(0)
                    raise ConnectionError(f"{target} {service}: {words.read().decode(errors='replace')}")
                yield near
            finally:
                relay.kill()
                relay.wait()

    def port(self, service: str) -> int:
        """Return the port of a service."""
        ports: dict[str, int] = {name: self.spec.services.endpoint(name).port for name in SERVICES}
        return ports[service]

    def vantage(self, target: str, service: str) -> str:
        """Return a host from which the flow matrix lets a service of ``target`` be reached.

        The target itself if no other host is in such a zone: its own address then stays within it.
        """
        for permit in permits(self.spec):
            if (permit.target, permit.service) == (target, service):
                for host in self.spec.hosts:
                    if host.zone == permit.source_zone and host.name != target:
                        return host.name
        return target

    def verb_argv(self, name: str, verb: str, parameters: Mapping[str, str]) -> list[str]:
        """Return the command line of an engine's verb as the host's engine.json has it."""
        words = self._verbs[name][verb]
        return ["sudo", "-n", *(word.format(**parameters) for word in words)]

    @cached_property
    def _verbs(self) -> dict[str, dict[str, list[str]]]:
        def one(name: str) -> dict[str, list[str]]:
            described = json.loads(self.run(name, "cat", "/etc/provchain/engine.json"))
            return {verb: list(words) for verb, words in described["verbs"].items()}

        return self.each(self.names, one)

    def verb(
        self,
        name: str,
        verb: str,
        parameters: Mapping[str, str],
        stdin: str = "",
        seconds: float = _ANSWER_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        """Run a verb on a host to its end, which may be a failure; TimeoutError after ``seconds``."""
        argv = self.ssh_argv(name, self.verb_argv(name, verb, parameters))
        try:
            return subprocess.run(
                argv, input=stdin, capture_output=True, text=True, timeout=seconds, check=False
            )
        except subprocess.TimeoutExpired as problem:
            raise TimeoutError(f"{name}: no answer to {verb} within {seconds:g} s") from problem

    def ask(self, name: str, verb: str, **parameters: str) -> dict[str, Any]:
        """Return the JSON object with which a verb answers; AssertionError if it does not."""
        done = self.verb(name, verb, parameters)
        assert done.returncode == 0, f"{name}: {verb}: exit code {done.returncode}: {done.stderr.strip()}"
        answer = json.loads(done.stdout)
        assert isinstance(answer, dict), f"{name}: {verb} answered {done.stdout[:200]!r}"
        return answer

    def statuses(self, names: Iterable[str] = ()) -> dict[str, dict[str, Any]]:
        """Return the status of each node, or of the named ones, asked side by side."""
        return self.each(tuple(names) or self.nodes, lambda name: self.ask(name, "status"))

    def heights(self, names: Iterable[str] = ()) -> dict[str, int]:
        """Return the height of each node, or of the named ones."""
        return {name: int(status["height"]) for name, status in self.statuses(names).items()}

    def blocks(
        self, heights: Iterable[int], names: Iterable[str] = ()
    ) -> dict[int, dict[str, dict[str, Any]]]:
        """Return the block that each node, or each of the named ones, has at each of these heights."""
        wanted = tuple(heights)

        def one(name: str) -> list[dict[str, Any]]:
            return [self.ask(name, "block", height=str(height)) for height in wanted]

        found = self.each(tuple(names) or self.nodes, one)
        return {
            height: {name: blocks[number] for name, blocks in found.items()}
            for number, height in enumerate(wanted)
        }

    def hashes(self, height: int, names: Iterable[str] = ()) -> dict[str, str]:
        """Return the hash that each node, or each of the named ones, has for the block at a height."""
        return {name: str(block["hash"]) for name, block in self.blocks([height], names)[height].items()}

    @staticmethod
    def each(names: Iterable[str], action: Callable[[str], _T]) -> dict[str, _T]:
        """Do something for many hosts side by side and return the results by host."""
        wanted = tuple(names)
        with ThreadPoolExecutor(max_workers=12) as pool:
            return dict(zip(wanted, pool.map(action, wanted), strict=True))

    def described(self, name: str) -> Host:
        """Return what the description says of a host."""
        return self.spec.host(name)


def load(spec: ChainSpec) -> Network:
    """Return the network of a description."""
    return Network(spec, paths.network_dir(spec.network))
