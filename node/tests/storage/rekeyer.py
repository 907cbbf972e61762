"""A sealed store with blocks that can be told again, and a process that changes its key until killed.

With `prune` as a second argument it drops old blocks instead.
"""

from __future__ import annotations

import sys
from pathlib import Path

from provnode.crypto import get_provider
from provnode.crypto.sealed import Kek
from provnode.storage import rekey
from provnode.storage.prune import prune
from provnode.storage.sealing import Keyring
from provnode.storage.store import BlockRow, BlockWrite, HeadRow, Store, VersionRow

KEK = Kek(bytes(range(16)), get_provider("openssl"))
SECRET = "杭州某公司的股东名册".encode()
BLOCK = b"block: " + SECRET * 40
_SNAPSHOT, _SUBMITTED = b"snapshot: " + SECRET, b"submitted: " + SECRET


def block(height: int) -> BlockWrite:
    """A block with one object."""
    tag = height.to_bytes(32, "big")
    name = f"o-{height}"
    return BlockWrite(
        block=BlockRow(height, tag, BLOCK, b"certificate"),
        txids=[tag],
        heads=[HeadRow(name, "t", "zjex", 0, False)],
        versions=[VersionRow(name, 0, _SNAPSHOT, _SUBMITTED, (tag,), height)],
        users=[],
        state=[],
        handover=None,
        nodes={},
    )


def place(folder: Path) -> tuple[Store, Keyring]:
    """Open the store and its keyring in a folder."""
    keyring = Keyring(folder / "keyring", KEK)
    return Store(folder / "chain.sqlite", keyring), keyring


def verify(store: Store, upto: int, first: int = 1) -> None:
    """All blocks and objects are there and say what they said."""
    for height in range(first, upto + 1):
        found, version = store.block(height), store.version(f"o-{height}", 0)
        assert found is not None and found.raw == BLOCK
        assert version is not None and (version.snapshot, version.submitted) == (_SNAPSHOT, _SUBMITTED)


def dropping(store: Store) -> None:
    """Commit blocks and keep the newest ten, for ever."""
    while True:
        height = store.height() + 1
        store.commit(block(height))
        print("block", height, flush=True)
        if height % 8 == 0:
            prune(store, height - 9)


def main() -> None:
    """Finish a change that was under way, then change the key again and again, with blocks between."""
    store, keyring = place(Path(sys.argv[1]))
    print("ready", flush=True)
    if sys.argv[2:] == ["prune"]:
        dropping(store)
    while True:
        if len(keyring.numbers) == 1:
            rekey.begin(store, keyring)
        work = rekey.Pass(store, keyring)
        while work.step():
            height = store.height() + 1
            store.commit(block(height))
            print("block", height, flush=True)
        rekey.end(store, keyring)


if __name__ == "__main__":
    main()
