"""A node that joins by a snapshot has the same state, and nothing false gets in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import pytest
from provnode import wire
from provnode.crypto.hashing import sm3
from provnode.ledger import snapshot
from provnode.ledger.app import Ledger
from provnode.ledger.errors import NotFoundError
from provnode.ledger.membership import Action
from provnode.ledger.snapshot import SnapshotError, check_manifest, export, rebuild
from provnode.ledger.transactions import KIND_REGISTER_USER, registration_body
from provnode.storage import scan
from provnode.storage.errors import StoreError
from provnode.wire.snapshots import (
    BlockRecord,
    Manifest,
    SnapshotContent,
    StateRecord,
    UserRecord,
    VersionRecord,
    decode_chunk,
    decode_manifest,
    encode_chunk,
    encode_manifest,
    snapshot_sign_bytes,
)
from tests.ledger.ledgerkit import item
from tests.ledger.memberkit import Council

CHAIN = Council()


@dataclass
class Made:
    """A snapshot as it would be sent."""

    manifest: Manifest
    chunks: list[bytes]


def make(ledger: Ledger, signer: str = "v1") -> Made:
    chunks: list[bytes] = []

    def keep(index: int, raw: bytes) -> None:
        assert index == len(chunks)
        chunks.append(raw)

    frozen = ledger.store.frozen()
    try:
        sign = lambda message: (signer, CHAIN.provider.sign(CHAIN.keys[signer], message))  # noqa: E731
        return Made(export(frozen, CHAIN.genesis, sign, keep), chunks)
    finally:
        frozen.close()


def grow(ledger: Ledger) -> None:
    """Every kind of state: versions, overwrites, deletes, a user, a change of the validators."""
    CHAIN.grow(ledger, *(CHAIN.tx(item(f"o-{n}", body={"title": f"第{n}号"})) for n in range(30)))
    CHAIN.grow(ledger, CHAIN.raw(CHAIN.change(ledger, Action.ADD, CHAIN.new("v5"))))
    CHAIN.grow(
        ledger,
        CHAIN.tx(item("o-1", 1, "update", {"amount": 1})),
        CHAIN.tx(item("o-2", 1, "delete", {})),
        CHAIN.tx(item("o-3", 0, "overwrite", {"title": "新"})),
    )
    key = CHAIN.provider.generate()
    CHAIN.grow(
        ledger,
        CHAIN.tx(
            registration_body(CHAIN.provider, key, "u1@zjex", CHAIN.genesis.hash), kind=KIND_REGISTER_USER
        ),
    )


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setattr(snapshot, "CHUNK_BYTES", 2000)
    found = CHAIN.ledger(tmp_path / "s.db")
    grow(found)
    return found


def join(made: Made, path: Path) -> Ledger:
    rebuild(made.manifest, made.chunks, CHAIN.genesis, CHAIN.provider, path)
    return CHAIN.ledger(path)


def test_a_joined_node_is_like_the_others(ledger: Ledger, tmp_path: Path) -> None:
    made = make(ledger)
    assert len(made.chunks) > 5
    joined = join(made, tmp_path / "j.db")
    assert (joined.height, joined.last_block_id) == (ledger.height, ledger.last_block_id)
    assert (joined.membership, joined.validators) == (ledger.membership, ledger.validators)
    assert list(scan.versions(joined.store)) == list(scan.versions(ledger.store))
    assert list(scan.users(joined.store)) == list(scan.users(ledger.store))
    for number in range(30):
        assert joined.store.head(f"o-{number}") == ledger.store.head(f"o-{number}")
        assert joined.prove(f"o-{number}") == ledger.prove(f"o-{number}")
    # and goes on like them, replays included
    replay = CHAIN.tx(item("o-3", 0, "overwrite", {"title": "新"}))
    raw = ledger.build_block(0, "v1", [replay, CHAIN.tx(item("later"))])
    assert wire.decode_block(raw).header.tx_count == 1
    certificate = CHAIN.certify(raw, ledger.validators)
    for one in (ledger, joined):
        one.commit(raw, certificate)
    assert joined.state_root == ledger.state_root
    assert make(joined).manifest.content == make(ledger).manifest.content
    assert not list(tmp_path.glob("*.new*"))


def test_what_a_joined_node_does_not_keep_is_said(ledger: Ledger, tmp_path: Path) -> None:
    joined = join(make(ledger), tmp_path / "j.db")
    with pytest.raises(NotFoundError, match=f"block 1 is not kept here, the oldest is {ledger.height}"):
        joined.block(1)
    with pytest.raises(NotFoundError, match="no block 99"):
        joined.block(99)


def test_each_height_around_a_change_of_the_validators_is_joined(tmp_path: Path) -> None:
    ledger = CHAIN.ledger(tmp_path / "s.db")
    CHAIN.grow(ledger, CHAIN.raw(CHAIN.change(ledger, Action.ADD, CHAIN.new("v5"))))
    for height in range(1, 5):
        assert ledger.height == height
        made = make(ledger)
        joined = join(made, tmp_path / f"{height}.db")
        assert joined.validators_at(height + 1) == joined.validators == ledger.validators
        if made.manifest.handovers:
            bare = msgspec.structs.replace(made.manifest, handovers=made.manifest.handovers[:-1])
            with pytest.raises(SnapshotError, match=r"handovers|other validators"):
                check_manifest(bare, CHAIN.genesis, CHAIN.provider)
        CHAIN.grow(ledger)
        raw = ledger.store.block(ledger.height)
        assert raw is not None
        joined.commit(raw.raw, ledger.stored_block(ledger.height)[1])
        assert joined.state_root == ledger.state_root
    assert len(ledger.validators) == 5


def test_every_node_cuts_the_same_snapshot(ledger: Ledger) -> None:
    first, second = make(ledger), make(ledger, "v2")
    assert (first.chunks, first.manifest.content) == (second.chunks, second.manifest.content)
    assert first.manifest.signer != second.manifest.signer


def test_a_snapshot_is_of_one_height_while_blocks_go_on(ledger: Ledger) -> None:
    frozen = ledger.store.frozen()
    height = ledger.height
    CHAIN.grow(ledger, CHAIN.tx(item("meanwhile")))
    assert (frozen.height(), frozen.head("meanwhile"), ledger.height) == (height, None, height + 1)
    frozen.close()


def signed(content: SnapshotContent, manifest: Manifest) -> Manifest:
    """By a validator that lies."""
    signature = CHAIN.provider.sign(CHAIN.keys[manifest.signer], snapshot_sign_bytes(content))
    return msgspec.structs.replace(manifest, content=content, signature=signature)


def forged(made: Made, change: Callable[[Any], Any]) -> Made:
    """Records altered; hashes and signature made to fit."""
    chunks = []
    for raw in made.chunks:
        records = [new for old in decode_chunk(raw) for new in change(old)]
        chunks.append(encode_chunk(records))
    hashes = tuple(map(sm3, chunks))
    content = msgspec.structs.replace(made.manifest.content, chunks=hashes)
    return Made(signed(content, made.manifest), chunks)


def alter(kind: type[msgspec.Struct], **fields: Any) -> Callable[[Any], list[Any]]:  # noqa: ANN401 - fields of many types
    return lambda old: [msgspec.structs.replace(old, **fields) if isinstance(old, kind) else old]


def first_only(kind: type, **fields: object) -> Callable[[Any], list[Any]]:
    seen: list[object] = []

    def change(old: Any) -> list[Any]:  # noqa: ANN401 - any record
        if not isinstance(old, kind) or seen:
            return [old]
        seen.append(old)
        return [msgspec.structs.replace(old, **fields)]  # type: ignore[type-var]  # a record is a Struct

    return change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (first_only(VersionRecord, submitted=b"{}"), "state_root"),
        (first_only(VersionRecord, height=7), "state_root"),
        (first_only(VersionRecord, writers=(bytes(32),)), "state_root"),
        (first_only(VersionRecord, organisation="zjfin"), "state_root"),
        (first_only(VersionRecord, deletes=True), "does not follow|state_root"),
        (first_only(VersionRecord, snapshot=b"{}"), "no snapshot"),
        (first_only(VersionRecord, version=1), "does not follow"),
        (first_only(VersionRecord, object_id="z"), "out of order"),
        (alter(UserRecord, public_key=bytes(65)), "state_root"),
        (alter(UserRecord, height=1), "state_root"),
        (alter(StateRecord, value=b"{}"), "state_root"),
        (alter(StateRecord, id="x"), "state_root"),
        (alter(BlockRecord, raw=b"x"), "block"),
        (lambda old: [] if isinstance(old, StateRecord) else [old], "records are missing"),
        (lambda old: [old] * 2 if isinstance(old, UserRecord) else [old], "out of order"),
        (lambda old: [old] * 2 if isinstance(old, BlockRecord) else [old], "second block"),
        (lambda old: [old, *([BlockRecord(b"x")] if isinstance(old, UserRecord) else [])], "second block"),
    ],
)
def test_false_records_are_refused_though_hashes_and_signature_fit(
    ledger: Ledger, tmp_path: Path, change: Callable[[Any], Any], message: str
) -> None:
    with pytest.raises(SnapshotError, match=message):
        join(forged(make(ledger), change), tmp_path / "j.db")
    assert not list(tmp_path.glob("j.db*"))


def test_missing_exchanged_and_foreign_chunks_are_refused(ledger: Ledger, tmp_path: Path) -> None:
    made = make(ledger)
    swapped = [made.chunks[0], made.chunks[2], made.chunks[1], *made.chunks[3:]]
    for chunks in (made.chunks[:-1], [], swapped, [*made.chunks, made.chunks[-1]]):
        with pytest.raises(SnapshotError):
            rebuild(made.manifest, chunks, CHAIN.genesis, CHAIN.provider, tmp_path / "j.db")
        assert not list(tmp_path.glob("j.db*"))


def test_a_header_is_believed_by_its_certificate_only(ledger: Ledger) -> None:
    manifest = make(ledger).manifest
    check_manifest(decode_manifest(encode_manifest(manifest)), CHAIN.genesis, CHAIN.provider)
    header, certificate = wire.decode_header(manifest.header), wire.decode_certificate(manifest.certificate)
    few = msgspec.structs.replace(
        manifest,
        certificate=wire.encode_certificate(
            type(certificate)(
                certificate.height, certificate.round, certificate.block_id, certificate.signatures[:2]
            )
        ),
    )
    root = type(header)(**{**vars(header), "state_root": bytes(32)})
    content = manifest.content
    cases = {
        "power 2 signed": few,
        "certificate: not for": msgspec.structs.replace(manifest, header=wire.encode_header(root)),
        "state_root": signed(msgspec.structs.replace(content, state_root=bytes(32)), manifest),
        "height": signed(msgspec.structs.replace(content, height=content.height + 1), manifest),
        "block_id": signed(msgspec.structs.replace(content, block_id=bytes(32)), manifest),
        "genesis": signed(msgspec.structs.replace(content, genesis_hash=bytes(32)), manifest),
        "other validators": msgspec.structs.replace(manifest, handovers=()),
        "height 2 after 2|handovers": msgspec.structs.replace(manifest, handovers=manifest.handovers * 2),
        "no validator": msgspec.structs.replace(manifest, signer="v9"),
        "signature": msgspec.structs.replace(manifest, signature=b"x" * 70),
    }
    for message, bad in cases.items():
        with pytest.raises(SnapshotError, match=message):
            check_manifest(bad, CHAIN.genesis, CHAIN.provider)


def test_a_store_that_is_there_is_left_alone(ledger: Ledger, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is there already"):
        join(make(ledger), tmp_path / "s.db")
    assert CHAIN.ledger(tmp_path / "s.db").height == ledger.height
