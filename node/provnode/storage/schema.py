"""Tables of the block store.

Rows of `objects` are the snapshots that hold now; what an overwrite replaced stays in the block that carried
it. `state` is the rest of what blocks are executed on: membership and revocation lists, by kind and id.
`handovers` has what a light client needs at each height whose validators hand over to others, and stays when
blocks are pruned. `nodes` are those of the latest state tree only, by their places (`ledger.tree`): proofs
are made at the latest height.
"""

from __future__ import annotations

# "prov" in ASCII: lets `file` and SQLite tools tell whose database this is
APPLICATION_ID = 0x70726F76
FORMAT = 2

TABLES = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE blocks (
    height INTEGER PRIMARY KEY,
    block_id BLOB NOT NULL UNIQUE,
    raw BLOB NOT NULL,
    certificate BLOB NOT NULL
);
CREATE TABLE transactions (
    txid BLOB PRIMARY KEY,
    height INTEGER NOT NULL,
    position INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE heads (
    object_id TEXT PRIMARY KEY,
    type TEXT NOT NULL,
    organisation TEXT NOT NULL,
    latest INTEGER NOT NULL,
    deleted INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE objects (
    object_id TEXT NOT NULL,
    version INTEGER NOT NULL,
    snapshot BLOB NOT NULL,
    submitted BLOB NOT NULL,
    writers BLOB NOT NULL,
    height INTEGER NOT NULL,
    UNIQUE (object_id, version)
);
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    organisation TEXT NOT NULL,
    public_key BLOB NOT NULL,
    height INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE state (
    kind TEXT NOT NULL,
    id TEXT NOT NULL,
    value BLOB NOT NULL,
    PRIMARY KEY (kind, id)
) WITHOUT ROWID;
CREATE TABLE handovers (
    height INTEGER PRIMARY KEY,
    header BLOB NOT NULL,
    certificate BLOB NOT NULL,
    validators BLOB NOT NULL
);
CREATE TABLE nodes (place BLOB PRIMARY KEY, node BLOB NOT NULL) WITHOUT ROWID;
"""
