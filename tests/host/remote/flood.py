"""Runs on a host: sends garbage to services of its neighbours for a while, over many connections.

Its argument is JSON: ``{"targets": [[address, port], ...], "seconds": s}``. Prints what it did as JSON. Half
of the connections begin as TLS does, so that what comes after is read at all.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time

_CONNECTIONS = 16
_RECORD = bytes.fromhex("16030100ff")  # RFC 8446, 5.1: a handshake record of 255 bytes
asked = json.loads(sys.argv[1])
end = time.monotonic() + asked["seconds"]
sent = {"connections": 0, "bytes": 0}
lock = threading.Lock()


def _send(target: tuple[str, int], head: bytes) -> None:
    garbage = head + os.urandom(65_536)
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(target, timeout=2) as one:
            with lock:
                sent["connections"] += 1
            while time.monotonic() < end:
                count = one.send(garbage)
                with lock:
                    sent["bytes"] += count


threads = [
    threading.Thread(target=_send, args=((address, port), (b"", _RECORD)[number % 2]))
    for address, port in asked["targets"]
    for number in range(_CONNECTIONS)
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print(json.dumps(sent))
