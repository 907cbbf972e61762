"""Changes of the membership in blocks: who may make them, when they are in force, who signs what."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from provnode import wire
from provnode.core.types import Certificate, Validator, ValidatorSet
from provnode.ledger.app import Ledger
from provnode.ledger.changes import approve
from provnode.ledger.errors import BlockError, TxCode, TxError
from provnode.ledger.membership import Action
from provnode.ledger.transactions import KIND_REGISTER_USER, registration_body
from provnode.storage.store import Store
from tests.ledger.ledgerkit import item
from tests.ledger.memberkit import PLACE, Council

CHAIN = Council()


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return CHAIN.ledger(tmp_path / "s.db")


def names(ledger: Ledger) -> list[str]:
    return [one.name for one in ledger.validators]


def refusal(ledger: Ledger, raw: bytes) -> TxError:
    """Why it is refused, by the pool's check and by a block alike."""
    with pytest.raises(TxError) as error:
        ledger.check_tx(raw)
    assert ledger.validate_block(ledger.build_block(1, "v1", [raw]), 2**50).txs == ()
    return error.value


def altered(raw: bytes, last_commit: Certificate | None = None, **header: Any) -> bytes:  # noqa: ANN401 - fields of many types
    """A block with other words in its header, and another certificate of its parent."""
    block = wire.decode_block(raw)
    return wire.encode_block(
        replace(block, header=replace(block.header, **header), last_commit=last_commit or block.last_commit)
    )


def test_a_change_is_in_force_at_its_height_and_the_headers_say_so(ledger: Ledger) -> None:
    new = CHAIN.new("v5")
    CHAIN.grow(ledger, CHAIN.raw(CHAIN.change(ledger, Action.ADD, new, at=4)))
    old = ledger.validators
    sets = {}
    for _ in range(4):
        sets[ledger.height + 1] = names(ledger)
        CHAIN.grow(ledger)
    four = ["v1", "v2", "v3", "v4"]
    assert sets == {2: four, 3: four, 4: [*four, "v5"], 5: [*four, "v5"]}
    assert [len(ledger.validators_at(height)) for height in range(1, 7)] == [4, 4, 4, 5, 5, 5]
    headers = {n: wire.decode_block(ledger.stored_block(n)[0]).header for n in range(1, 6)}
    before, after = wire.validators_hash(old), wire.validators_hash(ledger.validators)
    assert [headers[n].validators_hash for n in range(1, 6)] == [before] * 3 + [after] * 2
    assert [headers[n].next_validators_hash for n in range(1, 6)] == [before] * 2 + [after] * 3
    (handover,) = ledger.store.handovers(0, 99, 99)
    assert (handover.height, handover.header) == (3, wire.encode_header(headers[3]))
    assert handover.certificate == wire.encode_certificate(ledger.stored_block(3)[1])
    assert wire.decode_validators(handover.validators) == ledger.validators
    assert ledger.membership.places == {"v5": ("zjex", PLACE)}
    state: Any = ledger.consensus_state(4)
    assert [one["name"] for one in state["validators"]] == [*four, "v5"]


def test_every_action_in_turn_and_the_chain_goes_on_after_a_restart(ledger: Ledger, tmp_path: Path) -> None:
    CHAIN.enact(ledger, Action.ADD, CHAIN.new("v5", "zjfin"))
    CHAIN.enact(ledger, Action.SUSPEND, "v1")
    assert names(ledger) == ["v2", "v3", "v4", "v5"]
    CHAIN.enact(ledger, Action.RESUME, "v1")
    rekeyed = CHAIN.new("v2", "zjfin")
    CHAIN.enact(ledger, Action.REKEY, rekeyed)
    assert ledger.validators.get("v2") == rekeyed
    CHAIN.grow(ledger, CHAIN.raw(CHAIN.change(ledger, Action.REMOVE, "v3")))  # not in force yet
    membership, height, root = ledger.membership, ledger.height, ledger.state_root
    ledger.store.close()
    again = CHAIN.ledger(tmp_path / "s.db")
    assert (again.membership, again.height, again.state_root) == (membership, height, root)
    CHAIN.grow(again)
    assert names(again) == ["v1", "v2", "v4", "v5"]
    CHAIN.grow(again, CHAIN.tx(item()))
    follower = Ledger(Store(tmp_path / "f.db"), CHAIN.genesis, CHAIN.provider)
    for number in range(1, again.height + 1):
        follower.commit(*again.stored_block(number))
    assert follower.state_root == again.state_root and follower.membership == again.membership
    assert [follower.validators_at(n) for n in range(1, 12)] == [again.validators_at(n) for n in range(1, 12)]


def test_only_the_set_of_a_height_can_certify_it(ledger: Ledger) -> None:
    old = ledger.validators
    CHAIN.enact(ledger, Action.ADD, CHAIN.new("v5"))
    CHAIN.enact(ledger, Action.REMOVE, "v1")
    raw = ledger.build_block(ledger.last_time_ms + 1, "v2", [])
    with pytest.raises(BlockError, match="'v1' is no validator"):
        ledger.commit(raw, CHAIN.certify(raw, old))
    by_old = altered(raw, proposer="v1")
    with pytest.raises(BlockError, match="'v1' is no validator"):
        ledger.validate_block(by_old, 2**50)
    CHAIN.grow(ledger)


def test_a_parent_is_certified_by_its_own_set_though_another_decides_now(ledger: Ledger) -> None:
    CHAIN.enact(ledger, Action.ADD, CHAIN.new("v5"))
    decided, deciding = ledger.validators_at(ledger.height), ledger.validators
    assert (len(decided), len(deciding)) == (4, 5)
    parent = ledger.stored_block(ledger.height)[0]
    raw = ledger.build_block(ledger.last_time_ms + 1, "v2", [])

    def with_certificate(signers: Iterable[Validator]) -> bytes:
        certificate = CHAIN.certify(parent, ValidatorSet(tuple(signers)))
        return altered(raw, last_commit=certificate, last_commit_hash=wire.certificate_hash(certificate))

    # another certificate than the one that this node holds
    three = [one for one in decided if one.name != "v1"]
    assert ledger.validate_block(with_certificate(three), 2**50).last_commit is not None
    with pytest.raises(BlockError, match="'v5' is no validator"):
        ledger.validate_block(with_certificate(deciding), 2**50)


def test_a_header_that_names_another_next_set_is_refused(ledger: Ledger) -> None:
    CHAIN.grow(ledger, CHAIN.raw(CHAIN.change(ledger, Action.ADD, CHAIN.new("v5"))))
    raw = ledger.build_block(ledger.last_time_ms + 1, "v1", [])
    old, new = wire.validators_hash(ledger.validators), wire.decode_block(raw).header.next_validators_hash
    assert new != old
    wrong: tuple[tuple[str, Any], ...] = (("next_validators_hash", old), ("validators_hash", new))
    for key, value in wrong:
        with pytest.raises(BlockError, match=f"^{key}: found"):
            ledger.validate_block(altered(raw, **{key: value}), 2**50)


# --- approvals


def test_more_than_two_thirds_of_the_organisations_must_approve(ledger: Ledger) -> None:
    change = CHAIN.change(ledger, Action.ADD, CHAIN.new("v5"))
    error = refusal(ledger, CHAIN.raw(change, ("zjex", "zjcsd")))
    assert error.code is TxCode.TOO_FEW_APPROVALS
    assert error.message.startswith("approvals: found 2 of 4 organisations, allowed: 3 and more; missing: zj")
    assert refusal(ledger, CHAIN.raw(change, ())).code is TxCode.TOO_FEW_APPROVALS
    CHAIN.grow(ledger, CHAIN.raw(change, ("zjex", "zjcsd", "zjfin")))


def test_a_suspended_validators_organisation_has_no_say(ledger: Ledger) -> None:
    CHAIN.enact(ledger, Action.ADD, CHAIN.new("v5"))
    CHAIN.enact(ledger, Action.SUSPEND, "v4")  # zjcsd has no other
    change = CHAIN.change(ledger, Action.RESUME, "v4")
    error = refusal(ledger, CHAIN.raw(change, ("zjex", "zjfin", "zjcsd")))
    assert "found 2 of 3 organisations, allowed: 3" in error.message and "missing: zjdata" in error.message
    CHAIN.grow(ledger, CHAIN.raw(change, ("zjex", "zjfin", "zjdata")))


def test_an_approval_is_for_one_change_of_one_chain_by_its_own_signer(ledger: Ledger) -> None:
    change = CHAIN.change(ledger, Action.ADD, CHAIN.new("v5"))
    good = CHAIN.body(change)
    other = CHAIN.body(CHAIN.change(ledger, Action.ADD, CHAIN.new("v5")))
    elsewhere = replace(CHAIN.genesis, hash=bytes(32))
    foreign = approve(CHAIN.provider, CHAIN.signers["m1@zjfin"], "m1@zjfin", elsewhere, change)
    second = approve(CHAIN.provider, CHAIN.signers["a2@zjex"], "a2@zjex", CHAIN.genesis, change)

    def spoilt(place: int, **changes: object) -> dict[str, Any]:
        bad = copy.deepcopy(good)
        bad["approvals"][place] |= changes
        return bad

    for body, code in (
        (spoilt(0, signature=good["approvals"][1]["signature"]), TxCode.BAD_APPROVAL),
        (spoilt(3, signature=other["approvals"][3]["signature"]), TxCode.BAD_APPROVAL),
        (spoilt(3, **foreign), TxCode.BAD_APPROVAL),
        (spoilt(1, **(second | {"organisation": "zjdata"})), TxCode.BAD_APPROVAL),
        (spoilt(1, signer="a9@zjdata"), TxCode.BAD_APPROVAL),
        (spoilt(1, signer="a1@zjex"), TxCode.BAD_APPROVAL),
        (spoilt(1, organisation="zjex", signer="a1@zjex"), TxCode.BAD_APPROVAL),
        ({**good, "approvals": good["approvals"][::-1]}, TxCode.BAD_APPROVAL),
        ({**good, "approvals": good["approvals"] + good["approvals"][-1:]}, TxCode.BAD_APPROVAL),
        ({**good, "approvals": good["approvals"] * 100}, TxCode.MALFORMED),
        ({**good, "extra": 1}, TxCode.MALFORMED),
        ({"change": good["change"]}, TxCode.MALFORMED),
    ):
        raw = CHAIN.tx(body, kind="membership")
        assert refusal(ledger, raw).code is code
    ledger.check_tx(CHAIN.tx(good, kind="membership"))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("name", "V5"),
        ("name", ""),
        ("organisation", "zj ex"),
        ("public_key", "04"),
        ("public_key", "02" + "00" * 64),
        ("power", 0),
        ("power", True),
        ("power", 1_000_001),
        ("address", "example.org"),
        ("address", "010.0.0.1"),
        ("address", "2001:DB8::1"),
        ("port", 0),
        ("port", 65_536),
        ("port", None),
        ("extra", 1),
    ],
)
def test_a_validator_is_spelled_one_way(ledger: Ledger, key: str, value: object) -> None:
    body = CHAIN.body(CHAIN.change(ledger, Action.ADD, CHAIN.new("v5")))
    body["change"]["validator"][key] = value
    assert refusal(ledger, CHAIN.tx(body, kind="membership")).code is TxCode.MALFORMED


def test_address_and_port_go_together(ledger: Ledger) -> None:
    for key in ("address", "port"):
        body = CHAIN.body(CHAIN.change(ledger, Action.ADD, CHAIN.new("v5")))
        del body["change"]["validator"][key]
        assert refusal(ledger, CHAIN.tx(body, kind="membership")).code is TxCode.MALFORMED


def test_only_a_founding_signer_submits_a_change(ledger: Ledger) -> None:
    CHAIN.signers["u1@zjex"] = key = CHAIN.provider.generate()
    body = registration_body(CHAIN.provider, key, "u1@zjex", CHAIN.genesis.hash)
    CHAIN.grow(ledger, CHAIN.tx(body, kind=KIND_REGISTER_USER))
    change = CHAIN.body(CHAIN.change(ledger, Action.ADD, CHAIN.new("v5")))
    assert refusal(ledger, CHAIN.tx(change, "u1@zjex", "membership")).code is TxCode.NOT_PERMITTED
    CHAIN.grow(ledger, CHAIN.tx(change, "m2@zjdata", "membership"))
    change = CHAIN.body(CHAIN.change(ledger, Action.ADD, CHAIN.new("v6")))
    change["approvals"][1]["signer"] = "u1@zjex"
    assert refusal(ledger, CHAIN.tx(change, kind="membership")).code is TxCode.BAD_APPROVAL


def test_an_approval_is_not_used_twice(ledger: Ledger) -> None:
    raw = CHAIN.raw(CHAIN.change(ledger, Action.ADD, CHAIN.new("v5"), at=50))
    # the same change under another submitter is another transaction
    again = CHAIN.tx(CHAIN.body(CHAIN.change(ledger, Action.SUSPEND, "v1", at=60)), kind="membership")
    CHAIN.grow(ledger, raw)
    assert refusal(ledger, raw).code is TxCode.DUPLICATE
    assert refusal(ledger, again).code is TxCode.STALE_SEQUENCE


def test_changes_of_one_block_are_judged_one_after_the_other(ledger: Ledger) -> None:
    raws = []
    for number in (1, 2, 3):
        change = CHAIN.change(ledger, Action.ADD, CHAIN.new(f"v{4 + number}", "zjdata"), sequence=number)
        raws.append(CHAIN.raw(change))
    # out of order: those whose turn has not come wait in the pool, and are left out of the block
    with pytest.raises(TxError) as error:
        ledger.check_tx(raws[1])
    assert error.value.code is TxCode.SEQUENCE_AHEAD and error.value.may_come_true
    CHAIN.grow(ledger, *raws)
    CHAIN.grow(ledger)
    assert names(ledger) == [f"v{n}" for n in range(1, 8)]


def test_the_block_still_has_room_when_more_validators_sign(tmp_path: Path) -> None:
    chain = Council(max_block_bytes=8192, max_tx_bytes=5200)
    assert chain.genesis.most_validators == 6
    ledger = chain.ledger(tmp_path / "s.db")
    for n in (5, 6):
        chain.enact(ledger, Action.ADD, chain.new(f"v{n}", ("zjfin", "zjdata")[n % 2]))
    error_tx = chain.raw(chain.change(ledger, Action.ADD, chain.new("v7", "zjcsd")))
    assert refusal(ledger, error_tx).code is TxCode.TOO_MANY_VALIDATORS
    chain.grow(ledger)
    raws = [chain.tx(item(f"o-{n}", body={"title": "x" * 200})) for n in range(40)]
    raw = ledger.build_block(ledger.last_time_ms + 1, "v1", raws)
    # what six signatures take at most is left free, and no more than another transaction beside it
    longest = 8192 - 6 * (300 - 72) - 6 * 8
    assert longest - 2 * len(raws[0]) < len(raw) <= longest
    ledger.commit(raw, chain.certify(raw, ledger.validators))
