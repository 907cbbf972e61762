"""The independent verifier: what is proven passes, anything else is refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from provnode.crypto.hashing import pack
from provnode.ledger.app import Ledger
from provnode.light import ProofError, Trust, VerifiedObject, verify_absence, verify_proof
from tests.ledger.ledgerkit import Chain, item

CHAIN = Chain()
Bundle = dict[str, Any]
Way = tuple[str | int, ...]


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    ledger = CHAIN.ledger(tmp_path_factory.mktemp("light") / "s.db")
    CHAIN.extend(ledger, *(item(f"o-{n}", body={"title": f"第{n}号", "amount": n}) for n in range(40)))
    CHAIN.extend(ledger, item("o-7", 1, "update", {"amount": None}), item("o-8", 1, "delete", {}))
    CHAIN.extend(ledger)
    return ledger


@pytest.fixture
def bundle(ledger: Ledger) -> Bundle:
    # through JSON, as it travels
    found: Bundle = json.loads(json.dumps(ledger.prove("o-7", 1)))
    return found


def trusted(document: Bundle | None = None) -> Trust:
    return Trust.of_genesis(CHAIN.document if document is None else document, CHAIN.provider)


def verify(bundle: Bundle, document: Bundle | None = None) -> VerifiedObject:
    return verify_proof(bundle, trusted(document), CHAIN.provider)


def test_every_version_of_every_object_is_proven_at_the_newest_height(ledger: Ledger) -> None:
    for number in range(40):
        for version in range(2 if number in (7, 8) else 1):
            found = verify(ledger.prove(f"o-{number}", version))
            assert (found.object_id, found.version) == (f"o-{number}", version)
            assert found.object == ledger.object(f"o-{number}", version)["object"]
            assert (found.height, found.block_id) == (3, ledger.last_block_id)
            assert (found.time_ms, found.validators) == (ledger.last_time_ms, ("v1", "v2", "v3"))
    assert verify(ledger.prove("o-8")).object["body"] == {}


def test_an_overwritten_version_is_proven_as_it_stands(tmp_path: Path) -> None:
    ledger = CHAIN.ledger(tmp_path / "s.db")
    CHAIN.extend(ledger, item(), item(version=1, operation="update", body={"amount": 1}))
    old = ledger.prove("o-1", 1)
    CHAIN.extend(ledger, item(operation="overwrite", body={"title": "新"}))
    new = ledger.prove("o-1", 1)
    assert verify(new).object["body"] == {"title": "新", "amount": 1}
    # the old proof stays true of its own height, but can't be passed off as one of the new height
    assert verify(old).height == 1
    with pytest.raises(ProofError):
        verify({**old, "header": new["header"], "certificate": new["certificate"]})


def places(value: object, way: Way = ()) -> Iterator[tuple[Way, Any]]:
    """Every scalar of a bundle and the way to it."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from places(inner, (*way, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from places(inner, (*way, index))
    else:
        yield way, value


def changed(bundle: Bundle, way: Way, value: object) -> Bundle:
    bad = copy.deepcopy(bundle)
    at: Any = bad
    for key in way[:-1]:
        at = at[key]
    at[way[-1]] = value
    return bad


def spoilt(value: object) -> Iterator[object]:
    """Every way to spoil a scalar a little."""
    if isinstance(value, str):
        for index, char in enumerate(value):
            for bit in (0, 5):  # bit 5 turns the case of letters
                yield value[:index] + chr(ord(char) ^ 1 << bit) + value[index + 1 :]
        yield from (value + "0", value + "00", value[:-1], value[:-2], "", None, 0)
    elif isinstance(value, bool):
        yield from (not value, int(value), str(value), None)
    elif isinstance(value, int):
        yield from (value + 1, value - 1, value ^ 2**20, str(value), float(value), None, bool(value))
    else:
        yield from ("", 0, {}, [], False)


def test_any_change_to_any_field_is_refused(bundle: Bundle) -> None:
    count = 0
    for way, value in places(bundle):
        for bad in spoilt(value):
            count += 1
            with pytest.raises(ProofError):
                verify(changed(bundle, way, bad))
                pytest.fail(f"{way}: {value!r} → {bad!r} was accepted")
    assert count > 2000


def test_any_flipped_byte_of_the_text_is_refused_or_means_the_same(bundle: Bundle) -> None:
    text = json.dumps(bundle, ensure_ascii=False).encode()
    refused = 0
    for at in range(len(text)):
        bad = bytearray(text)
        bad[at] ^= 0x01
        try:
            parsed = json.loads(bytes(bad))
        except ValueError:
            refused += 1
            continue
        try:
            verify(parsed)
        except ProofError:
            refused += 1
        else:
            assert parsed == bundle  # white space
    assert refused > len(text) * 0.9


def test_missing_and_unknown_keys_are_refused(bundle: Bundle) -> None:
    for name in ("header", "certificate"):
        for key in bundle[name]:
            with pytest.raises(ProofError):
                verify({**bundle, name: {k: v for k, v in bundle[name].items() if k != key}})
        with pytest.raises(ProofError):
            verify({**bundle, name: {**bundle[name], "extra": 1}})
    for key in bundle:
        with pytest.raises(ProofError):
            verify({k: v for k, v in bundle.items() if k != key})
    with pytest.raises(ProofError):
        verify({**bundle, "extra": 1})


def test_a_path_that_is_longer_shorter_or_moved_is_refused(bundle: Bundle) -> None:
    siblings = bundle["siblings"]
    assert len(siblings) > 3
    for bad in (siblings[1:], siblings[:-1], [*siblings, "00" * 32], siblings[::-1], [], siblings * 200):
        with pytest.raises(ProofError):
            verify({**bundle, "siblings": bad})


def with_signatures(bundle: Bundle, names: list[str], round_: int = 0) -> Bundle:
    """The bundle with a certificate freshly and rightly signed by these keys."""
    header = bundle["header"]
    block_id = bytes.fromhex(bundle["certificate"]["block_id"])
    message = pack(["provnode.vote", CHAIN.genesis.hash, 2, header["height"], round_, block_id])
    keys = {**CHAIN.keys, "v9": CHAIN.keys["v4"]}
    entries = [
        {"validator": name, "signature": CHAIN.provider.sign(keys[name], message).hex()} for name in names
    ]
    return {**bundle, "certificate": {**bundle["certificate"], "round": round_, "signatures": entries}}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ([], "power 0 of 4"),
        (["v1", "v2"], "power 2 of 4"),
        (["v1", "v1", "v2"], "ascending"),
        (["v1", "v2", "v2", "v2"], "ascending"),
        (["v3", "v2", "v1"], "ascending"),
        (["v1", "v2", "v9"], "no validator"),
        (["v1", "v2", "v3", "v9"], "no validator"),
    ],
)
def test_who_must_have_signed(bundle: Bundle, names: list[str], message: str) -> None:
    with pytest.raises(ProofError, match=message):
        verify(with_signatures(bundle, names))


@pytest.mark.parametrize("names", [["v1", "v2", "v3"], ["v2", "v3", "v4"], ["v1", "v2", "v3", "v4"]])
def test_any_quorum_in_any_round_will_do(bundle: Bundle, names: list[str]) -> None:
    assert verify(with_signatures(bundle, names, round_=4)).validators == tuple(names)


def test_a_bad_signature_beyond_the_quorum_is_refused(bundle: Bundle) -> None:
    full = with_signatures(bundle, ["v1", "v2", "v3", "v4"])
    full["certificate"]["signatures"][3]["signature"] = full["certificate"]["signatures"][2]["signature"]
    with pytest.raises(ProofError, match="v4 does not hold"):
        verify(full)


def test_a_prevote_is_no_precommit(bundle: Bundle) -> None:
    block_id = bytes.fromhex(bundle["certificate"]["block_id"])
    message = pack(["provnode.vote", CHAIN.genesis.hash, 1, bundle["header"]["height"], 0, block_id])
    entries = [
        {"validator": name, "signature": CHAIN.provider.sign(CHAIN.keys[name], message).hex()}
        for name in ("v1", "v2", "v3")
    ]
    with pytest.raises(ProofError, match="does not hold"):
        verify({**bundle, "certificate": {**bundle["certificate"], "signatures": entries}})


def test_the_genesis_of_another_chain_is_refused(bundle: Bundle) -> None:
    other = Chain().document
    with pytest.raises(ProofError, match="validators_hash"):
        verify(bundle, other)
    # the same validators, but another chain
    for key, value in (("chain_id", "jiangsu"), ("network", "other"), ("time_ms", 1), ("schemas", {})):
        with pytest.raises(ProofError):
            verify(bundle, {**CHAIN.document, key: value})


def test_a_whole_foreign_chain_is_refused(tmp_path: Path) -> None:
    other = Chain()
    foreign = other.ledger(tmp_path / "s.db")
    other.extend(foreign, item())
    bundle = foreign.prove("o-1")
    assert verify(bundle, other.document).object_id == "o-1"
    with pytest.raises(ProofError):
        verify(bundle)


def test_the_proof_of_one_version_is_none_of_another(ledger: Ledger, bundle: Bundle) -> None:
    first = ledger.prove("o-7", 0)
    for key in ("snapshot", "siblings", "version"):
        with pytest.raises(ProofError):
            verify({**bundle, key: first[key]})


# --- absence


def test_what_is_not_there_is_provably_not_there(ledger: Ledger) -> None:
    ends = set()
    for object_id, version in [("o-7", 2), ("o-1", 1), *((f"none-{n}", 0) for n in range(60))]:
        found: Bundle = json.loads(json.dumps(ledger.prove_absence(object_id, version)))
        ends.add(found["other_leaf"] is None)
        proven = verify_absence(found, trusted(), CHAIN.provider)
        assert (proven.object_id, proven.version, proven.height) == (object_id, version, 3)
    assert ends == {True, False}  # both an empty place and another's leaf were met


def test_what_is_there_can_not_be_denied(ledger: Ledger, bundle: Bundle) -> None:
    with pytest.raises(ValueError, match="has a version 1"):
        ledger.prove_absence("o-7", 1)
    other = ledger.prove_absence("none-1", 0)
    for siblings in (bundle["siblings"], other["siblings"]):
        for leaf in (None, other["other_leaf"], {"key": "00" * 32, "value": "00" * 32}):
            denial = {**bundle, "snapshot": None, "siblings": siblings, "other_leaf": leaf}
            with pytest.raises(ProofError):
                verify_absence(denial, trusted(), CHAIN.provider)


def test_any_change_to_a_proof_of_absence_is_refused(ledger: Ledger) -> None:
    found = next(
        bundle
        for n in range(60)
        if (bundle := json.loads(json.dumps(ledger.prove_absence(f"none-{n}", 0))))["other_leaf"]
    )
    for way, value in places(found):
        if way in (("object_id",), ("version",)):
            continue  # another absent object in the same place is absent too
        for bad in spoilt(value):
            with pytest.raises(ProofError):
                verify_absence(changed(found, way, bad), trusted(), CHAIN.provider)
                pytest.fail(f"{way}: {value!r} → {bad!r} was accepted")


def test_one_kind_of_proof_does_not_pass_for_the_other(ledger: Ledger, bundle: Bundle) -> None:
    with pytest.raises(ProofError):
        verify_absence(bundle, trusted(), CHAIN.provider)
    with pytest.raises(ProofError):
        verify(ledger.prove_absence("none-1", 0))
