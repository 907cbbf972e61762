"""Every target there is. Where to add one: beside those of the same room, in `targets_*.py`."""

from __future__ import annotations

from tests.fuzz import targets_crypto, targets_ledger, targets_rpc, targets_storage, targets_wire
from tests.fuzz.target import Target

TARGETS: dict[str, Target] = {
    target.name: target
    for room in (targets_wire, targets_ledger, targets_storage, targets_crypto, targets_rpc)
    for target in room.TARGETS
}
