"""A connection to a port on loopback that takes time: python -m bench.loopback.relay MILLISECONDS FROM:TO …

What comes in on a port goes out to the other after half of the milliseconds, both ways, so that a question
and its answer take all of them. The rate is not limited.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Mapping

from tests.support.network import free_ports

from bench.loopback.processes import Processes
from bench.machine import ROOT


def start_relay(processes: Processes, milliseconds: float, ports: Mapping[str, int]) -> dict[str, int]:
    """Start one for these ports, as the process `relay`; gives the ports to connect to instead."""
    ours = dict(zip(ports, free_ports(len(ports)), strict=True))
    pairs = [f"{port}:{ports[name]}" for name, port in ours.items()]
    processes.start("relay", [sys.executable, "-m", "bench.loopback.relay", str(milliseconds), *pairs], ROOT)
    return ours


async def _carry(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()

    async def deliver() -> None:
        while True:
            at, data = await queue.get()
            await asyncio.sleep(max(0.0, at - time.monotonic()))
            if not data:
                writer.close()
                return
            writer.write(data)
            await writer.drain()

    delivering = asyncio.create_task(deliver())
    try:
        while data := await reader.read(1 << 16):
            queue.put_nowait((time.monotonic() + seconds, data))
    except ConnectionError:
        pass
    queue.put_nowait((0.0, b""))
    await asyncio.gather(delivering, return_exceptions=True)


async def _relay(source: int, target: int, seconds: float) -> asyncio.Server:
    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            their_reader, their_writer = await asyncio.open_connection("127.0.0.1", target)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_carry(reader, their_writer, seconds), _carry(their_reader, writer, seconds))

    return await asyncio.start_server(accept, "127.0.0.1", source)


async def _run(milliseconds: float, pairs: list[str]) -> None:
    servers = []
    for pair in pairs:
        source, target = map(int, pair.split(":"))
        servers.append(await _relay(source, target, milliseconds / 2000))
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(_run(float(sys.argv[1]), sys.argv[2:]))
