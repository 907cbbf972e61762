"""Whole tables, row by row, for snapshots and checks: of a store that nobody writes to meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

from provnode.storage.store import HeadRow, StateRow, Store, UserRow, VersionRow


def versions(store: Store) -> Iterator[VersionRow]:
    """All versions of all objects, by id (in the order of its UTF-8 bytes) and version."""
    for row in store.scan(
        "SELECT object_id, version, snapshot, submitted, writers, height FROM objects"
        " ORDER BY object_id, version"
    ):
        yield store.read_version(row)


def version_keys(store: Store) -> Iterator[tuple[str, int]]:
    """Ids and versions, in the same order, unopened."""
    yield from store.scan("SELECT object_id, version FROM objects ORDER BY object_id, version")


def heads(store: Store) -> Iterator[HeadRow]:
    """All objects, by id."""
    for row in store.scan(
        "SELECT object_id, type, organisation, latest, deleted FROM heads ORDER BY object_id"
    ):
        yield HeadRow(row[0], row[1], row[2], row[3], bool(row[4]))


def users(store: Store) -> Iterator[UserRow]:
    """All registered users, by id."""
    for row in store.scan("SELECT id, organisation, public_key, height FROM users ORDER BY id"):
        yield UserRow(*row)


def states(store: Store) -> Iterator[StateRow]:
    """All other state, by kind and id."""
    for row in store.scan("SELECT kind, id, value FROM state ORDER BY kind, id"):
        yield StateRow(*row)


def transactions(store: Store) -> Iterator[tuple[bytes, int, int]]:
    """The index of transactions: id, height, position."""
    yield from store.scan("SELECT txid, height, position FROM transactions")


def heights(store: Store) -> Iterator[int]:
    """The heights of the blocks that are kept, ascending."""
    for (height,) in store.scan("SELECT height FROM blocks ORDER BY height"):
        yield height


def nodes(store: Store) -> Iterator[tuple[bytes, bytes]]:
    """The nodes of the state tree by their places."""
    yield from store.scan("SELECT place, node FROM nodes")
