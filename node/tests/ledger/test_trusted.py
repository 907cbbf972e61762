"""A trusted point: chains that come past it are taken, others are refused, however well they are signed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from provnode import wire
from provnode.core.types import Certificate, Validator, ValidatorSet
from provnode.ledger.app import Ledger
from provnode.ledger.errors import GenesisError
from provnode.ledger.membership import Action
from provnode.ledger.snapshot import SnapshotError, check_manifest
from provnode.ledger.trusted import TrustedPoint
from provnode.light import Trust, follow
from tests.ledger.ledgerkit import item
from tests.ledger.test_snapshot import CHAIN, make


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    """v5 joins, v4 is suspended."""
    found = CHAIN.ledger(tmp_path / "s.db")
    CHAIN.grow(found, CHAIN.tx(item("o-1")))
    CHAIN.enact(found, Action.ADD, CHAIN.new("v5"))
    CHAIN.enact(found, Action.SUSPEND, "v4")
    CHAIN.grow(found, CHAIN.tx(item("o-2")))
    return found


def point(ledger: Ledger, height: int) -> TrustedPoint:
    block = ledger.store.block(height)
    block_id = CHAIN.genesis.hash if block is None else block.block_id
    return TrustedPoint(height, block_id, wire.validators_hash(ledger.validators_at(height + 1)))


def test_each_point_of_the_chain_is_come_past(ledger: Ledger) -> None:
    manifest = make(ledger).manifest
    assert len(manifest.handovers) == 2
    for height in range(ledger.height + 1):
        found = point(ledger, height)
        check_manifest(manifest, CHAIN.genesis, CHAIN.provider, found)
        found.check_store(ledger)
    ahead = TrustedPoint(ledger.height + 1, bytes(32), bytes(32))
    ahead.check_store(ledger)  # it has not come there yet
    with pytest.raises(SnapshotError, match=f"height: found {ledger.height}, the trusted point is at"):
        check_manifest(manifest, CHAIN.genesis, CHAIN.provider, ahead)


def test_it_is_what_the_light_client_writes_down(ledger: Ledger) -> None:
    handovers = ledger.handovers(1, ledger.height)["handovers"]
    trust = follow(Trust.of_genesis(CHAIN.document, CHAIN.provider), handovers, CHAIN.provider)
    members = tuple(Validator(m.name, m.organisation, m.public_key, m.power) for m in trust.validators)
    made = TrustedPoint(trust.height, trust.block_id, wire.validators_hash(ValidatorSet(members)))
    assert made == point(ledger, trust.height)


def test_a_point_that_contradicts_is_told(ledger: Ledger) -> None:
    manifest = make(ledger).manifest
    handover = ledger.store.handovers(0, 99, 1)[0].height
    changes: list[tuple[int, dict[str, Any]]] = [
        (handover, {"block_id": bytes(32)}),
        (ledger.height, {"block_id": bytes(32)}),
        (1, {"validators_hash": bytes(32)}),
        (handover, {"validators_hash": point(ledger, handover - 1).validators_hash}),
        (handover - 1, {"validators_hash": point(ledger, handover).validators_hash}),
    ]
    for height, change in changes:
        wrong = replace(point(ledger, height), **change)
        with pytest.raises(SnapshotError, match=f"than that of the trusted point at height {height}"):
            check_manifest(manifest, CHAIN.genesis, CHAIN.provider, wrong)
        with pytest.raises(GenesisError, match=f"than that of the trusted point at height {height}"):
            wrong.check_store(ledger)
    with pytest.raises(GenesisError, match="found block"):
        replace(point(ledger, 2), block_id=bytes(32)).check_store(ledger)


def test_a_history_by_stolen_keys_of_the_founders_is_refused(ledger: Ledger, tmp_path: Path) -> None:
    forged = CHAIN.ledger(tmp_path / "forged.db")
    while forged.height < ledger.height + 2:
        CHAIN.grow(forged, CHAIN.tx(item(f"other-{forged.height}")))
    manifest = make(forged).manifest
    check_manifest(manifest, CHAIN.genesis, CHAIN.provider)  # from the genesis alone it holds
    trusted = point(ledger, ledger.height - 1)
    with pytest.raises(SnapshotError, match="another chain than that of the trusted point"):
        check_manifest(manifest, CHAIN.genesis, CHAIN.provider, trusted)
    with pytest.raises(GenesisError, match="another chain than that of the trusted point"):
        trusted.check_store(forged)
    row = forged.stored_block(trusted.height)
    assert trusted.contradicts(row[1])
    assert not trusted.contradicts(ledger.stored_block(trusted.height)[1])
    assert not trusted.contradicts(Certificate(trusted.height + 1, 0, bytes(32), ()))
