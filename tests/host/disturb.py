"""Disturb the world of one node, and put it right again: its clock, its disk, its neighbour."""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

from tests.host import steady
from tests.host.engine import Engine
from tests.host.network import Network

_FLOOD = Path(__file__).with_name("remote") / "flood.py"
_DROP_IN = "/run/systemd/system/{unit}.d/50-clock.conf"
_CLOCK = "/run/provchain-clock"
# hosts of a lab share the machine's clock, so one service is shown another time: by libfaketime, which the
# lab's image has. Timers run on the monotonic clock and are left alone, as with a real jump.
_FAKED = """[Service]
Environment=LD_PRELOAD=/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1
Environment=FAKETIME_TIMESTAMP_FILE={clock} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1
"""


class Clock:
    """The time that a node's service sees."""

    def __init__(self, network: Network, name: str) -> None:
        self._network, self._name = network, name

    def jump(self, seconds: int) -> None:
        """Let the clock be so far off from now on, while the service runs."""
        write(self._network, self._name, _CLOCK, f"{seconds:+d}\n")


@contextlib.contextmanager
def clock(network: Network, engine: Engine, name: str) -> Iterator[Clock]:
    """Run a node's service with a clock that can be made to jump; it is restarted before and after."""
    drop_in = _DROP_IN.format(unit=engine.unit)
    found = Clock(network, name)
    found.jump(0)
    network.run(name, "mkdir", "-p", str(Path(drop_in).parent))
    write(network, name, drop_in, _FAKED.format(clock=_CLOCK))
    try:
        _restart(network, engine, name)
        yield found
    finally:
        network.run(name, "rm", "-f", drop_in, _CLOCK)
        _restart(network, engine, name)


def _restart(network: Network, engine: Engine, name: str) -> None:
    network.run(name, "systemctl", "daemon-reload")
    network.run(name, "systemctl", "restart", engine.unit)


class Disk:
    """A node's data folder on a small disk of its own."""

    def __init__(self, network: Network, name: str, folder: str) -> None:
        self._network, self._name = network, name
        self._filler = f"{folder}/filler"

    def fill(self) -> None:
        """Leave no byte."""
        script = f"cat /dev/zero >{self._filler} || true"
        self._network.run(self._name, "sh", "-c", script)

    def free(self) -> None:
        """Give the space back."""
        self._network.run(self._name, "rm", "-f", self._filler)


@contextlib.contextmanager
def small_disk(network: Network, engine: Engine, name: str, mebibytes: int) -> Iterator[Disk]:
    """Have a node's data on a disk of that size for a while; what is written to it is kept in the end."""
    disk, data = "/run/provchain-disk", engine.data

    def sh(script: str) -> None:
        network.run(name, "sh", "-euc", script)

    steady.systemctl(network, [name], "stop", engine.unit)
    sh(f"mkdir {disk}; mount -t tmpfs -o size={mebibytes}m,mode=0700 tmpfs {disk}")
    sh(f"cp -a {data}/. {disk}; chown --reference={data} {disk}; mount --bind {disk} {data}")
    try:
        steady.systemctl(network, [name], "start", engine.unit)
        yield Disk(network, name, disk)
    finally:
        steady.systemctl(network, [name], "stop", engine.unit)
        # what the node has signed meanwhile must not be forgotten
        sh(f"rm -f {disk}/filler; umount {data}; find {data} -mindepth 1 -delete; cp -a {disk}/. {data}")
        sh(f"umount {disk}; rmdir {disk}")
        steady.systemctl(network, [name], "start", engine.unit)


def flood(
    network: Network, source: str, targets: Sequence[str], service: str, seconds: float
) -> dict[str, int]:
    """Send garbage from one host to a service of others, as fast as it goes; returns what was sent."""
    port = network.port(service)
    asked = {"targets": [[str(network.described(t).address), port] for t in targets], "seconds": seconds}
    argv = ["python3", "-I", "-c", _FLOOD.read_text(encoding="utf-8"), json.dumps(asked)]
    done = network.host(source).run(shlex.join(argv))
    assert done.rc == 0, f"{source}: {done.stderr}"
    sent: dict[str, int] = json.loads(done.stdout)
    return sent


def write(network: Network, name: str, path: str, text: str) -> None:
    """Write a small file on a host, as root."""
    argv = network.ssh_argv(name, ["sudo", "-n", "tee", path])
    subprocess.run(argv, input=text, text=True, check=True, stdout=subprocess.DEVNULL, timeout=30)
