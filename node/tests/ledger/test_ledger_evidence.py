"""Evidence in blocks: recorded once, with the organisation, under the state root."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgspec
import pytest
from provnode import wire
from provnode.core.types import Vote, VoteType
from provnode.crypto.hashing import pack
from provnode.ledger import merkle, tree
from provnode.ledger.app import Ledger
from provnode.ledger.canonical import Json, encode
from provnode.ledger.errors import BlockError, TxCode, TxError
from provnode.ledger.execution import state_key, state_value
from provnode.ledger.membership import Action
from provnode.ledger.mempool import Mempool
from provnode.ledger.misconduct import MAX_PER_BLOCK, evidence_transaction
from provnode.ledger.transactions import KIND_EVIDENCE
from provnode.light import Trust, verify_state
from tests.ledger.evidencekit import Liar
from tests.ledger.memberkit import Council

CHAIN = Council()
GENESIS = CHAIN.genesis.hash
TRUST = Trust.of_genesis(CHAIN.document, CHAIN.provider)
LIARS = {name: Liar(name, key, GENESIS, CHAIN.provider) for name, key in CHAIN.keys.items()}
V4 = LIARS["v4"]
STRANGER = Liar("v9", CHAIN.provider.generate(), GENESIS, CHAIN.provider)
FORGER = Liar("v4", CHAIN.provider.generate(), GENESIS, CHAIN.provider)
FOREIGN = Liar("v4", CHAIN.keys["v4"], bytes(32), CHAIN.provider)


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    found = CHAIN.ledger(tmp_path / "s.db")
    CHAIN.grow(found)
    return found


def raw(evidence: wire.Evidence) -> bytes:
    return evidence_transaction(GENESIS, evidence)


def refusal(ledger: Ledger, tx: bytes) -> TxError:
    """Why it is refused, by the check and by building alike, and that a block that holds it is none."""
    with pytest.raises(TxError) as error:
        ledger.check_tx(tx)
    assert ledger.validate_block(ledger.build_block(1, "v1", [tx]), 2**50).txs == ()
    block = wire.decode_block(ledger.build_block(1, "v1", []))
    header = replace(block.header, tx_count=1, tx_root=wire_root(tx))
    with pytest.raises(BlockError, match="transaction 0"):
        ledger.validate_block(wire.encode_block(replace(block, header=header, txs=(tx,))), 2**50)
    return error.value


def wire_root(tx: bytes) -> bytes:
    return merkle.root([merkle.leaf_hash(tx)])


@pytest.mark.parametrize("kind", ["precommit", "prevote", "proposal"])
def test_misbehaviour_is_recorded_with_the_organisation(ledger: Ledger, kind: str) -> None:
    proposer = CHAIN.genesis.validators.proposer(1, 0)
    evidence = {
        "precommit": V4.double_vote(),
        "prevote": V4.double_vote(prevote=True),
        "proposal": LIARS[proposer].double_proposal(),
    }[kind]
    committed = CHAIN.grow(ledger, raw(evidence))
    culprit = CHAIN.genesis.validators.get(evidence.validator)
    assert culprit is not None
    record: dict[str, Json] = {
        "committed_height": 2,
        "evidence": wire.encode_evidence(evidence).hex(),
        "height": 1,
        "kind": kind,
        "organisation": culprit.organisation,
        "round": 0,
        "validator": evidence.validator,
    }
    assert ledger.evidence("", 9) == [{"id": evidence.id, **record}] == list(committed.evidence)
    assert ledger.has_evidence(evidence.id)
    assert ledger.count_evidence() == {culprit.organisation: 1}
    path = tree.find(ledger.state_root, state_key("evidence", evidence.id), ledger.store.node)
    assert path.leaf == (state_key("evidence", evidence.id), state_value(encode(record)))
    proven = verify_state(ledger.prove_state("evidence", evidence.id), TRUST, CHAIN.provider)
    assert proven.value == encode(record)
    shown = ledger.transaction(committed.txids[0])
    assert (shown["kind"], shown["signer"], shown["organisation"]) == (KIND_EVIDENCE, "", None)


def test_the_same_misbehaviour_counts_once(ledger: Ledger) -> None:
    first = V4.double_vote()
    again = V4.double_vote()  # signed anew: other bytes of the same misbehaviour
    third = wire.make_evidence(V4.vote(None), V4.vote(b"C" * 32))
    assert raw(first) != raw(again) and first.id == again.id == third.id
    block = ledger.build_block(ledger.last_time_ms + 1, "v1", [raw(first), raw(again), raw(third)])
    assert wire.decode_block(block).txs == (raw(first),)
    CHAIN.grow(ledger, raw(first))
    for tx in (raw(first), raw(again), raw(third)):
        assert refusal(ledger, tx).code is TxCode.DUPLICATE
    # other steps are other misbehaviour
    CHAIN.grow(ledger, raw(V4.double_vote(prevote=True)), raw(V4.double_vote(round_=1)))
    assert ledger.count_evidence() == {"zjcsd": 3}


@pytest.mark.parametrize(
    ("evidence", "why"),
    [
        (STRANGER.double_vote(), "'v9' is no validator at 1"),
        (FORGER.double_vote(), "signature 0 is not that of v4"),
        (FOREIGN.double_vote(), "signature 0 is not that of v4"),
        (wire.make_evidence(V4.vote(b"A" * 32), FORGER.vote(b"B" * 32)), "signature 1 is not that of v4"),
        (wire.make_evidence(V4.vote(b"B" * 32), FORGER.vote(b"A" * 32)), "signature 0 is not that of v4"),
        (V4.double_proposal(), "'v4' does not propose in round 0"),
        (V4.double_vote(height=3), "height 3 is still to come"),
    ],
    ids=range(7),
)
def test_what_proves_nothing_is_refused(ledger: Ledger, evidence: wire.Evidence, why: str) -> None:
    error = refusal(ledger, raw(evidence))
    assert error.code is TxCode.BAD_EVIDENCE and why in str(error)
    assert ledger.evidence("", 9) == []


def test_a_form_that_is_none_is_refused(ledger: Ledger) -> None:
    good = V4.double_vote()
    payload = decode_outer(raw(good))[0]
    swapped = [1, *reversed(wire_parts(good))]
    for tx, why in (
        (pack([payload, "a1@zjex", b""]), "signed"),
        (pack([payload, "", b"s"]), "signed"),
        (CHAIN.tx({"evidence": wire.encode_evidence(good).hex()}, kind=KIND_EVIDENCE), "signed"),
        (unsigned({"evidence": pack(swapped).hex()}), "order of the block ids"),
        (unsigned({"evidence": pack([1, *[wire_parts(good)[0]] * 2]).hex()}), "same block"),
        (unsigned({"evidence": "00"}), "evidence"),
        (unsigned({"evidence": "0"}), "evidence"),
        (unsigned({"evidence": "00" * 1281}), "evidence"),
        (unsigned({}), "evidence"),
        (unsigned({"evidence": wire.encode_evidence(good).hex(), "more": 1}), "more"),
    ):
        error = refusal(ledger, tx)
        assert error.code is TxCode.MALFORMED and why in str(error)


def decode_outer(tx: bytes) -> list[bytes]:
    found: list[bytes] = msgspec.msgpack.decode(tx)
    return found


def wire_parts(evidence: wire.Evidence) -> list[object]:
    _, *parts = msgspec.msgpack.decode(wire.encode_evidence(evidence))
    return list(parts)


def unsigned(body: dict[str, object]) -> bytes:
    return pack([pack([1, GENESIS, KIND_EVIDENCE, encode(body)]), "", b""])  # type: ignore[arg-type] # JSON


def test_what_is_too_old_is_refused(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "MAX_EVIDENCE_AGE", 2)
    CHAIN.grow(ledger)
    old, young = V4.double_vote(height=1), V4.double_vote(height=2)
    assert ledger.check_tx(raw(old))  # for block 3: two blocks ago is not too old
    CHAIN.grow(ledger)
    error = refusal(ledger, raw(old))
    assert error.code is TxCode.BAD_EVIDENCE and "found one of height 1, allowed: 2 and later" in str(error)
    CHAIN.grow(ledger, raw(young))


def test_a_block_takes_so_much_and_no_more(ledger: Ledger) -> None:
    txs = [raw(V4.double_vote(round_=n)) for n in range(MAX_PER_BLOCK + 1)]
    block = wire.decode_block(ledger.build_block(ledger.last_time_ms + 1, "v1", txs))
    assert block.txs == tuple(txs[:MAX_PER_BLOCK])


def test_the_validators_of_that_height_are_asked(ledger: Ledger) -> None:
    """Who has left, and whose key has changed, still answers for what the old key signed then."""
    rekeyed = CHAIN.new("v2", "zjfin")
    CHAIN.enact(ledger, Action.REKEY, rekeyed)
    new = Liar("v2", CHAIN.held[rekeyed.public_key], GENESIS, CHAIN.provider)
    CHAIN.grow(ledger, raw(LIARS["v2"].double_vote(height=1)))
    assert ledger.count_evidence() == {"zjfin": 1}
    assert refusal(ledger, raw(new.double_vote(height=2))).code is TxCode.BAD_EVIDENCE
    assert refusal(ledger, raw(LIARS["v2"].double_vote(height=ledger.height))).code is TxCode.BAD_EVIDENCE
    CHAIN.grow(ledger, raw(new.double_vote(height=ledger.height)))
    assert ledger.count_evidence() == {"zjfin": 2}


def test_nobody_submits_evidence(ledger: Ledger) -> None:
    with pytest.raises(TxError) as error:
        Mempool(ledger).add(raw(V4.double_vote()))
    assert error.value.code is TxCode.NOT_PERMITTED


def test_records_come_in_pages_in_the_chain_s_order(ledger: Ledger) -> None:
    CHAIN.grow(ledger, *(raw(V4.double_vote(round_=n)) for n in (10, 9, 2)))
    CHAIN.grow(ledger, *(raw(V4.double_vote(height=2, round_=n)) for n in (0, 1)))
    ids = [one["id"] for one in ledger.evidence("", 9)]
    assert [(one["height"], one["round"]) for one in ledger.evidence("", 9)] == [
        (1, 2),
        (1, 9),
        (1, 10),
        (2, 0),
        (2, 1),
    ]
    pages = [ledger.evidence("", 2), ledger.evidence(str(ids[1]), 2), ledger.evidence(str(ids[3]), 2)]
    assert [[one["id"] for one in page] for page in pages] == [ids[:2], ids[2:4], ids[4:]]
    assert ledger.evidence(str(ids[-1]), 2) == []


def test_two_messages_that_agree_are_no_evidence() -> None:
    vote = V4.vote(b"A" * 32)
    for other in (
        V4.vote(b"A" * 32),
        V4.vote(b"B" * 32, round_=1),
        V4.vote(b"B" * 32, height=2),
        V4.vote(b"B" * 32, prevote=True),
        LIARS["v3"].vote(b"B" * 32),
        V4.proposal(b"B" * 32),
    ):
        with pytest.raises(wire.EvidenceError):
            wire.make_evidence(vote, other)
    unsigned = Vote(VoteType.PRECOMMIT, 1, 0, None, "v4")
    assert wire.make_evidence(vote, unsigned).first is unsigned  # nil comes first
