"""Runs on a host: joins standard input and output to a TCP connection to ``argv[1]:argv[2]``.

Writes one "+" of its own when it is connected; all that follows is the other side's.
"""

from __future__ import annotations

import os
import socket
import sys
import threading

connection = socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=10)
connection.settimeout(None)
os.write(1, b"+")


def _inwards() -> None:
    while data := os.read(0, 65536):
        connection.sendall(data)
    connection.shutdown(socket.SHUT_WR)


threading.Thread(target=_inwards, daemon=True).start()
try:
    while data := connection.recv(65536):
        os.write(1, data)
except ConnectionResetError:
    pass  # the other side ended it: to the caller that is the end of the stream
