"""The project's example objects go through a ledger, one after another, and every version is provable."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from provnode.ledger.app import Ledger
from provnode.ledger.mempool import Mempool
from provnode.light import Trust, verify_proof
from tests.ledger.ledgerkit import Chain

EXAMPLES = Path(__file__).parents[3] / "examples"
OBJECTS: list[dict[str, Any]] = [
    json.loads(line) for line in (EXAMPLES / "objects.ndjson").read_text(encoding="utf-8").splitlines()
]
SCHEMAS = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in (EXAMPLES / "schemas").iterdir()}


def check_outcome(chain: Chain, ledger: Ledger) -> None:
    """What must hold after all examples, however they were cut into blocks."""
    expected: dict[str, int] = {}
    for item in OBJECTS:
        content = item["header"]["content"]
        expected[content["object_id"]] = max(expected.get(content["object_id"], 0), content["version"])
    for object_id, latest in expected.items():
        assert ledger.object(object_id)["version"] == latest
        for version in range(latest + 1):
            proven = verify_proof(
                ledger.prove(object_id, version),
                Trust.of_genesis(chain.document, chain.provider),
                chain.provider,
            )
            assert proven.object == ledger.object(object_id, version)["object"]
            if not ledger.object(object_id)["deleted"] or version < latest:
                chain.genesis.schemas.check(proven.object["header"]["content"]["type"], proven.object["body"])


@pytest.mark.parametrize("per_block", [1, 50, 230])
def test_all_apply_in_order(tmp_path: Path, per_block: int) -> None:
    chain = Chain(schemas=SCHEMAS)
    ledger = chain.ledger(tmp_path / "s.db")
    for start in range(0, len(OBJECTS), per_block):
        chain.extend(ledger, *OBJECTS[start : start + per_block])
    check_outcome(chain, ledger)


def test_an_earlier_correction_shows_in_the_later_versions(tmp_path: Path) -> None:
    chain = Chain(schemas=SCHEMAS)
    ledger = chain.ledger(tmp_path / "s.db")
    chain.extend(ledger, *OBJECTS)
    corrected = [
        item
        for item in OBJECTS
        if item["header"]["content"]["operation"] == "overwrite"
        and item["header"]["content"]["type"] == "enterprise_registration"
    ]
    assert corrected
    for item in corrected:
        newest: Any = ledger.object(item["header"]["content"]["object_id"])
        assert newest["version"] == 1
        capital = item["body"]["registered_capital_fen"]
        assert newest["object"]["body"]["registered_capital_fen"] == capital


def test_all_pass_the_mempool_at_once_in_any_order(tmp_path: Path) -> None:
    chain = Chain(schemas=SCHEMAS)
    ledger = chain.ledger(tmp_path / "s.db")
    pool = Mempool(ledger, patience_ms=10**9)
    # creations last: everything else has to wait for them to come true
    ordered = sorted(OBJECTS, key=lambda o: o["header"]["content"]["operation"] == "create")
    for verdict in pool.add_many([chain.tx(body) for body in ordered]):
        assert isinstance(verdict, bytes)
    for _ in range(30):
        raw = ledger.build_block(ledger.last_time_ms + 1000, "v1", pool.reap(10**7))
        pool.remove(ledger.commit(raw, chain.certificate(raw)).txids)
        if not pool:
            break
    assert len(pool) == 0
