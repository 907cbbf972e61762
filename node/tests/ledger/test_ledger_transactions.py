"""Transactions: malformed, oversized, replayed, unsigned and wrongly signed ones are refused by code."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from provnode.crypto.hashing import digest, pack
from provnode.crypto.provider import PrivateKey
from provnode.ledger.app import Ledger
from provnode.ledger.canonical import encode
from provnode.ledger.checks import Checker
from provnode.ledger.errors import TxCode, TxError
from provnode.ledger.transactions import (
    decode_transaction,
    registration_body,
    sign_transaction,
    transaction_sign_bytes,
)
from tests.ledger.ledgerkit import Chain, item

CHAIN = Chain(max_tx_bytes=4096)
HASH = CHAIN.genesis.hash
GOOD = CHAIN.tx(item())


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return CHAIN.ledger(tmp_path / "s.db")


def refusal(ledger: Ledger, raw: bytes) -> TxError:
    with pytest.raises(TxError) as error:
        ledger.check_tx(raw)
    return error.value


def outer(raw: bytes) -> list[Any]:
    found: list[Any] = msgspec.msgpack.decode(raw)
    return found


def with_payload(*payload: int | str | bytes) -> bytes:
    """A transaction with this payload, rightly signed by a1@zjex."""
    packed = pack(list(payload))
    txid = digest(b"provnode.tx", pack([packed, "a1@zjex"]))
    signature = CHAIN.provider.sign(CHAIN.signers["a1@zjex"], transaction_sign_bytes(txid))
    return pack([packed, "a1@zjex", signature])


def test_a_good_one_passes(ledger: Ledger) -> None:
    checked = ledger.check_tx(GOOD)
    assert checked.signer.id == "a1@zjex"
    assert checked.txid == checked.tx.txid == decode_transaction(GOOD, HASH, 4096).txid


MALFORMED = {
    "empty": b"",
    "garbage": b"\xc1" * 40,
    "text": b'{"payload": 1}',
    "two fields": pack(outer(GOOD)[:2]),
    "four fields": pack([*outer(GOOD), 1]),
    "trailing byte": GOOD + b"\x00",
    "cut": GOOD[:-1],
    "signer id as bytes": pack([outer(GOOD)[0], b"a1@zjex", outer(GOOD)[2]]),
    "payload as text": pack(["x", "a1@zjex", b""]),
    "payload is garbage": pack([b"\xc1", "a1@zjex", b""]),
    "payload with a field more": with_payload(1, HASH, "object", encode(item()), 1),
    "payload of another format": with_payload(2, HASH, "object", encode(item())),
    "unknown kind": with_payload(1, HASH, "mint", encode(item())),
    "body not JSON": with_payload(1, HASH, "object", b"{"),
    "body not an object": with_payload(1, HASH, "object", b"[]"),
    "body not canonical": with_payload(1, HASH, "object", encode(item()).replace(b":", b": ")),
    "body with a key twice": with_payload(1, HASH, "object", b'{"a":1,"a":1}'),
    "body too deep": with_payload(1, HASH, "object", b'{"a":' * 40 + b"1" + b"}" * 40),
    # an array of three with a 16-bit length: the same content, spelled longer
    "long form": b"\xdc\x00\x03" + GOOD[1:],
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed(ledger: Ledger, name: str) -> None:
    assert refusal(ledger, MALFORMED[name]).code == TxCode.MALFORMED


def test_oversized(ledger: Ledger) -> None:
    raw = CHAIN.tx(item(body={"title": "x" * 4096}))
    error = refusal(ledger, raw)
    assert error.code == TxCode.TOO_LARGE
    assert error.message == f"found {len(raw)} bytes, allowed: 4096"


def test_made_for_another_chain(ledger: Ledger) -> None:
    assert refusal(ledger, Chain(network="other").tx(item())).code == TxCode.WRONG_CHAIN


def test_unknown_signer(ledger: Ledger) -> None:
    key = CHAIN.signers["a1@zjex"]
    raw, _ = sign_transaction(CHAIN.provider, key, "nobody@zjex", HASH, "object", item())
    assert refusal(ledger, raw).code == TxCode.UNKNOWN_SIGNER


@pytest.mark.parametrize("signature", [b"", b"\x00" * 71, b"\x30\x06\x02\x01\x01\x02\x01\x01"])
def test_unsigned(ledger: Ledger, signature: bytes) -> None:
    raw = pack([*outer(GOOD)[:2], signature])
    assert refusal(ledger, raw).code == TxCode.BAD_SIGNATURE


def test_signed_by_another_key_or_over_another_body(ledger: Ledger) -> None:
    foreign, _ = sign_transaction(
        CHAIN.provider, CHAIN.signers["m1@zjfin"], "a1@zjex", HASH, "object", item()
    )
    assert refusal(ledger, foreign).code == TxCode.BAD_SIGNATURE
    swapped = pack([outer(CHAIN.tx(item("o-2")))[0], *outer(GOOD)[1:]])
    assert refusal(ledger, swapped).code == TxCode.BAD_SIGNATURE
    renamed = pack([outer(GOOD)[0], "a2@zjex", outer(GOOD)[2]])
    assert refusal(ledger, renamed).code == TxCode.BAD_SIGNATURE


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, len(GOOD) - 1), bit=st.integers(0, 7))
def test_no_flipped_bit_passes(at: int, bit: int) -> None:
    bad = bytearray(GOOD)
    bad[at] ^= 1 << bit
    checker = Checker(CHAIN.genesis, CHAIN.provider, CHAIN.genesis.signers.get, lambda _: None)
    assert isinstance(checker.check([bytes(bad)])[0], TxError)


def test_a_bad_one_between_good_ones_is_the_only_one_refused(ledger: Ledger) -> None:
    bad = pack([*outer(GOOD)[:2], b"no"])
    raws = [CHAIN.tx(item(f"o-{n}")) for n in range(4)]
    verdicts = ledger.screen([raws[0], bad, raws[1], b"", raws[2], raws[3]])
    assert [isinstance(verdict, TxError) for verdict in verdicts] == [False, True, False, True, False, False]


def test_a_replay_is_refused_for_ever(ledger: Ledger) -> None:
    CHAIN.extend(ledger, raws=[GOOD])
    assert refusal(ledger, GOOD).code == TxCode.DUPLICATE
    # signed anew: another signature, the same id
    again = CHAIN.tx(item())
    assert decode_transaction(again, HASH, 4096).txid == decode_transaction(GOOD, HASH, 4096).txid
    assert refusal(ledger, again).code == TxCode.DUPLICATE
    for height in range(3):
        CHAIN.extend(ledger, item(f"later-{height}"))
    assert refusal(ledger, GOOD).code == TxCode.DUPLICATE
    reopened = Ledger(ledger.store, CHAIN.genesis, CHAIN.provider)
    assert refusal(reopened, GOOD).code == TxCode.DUPLICATE


def test_a_replay_within_a_block_is_left_out(ledger: Ledger) -> None:
    block = ledger.validate_block(ledger.build_block(0, "v1", [GOOD, GOOD, CHAIN.tx(item())]), 2**50)
    assert block.txs == (GOOD,)


# --- users


def register(user: str, signer: str = "a1@zjex", key: PrivateKey | None = None) -> tuple[bytes, PrivateKey]:
    """A registration of `user` and the user's key."""
    key = CHAIN.provider.generate() if key is None else key
    body = registration_body(CHAIN.provider, key, user, HASH)
    return CHAIN.tx(body, signer, "register_user"), key


def test_a_registered_user_signs_for_the_organisation(ledger: Ledger) -> None:
    raw, key = register("clerk@zjex")
    by_clerk, _ = sign_transaction(CHAIN.provider, key, "clerk@zjex", HASH, "object", item())
    assert refusal(ledger, by_clerk).code == TxCode.UNKNOWN_SIGNER
    before = ledger.state_root
    # not in the block that registers it, and in any later one
    block = ledger.build_block(0, "v1", [raw, by_clerk])
    assert ledger.validate_block(block, 2**50).txs == (raw,)
    ledger.commit(block, CHAIN.certificate(block))
    assert ledger.state_root != before
    CHAIN.extend(ledger, raws=[by_clerk])
    assert ledger.object("o-1")["organisation"] == "zjex"
    reopened = Ledger(ledger.store, CHAIN.genesis, CHAIN.provider)
    update = item(version=1, operation="update")
    assert reopened.check_tx(sign_transaction(CHAIN.provider, key, "clerk@zjex", HASH, "object", update)[0])


def test_a_user_of_another_organisation_can_not_be_registered(ledger: Ledger) -> None:
    assert refusal(ledger, register("clerk@zjfin")[0]).code == TxCode.NOT_PERMITTED
    assert refusal(ledger, register("clerk@xzjex")[0]).code == TxCode.NOT_PERMITTED


def test_a_registered_user_registers_nobody(ledger: Ledger) -> None:
    raw, key = register("clerk@zjex")
    CHAIN.extend(ledger, raws=[raw])
    body = registration_body(CHAIN.provider, CHAIN.provider.generate(), "friend@zjex", HASH)
    friend, _ = sign_transaction(CHAIN.provider, key, "clerk@zjex", HASH, "register_user", body)
    assert refusal(ledger, friend).code == TxCode.NOT_PERMITTED


def test_a_name_is_given_once(ledger: Ledger) -> None:
    CHAIN.extend(ledger, raws=[register("clerk@zjex")[0]])
    assert refusal(ledger, register("clerk@zjex")[0]).code == TxCode.USER_EXISTS
    assert refusal(ledger, register("a2@zjex")[0]).code == TxCode.USER_EXISTS


@pytest.mark.parametrize("user", ["Clerk@zjex", "@zjex", "clerk", "a b@zjex", "x" * 65 + "@zjex"])
def test_a_bad_name_is_refused(ledger: Ledger, user: str) -> None:
    assert refusal(ledger, register(user)[0]).code == TxCode.MALFORMED


def test_a_key_must_be_held(ledger: Ledger) -> None:
    body = registration_body(CHAIN.provider, CHAIN.provider.generate(), "clerk@zjex", HASH)
    body["public_key"] = CHAIN.provider.public_key(CHAIN.provider.generate()).hex()
    error = refusal(ledger, CHAIN.tx(body, kind="register_user"))
    assert (error.code, "proof" in error.message) == (TxCode.BAD_SIGNATURE, True)


@pytest.mark.parametrize("change", [{"public_key": "04"}, {"proof": ""}, {"extra": 1}, {"id": 7}])
def test_a_malformed_registration_is_refused(ledger: Ledger, change: dict[str, Any]) -> None:
    body = registration_body(CHAIN.provider, CHAIN.provider.generate(), "clerk@zjex", HASH)
    raw = CHAIN.tx({**body, **change}, kind="register_user")
    assert refusal(ledger, raw).code == TxCode.MALFORMED


def test_verdicts_are_kept_until_the_commit_only(ledger: Ledger) -> None:
    raw = CHAIN.tx(item("kept"))
    ledger.screen([raw])
    kept = ledger.screen([raw])[0]
    assert ledger.screen([raw])[0] is kept  # not judged a second time
    CHAIN.extend(ledger, raws=[raw])
    assert ledger.checker._passed == {} and ledger.checker._bytes == 0
