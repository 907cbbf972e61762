"""Each figure that operators watch is in the page, as the node's status has it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime

from provnode.ops.metrics import render
from provnode.ops.status import PeerStatus, Status
from provnode.ops.timing import Histogram

STATUS = Status(
    name="v1",
    organisation="zjex",
    network='a "network"',
    chain_id="zhejiang\\1",
    version="0.1.0",
    genesis_hash=bytes(32),
    validator=True,
    height=41,
    oldest_height=7,
    block_id=bytes(32),
    block_time_ms=1_700_000_000_500,
    state_root=bytes(32),
    round=3,
    step="prevote",
    syncing=True,
    peers=(PeerStatus("v2", "zjfin", 40), PeerStatus("v3", "zjdata", 41), PeerStatus("a1", "zjfin", 9)),
    deciding=("zjcsd", "zjdata", "zjfin"),
    mempool_count=12,
    mempool_bytes=3456,
    verify_queue=5,
    store_bytes=7890,
    evidence_pending=2,
    evidence_committed={"zjfin": 1, "zjdata": 4},
    rekey=(10, 30),
    certificate_expires=datetime(2026, 3, 1, tzinfo=UTC),
    problem=None,
)
_SAMPLE = re.compile(r"(\w+)(\{.*\})? (\S+)")


def page(status: Status) -> dict[str, float]:
    """The samples by name with labels; each is announced once, before it comes."""
    took = Histogram()
    took.add(0.03)
    took.add(20.0)
    found: dict[str, float] = {}
    announced: list[str] = []
    for line in render(status, {"prevote": took}, {("block", 0): 6}, {"expired": 8}).splitlines():
        if line.startswith("# TYPE "):
            announced.append(line.split()[2])
        elif not line.startswith("#"):
            sample = _SAMPLE.fullmatch(line)
            assert sample is not None, line
            name, labels, value = sample.groups()
            assert announced[-1] in (name, name.rpartition("_")[0]), line
            found[name + (labels or "")] = float(value)
    assert len(announced) == len(set(announced))
    return found


def test_what_the_status_says_is_in_the_page() -> None:
    wanted = {
        'provnode_info{version="0.1.0",network="a \\"network\\"",chain_id="zhejiang\\\\1"}': 1,
        "provnode_height": 41,
        "provnode_oldest_height": 7,
        "provnode_round": 3,
        "provnode_block_time_seconds": 1_700_000_000.5,
        "provnode_syncing": 1,
        "provnode_validator": 1,
        "provnode_peers": 3,
        'provnode_peers_by_organisation{organisation="zjcsd"}': 0,
        'provnode_peers_by_organisation{organisation="zjdata"}': 1,
        'provnode_peers_by_organisation{organisation="zjfin"}': 2,
        "provnode_mempool_transactions": 12,
        "provnode_mempool_bytes": 3456,
        "provnode_verify_queue": 5,
        "provnode_store_bytes": 7890,
        "provnode_evidence_pending": 2,
        'provnode_evidence_total{organisation="zjfin"}': 1,
        'provnode_evidence_total{organisation="zjdata"}': 4,
        "provnode_rekey_running": 1,
        "provnode_rekey_rows": 30,
        "provnode_rekey_rows_done": 10,
        "provnode_certificate_expires_seconds": datetime(2026, 3, 1, tzinfo=UTC).timestamp(),
        "provnode_problem": 0,
        'provnode_step_seconds_bucket{step="prevote",le="0.025"}': 0,
        'provnode_step_seconds_bucket{step="prevote",le="0.05"}': 1,
        'provnode_step_seconds_bucket{step="prevote",le="+Inf"}': 2,
        'provnode_step_seconds_sum{step="prevote"}': 20.03,
        'provnode_step_seconds_count{step="prevote"}': 2,
        'provnode_rpc_requests_total{method="block",code="0"}': 6,
        'provnode_rpc_refused_total{reason="expired"}': 8,
    }
    found = page(STATUS)
    assert {name: found.get(name) for name in wanted} == wanted


def test_what_changes_in_the_status_changes_in_the_page() -> None:
    found = page(
        replace(STATUS, validator=False, syncing=False, peers=(), rekey=None, problem="disk_full: no space")
    )
    assert found["provnode_validator"] == found["provnode_syncing"] == found["provnode_peers"] == 0
    assert found["provnode_rekey_running"] == found["provnode_rekey_rows"] == 0
    assert found["provnode_problem"] == 1
    by_organisation = [value for name, value in found.items() if "_by_organisation" in name]
    assert by_organisation == [0, 0, 0]
