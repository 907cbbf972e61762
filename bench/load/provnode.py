"""Runs on an entrance of provnode: keeps a number of transactions in flight, and measures each.

Its argument is JSON: ``{"object": …, "label": text, "in_flight": n, "seconds": s}``. Prints JSON: what was
committed, how long it took, and the seconds from handing a transaction in until the node says that it is
durable in a block. Closed loop: whoever got an answer sends the next one. Transactions are signed before the
clock starts, so that the client takes little of the machine.
"""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, "/opt/provnode/current/lib")

from provnode.cli.keys import find_kek, load_key
from provnode.crypto import get_provider
from provnode.ledger.genesis import parse_genesis
from provnode.ledger.transactions import sign_transaction
from provnode.ops.config import load_config
from provnode.rpc.client import CallError, Client

_CONFIG = Path("/etc/provnode/config.toml")
_MOST = 1500  # transactions signed in advance for each second of load; more than these nodes commit


def _signed(asked: dict[str, Any]) -> list[str]:
    config = load_config(_CONFIG)
    provider = get_provider(config.provider)
    key = load_key(Path(config.client_key), provider, "client", find_kek(config.kek_credential, provider))
    genesis = parse_genesis(json.loads(Path(config.genesis).read_text(encoding="utf-8")))
    found = []
    for number in range(asked["in_flight"] + int(_MOST * asked["seconds"])):
        record = json.loads(json.dumps(asked["object"]))
        record["header"]["content"]["object_id"] = f"{asked['label']}-{number}"
        raw, _ = sign_transaction(provider, key, config.client_id, genesis.hash, "object", record)
        found.append(raw.hex())
    return found


async def _measure(asked: dict[str, Any]) -> dict[str, object]:
    transactions = iter(_signed(asked))
    socket = Path(load_config(_CONFIG).admin_socket)
    # one after the other, as a server takes in only so many at the same moment
    clients = [await Client.local(socket) for _ in range(asked["in_flight"])]
    waits: list[float] = []
    refused: list[str] = []
    began = time.monotonic()
    end = began + asked["seconds"]

    async def one(client: Client) -> None:
        while time.monotonic() < end and (raw := next(transactions, None)) is not None:
            sent = time.monotonic()
            try:
                await client.call("submit_transaction", transaction=raw, wait_seconds=60)
            except CallError as problem:
                refused.append(str(problem))
                if not problem.code:  # the connection is gone, not the transaction refused
                    break
            else:
                waits.append(time.monotonic() - sent)
        await client.close()

    await asyncio.gather(*(one(client) for client in clients))
    taken = time.monotonic() - began
    waits.sort()
    return {
        "committed": len(waits),
        "seconds": round(taken, 2),
        "tx_per_second": round(len(waits) / taken, 1),
        "latency_p50": round(waits[len(waits) // 2], 3) if waits else None,
        "latency_p99": round(waits[len(waits) * 99 // 100], 3) if waits else None,
        "latency_max": round(waits[-1], 3) if waits else None,
        "transaction_bytes": len(_first(asked)) // 2,
        "refused": len(refused),
        "first_refusal": refused[0] if refused else None,
        "exhausted": next(transactions, None) is None,
    }


def _first(asked: dict[str, Any]) -> str:
    return _signed({**asked, "in_flight": 1, "seconds": 0})[0]


# a connection for each transaction in flight
_, most = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
print(json.dumps(asyncio.run(_measure(json.loads(sys.argv[1])))))
