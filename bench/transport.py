"""Two ways to ask hosts over SSH, side by side: OpenSSH as the audit uses it, and paramiko in threads, as
pyinfra's connector has it. Prints JSON.

    python bench/transport.py [--hosts 8 40] [--rounds 3]

All hosts are one throwaway server on loopback, so the server's own work is in the wall time of every way
alike; the processor time is the client's. Needs root, as the tests' server does.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import resource
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import paramiko

from bench.machine import environment
from provchain.audit import looks, ssh
from provchain.audit.ssh import Reach
from provchain.baseline.facts import command, file
from tests.unit.audit.sshd import ACCOUNT, Server, server

ASKED = looks.plan([file("/etc/passwd"), command("/usr/bin/id", "-u")])
Way = Callable[[Server, Path, int], int]


def _configured(one: Server, most: int) -> Path:
    """Return a configuration of so many hosts."""
    path = one.folder / "many"
    path.write_text("\n".join(one.reach(f"h{number}").config.read_text() for number in range(most)))
    return path


def _openssh(_one: Server, config: Path, count: int) -> int:
    reaches = [Reach(f"h{number}", config) for number in range(count)]
    found = asyncio.run(ssh.ask_all(reaches, ASKED))
    return sum(not facts.unreachable for facts in found.values())


def _paramiko(one: Server, _config: Path, count: int) -> int:
    script = looks.script(ASKED, "0" * 32)

    def ask(_number: int) -> bool:
        client = paramiko.SSHClient()
        kind, key = one.host_key.split()[:2]
        name = f"[127.0.0.1]:{one.port}"
        client.get_host_keys().add(name, kind, paramiko.Ed25519Key(data=base64.b64decode(key)))
        client.connect("127.0.0.1", one.port, ACCOUNT, key_filename=f"{one.folder}/id", look_for_keys=False)
        with client:
            stdin, stdout, _ = client.exec_command(looks.REMOTE)
            stdin.write(script)
            stdin.channel.shutdown_write()
            return b"1500" in stdout.read()

    with ThreadPoolExecutor(ssh.SIDE_BY_SIDE) as pool:
        return sum(pool.map(ask, range(count)))


def _cpu() -> float:
    both = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in both)


def _measure(way: Way, one: Server, config: Path, count: int, rounds: int) -> dict[str, float]:
    walls, costs = [], []
    for _ in range(rounds):
        began, used = time.monotonic(), _cpu()
        reached = way(one, config, count)
        walls.append(time.monotonic() - began)
        costs.append(_cpu() - used)
        if reached != count:
            raise SystemExit(f"{count - reached} of {count} hosts did not answer")
    return {
        "wall_s": round(statistics.median(walls), 2),
        "client_cpu_ms_per_host": round(statistics.median(costs) / count * 1000, 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--hosts", type=int, nargs="+", default=[8, 40])
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    about, runs = environment(), []
    with server(extra="MaxSessions 100") as one:
        config = _configured(one, max(options.hosts))
        for count in options.hosts:
            found = {
                "openssh": _measure(_openssh, one, config, count, options.rounds),
                "paramiko": _measure(_paramiko, one, config, count, options.rounds),
            }
            runs.append({"hosts": count, **found})
    print(json.dumps({"bench": "transport", "environment": about, "runs": runs}, ensure_ascii=False))


if __name__ == "__main__":
    main()
