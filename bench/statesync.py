"""How long a fresh node takes to join a chain: by a state snapshot, and by all blocks.

    python bench/statesync.py [--blocks 100000] [--replayed 5000] [--provider native] [--out FILE]

The chain is made with the ledger itself, without consensus: four keys, blocks of one small object. Joining is
measured without a network: chunks and blocks come from memory and disk, as they would from a peer that is
faster than the joining node. Replaying is measured over the first blocks and told per block. JSON on stdout.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "node"), str(ROOT)]

from provnode.crypto.provider import get_provider  # noqa: E402 - after the path is set
from provnode.ledger.app import Ledger  # noqa: E402
from provnode.ledger.snapshot import export, rebuild  # noqa: E402
from provnode.storage.store import Store  # noqa: E402
from tests.ledger.ledgerkit import Chain, item  # noqa: E402


def make_chain(path: Path, blocks: int, provider: str) -> tuple[Chain, Ledger]:
    """A chain of so many blocks at `path`; the store is not synced meanwhile."""
    chain = Chain(provider=get_provider(provider))
    ledger = chain.ledger(path)
    ledger.store._db.execute("PRAGMA synchronous = OFF")  # nothing of it is to outlive this run
    for number in range(blocks):
        raw = ledger.build_block(
            ledger.last_time_ms + 1000, "v1", [chain.tx(item(f"o-{number}", body={"title": "一"}))]
        )
        ledger.commit(raw, chain.certificate(raw))
    return chain, ledger


def measure(folder: Path, blocks: int, replayed: int, provider: str) -> dict[str, Any]:
    """The times in seconds."""
    start = time.monotonic()
    chain, ledger = make_chain(folder / "chain.db", blocks, provider)
    made = time.monotonic()
    chunks: list[bytes] = []
    frozen = ledger.store.frozen()
    manifest = export(
        frozen,
        chain.genesis,
        lambda message: ("v1", chain.provider.sign(chain.keys["v1"], message)),
        lambda index, raw: chunks.append(raw),
    )
    frozen.close()
    exported = time.monotonic()
    rebuild(manifest, chunks, chain.genesis, chain.provider, folder / "joined.db")
    joined = Ledger(Store(folder / "joined.db"), chain.genesis, chain.provider)
    done = time.monotonic()
    if joined.state_root != ledger.state_root or joined.height != blocks:
        raise SystemExit("the joined node has another state")
    follower = Ledger(Store(folder / "followed.db"), chain.genesis, chain.provider)
    begun = time.monotonic()
    for height in range(1, replayed + 1):
        follower.commit(*ledger.stored_block(height))
    replay = time.monotonic() - begun
    return {
        "blocks": blocks,
        "provider": provider,
        "chain_made_seconds": round(made - start, 2),
        "snapshot_bytes": sum(map(len, chunks)),
        "snapshot_chunks": len(chunks),
        "snapshot_made_seconds": round(exported - made, 2),
        "joined_by_snapshot_seconds": round(done - exported, 2),
        "replayed_blocks": replayed,
        "replayed_seconds": round(replay, 2),
        "joined_by_blocks_seconds_extrapolated": round(replay / replayed * blocks, 1),
    }


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--blocks", type=int, default=100_000)
    parser.add_argument("--replayed", type=int, default=5_000)
    parser.add_argument("--provider", choices=("native", "openssl"), default="native")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="statesync-") as folder:
        found = measure(Path(folder), given.blocks, min(given.replayed, given.blocks), given.provider)
    found |= {"python": platform.python_version(), "machine": platform.machine(), "cores": os.cpu_count()}
    text = json.dumps(found, indent=2)
    print(text)
    if given.out:
        given.out.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
