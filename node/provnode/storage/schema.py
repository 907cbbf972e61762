"""Tables of the block store.

Rows of `objects` are the snapshots that hold now; what an overwrite replaced stays in the block that carried
it. `nodes` are the nodes of the latest state tree only: proofs are made at the latest height.
"""

from __future__ import annotations

# "prov" in ASCII: lets `file` and SQLite tools tell whose database this is
APPLICATION_ID = 0x70726F76
FORMAT = 1

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
    txid BLOB NOT NULL,
    height INTEGER NOT NULL,
    UNIQUE (object_id, version)
);
CREATE TABLE users (
    id TEXT PRIMARY KEY,
    organisation TEXT NOT NULL,
    public_key BLOB NOT NULL,
    height INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE nodes (hash BLOB PRIMARY KEY, node BLOB NOT NULL) WITHOUT ROWID;
"""
