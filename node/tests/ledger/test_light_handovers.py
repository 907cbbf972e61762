"""The light client across changes of the validators: led on by what holds, by nothing else."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from dataclasses import astuple, replace
from typing import Any

import pytest
from provnode import wire
from provnode.core.types import Certificate, CommitSig, Validator, ValidatorSet
from provnode.ledger.app import Ledger
from provnode.ledger.membership import Action
from provnode.ledger.transactions import KIND_REGISTER_USER, registration_body
from provnode.ledger.views import certificate_json, header_json, validators_json
from provnode.light import MOST_HANDOVERS, ProofError, Trust, follow, verify_proof, verify_state
from provnode.light.trust import Member
from tests.ledger.ledgerkit import item
from tests.ledger.memberkit import Council

CHAIN = Council()
Json = dict[str, Any]
GENESIS = Trust.of_genesis(CHAIN.document, CHAIN.provider)
STRANGERS = Council()


@pytest.fixture(scope="module")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> Ledger:
    """Four changes: v5 comes, v1 gets another key, v4 is suspended, v6 comes; and an object at the end."""
    ledger = CHAIN.ledger(tmp_path_factory.mktemp("light") / "s.db")
    CHAIN.enact(ledger, Action.ADD, CHAIN.new("v5"))
    CHAIN.enact(ledger, Action.REKEY, CHAIN.new("v1"))
    CHAIN.enact(ledger, Action.SUSPEND, "v4")
    CHAIN.enact(ledger, Action.ADD, CHAIN.new("v6", "zjfin"))
    CHAIN.grow(ledger)
    CHAIN.grow(ledger, CHAIN.tx(item()))
    return ledger


@pytest.fixture
def handovers(ledger: Ledger) -> list[Json]:
    # through JSON, as it travels
    found: list[Json] = json.loads(json.dumps(ledger.handovers(1, 99)["handovers"]))
    return found


@pytest.fixture
def bundle(ledger: Ledger) -> Json:
    found: Json = json.loads(json.dumps(ledger.prove("o-1")))
    return found


def refused(what: object, text: str, trust: Trust = GENESIS) -> None:
    with pytest.raises(ProofError, match=text):
        follow(trust, what, CHAIN.provider)


def names(trust: Trust) -> list[str]:
    return [one.name for one in trust.validators]


def test_from_the_genesis_or_any_point_on_the_way(ledger: Ledger, handovers: list[Json]) -> None:
    assert len(handovers) == 4
    points = [GENESIS]
    for handover in handovers:
        points.append(follow(points[-1], [handover], CHAIN.provider))
    assert [names(point) for point in points[1:]] == [
        ["v1", "v2", "v3", "v4", "v5"],
        ["v1", "v2", "v3", "v4", "v5"],
        ["v1", "v2", "v3", "v5"],
        ["v1", "v2", "v3", "v5", "v6"],
    ]
    assert follow(GENESIS, handovers, CHAIN.provider) == points[-1]
    assert follow(GENESIS, [], CHAIN.provider) == GENESIS
    for point in points:
        assert Trust.from_json(json.loads(json.dumps(point.as_json()))) == point
        found = verify_proof(ledger.prove("o-1", None, point.height), point, CHAIN.provider)
        assert (found.height, found.trust.height) == (ledger.height, ledger.height)
        assert found.trust.block_id == found.block_id == ledger.last_block_id
        assert found.trust.validators == points[-1].validators


def test_a_handover_that_is_missing_or_out_of_order_is_refused(handovers: list[Json], bundle: Json) -> None:
    one, two, three, four = handovers
    for wrong in ([two], [one, three, four], [one, two, four], [two, one, three, four], [one, three, two]):
        refused(wrong, "not the trusted validators")
    refused([one, one], "to the same validators")
    refused([*handovers, one], "needed is above")
    for count in range(4):
        with pytest.raises(ProofError, match="not the trusted validators"):
            verify_proof(bundle | {"handovers": handovers[:count]}, GENESIS, CHAIN.provider)


def test_a_trusted_point_does_not_go_back(ledger: Ledger, bundle: Json) -> None:
    newest = verify_proof(bundle, GENESIS, CHAIN.provider).trust
    with pytest.raises(ProofError, match="needed is above"):
        verify_proof(bundle, newest, CHAIN.provider)  # its handovers lie behind
    # what is proven by the trusted header itself is proven, by another of its height nothing is
    again = json.loads(json.dumps(ledger.prove("o-1", None, newest.height)))
    assert verify_proof(again, newest, CHAIN.provider).trust == newest
    other = replace(newest, block_id=bytes(32))
    with pytest.raises(ProofError, match="needed is above"):
        verify_proof(again, other, CHAIN.provider)
    CHAIN.grow(ledger)
    later = verify_proof(ledger.prove("o-1", None, newest.height), newest, CHAIN.provider)
    assert later.trust.height == newest.height + 1


def resigned(handover: Json, signers: list[Validator], chain: Council = CHAIN, **header: Any) -> Json:  # noqa: ANN401 - fields of many types
    """A handover with other words in its header, rightly signed by these."""
    words: dict[str, Any] = {
        key: bytes.fromhex(value) if isinstance(value, str) and key not in TEXT else value
        for key, value in handover["header"].items()
        if key != "version"
    }
    found = wire.Header(**words)
    found = replace(found, **header)
    unsigned = Certificate(found.height, 0, found.block_id, ())
    message = wire.precommit_sign_bytes(CHAIN.genesis.hash, unsigned)
    signatures = tuple(
        CommitSig(one.name, chain.provider.sign(chain.held[one.public_key], message)) for one in signers
    )
    return handover | {
        "header": header_json(found),
        "certificate": certificate_json(replace(unsigned, signatures=signatures)),
    }


TEXT = ("chain_id", "network", "proposer")


def test_who_may_hand_over(ledger: Ledger, handovers: list[Json]) -> None:
    one = handovers[0]
    old, new = list(ledger.validators_at(1)), list(ledger.validators_at(4))
    assert len(new) == 5
    assert names(follow(GENESIS, [resigned(one, old[:3])], CHAIN.provider)) == [v.name for v in new]
    refused([resigned(one, old[:2])], "power 2 of 4 signed")
    refused([resigned(one, [])], "power 0 of 4 signed")
    refused([resigned(one, new)], "'v5' is no validator of this height")
    strangers = [Validator(v.name, v.organisation, STRANGERS.new_key()) for v in old]
    refused([resigned(one, strangers, STRANGERS)], "signature of v1 does not hold")
    # strangers who name themselves as the next set
    own = validators_json(strangers)
    refused([one | {"validators": own}], "not those that its header names")
    listed = wire.validators_hash(ValidatorSet(tuple(strangers)))
    takeover = resigned(one, strangers, STRANGERS, next_validators_hash=listed) | {"validators": own}
    refused([takeover], "signature of v1 does not hold")


def test_two_thirds_exactly_are_not_enough(ledger: Ledger, handovers: list[Json]) -> None:
    weighted = [replace(one, power=2 if one.name < "v3" else 1) for one in ledger.validators_at(1)]
    trust = replace(GENESIS, validators=tuple(Member(*astuple(one)) for one in weighted))
    named = wire.validators_hash(ValidatorSet(tuple(weighted)))
    refused([resigned(handovers[0], weighted[:2], validators_hash=named)], "power 4 of 6 signed", trust)
    follow(trust, [resigned(handovers[0], weighted[:3], validators_hash=named)], CHAIN.provider)


def test_the_old_set_signs_nothing_after_it_has_handed_over(ledger: Ledger, bundle: Json) -> None:
    old = list(ledger.validators_at(1))
    header = bundle["header"]
    forged = resigned({"header": header}, old)
    late = bundle | {"header": forged["header"], "certificate": forged["certificate"]}
    with pytest.raises(ProofError, match=r"does not hold|no validator of this height"):
        verify_proof(late, GENESIS, CHAIN.provider)
    # nor by a header that still names it
    named = wire.validators_hash(ledger.validators_at(1))
    forged = resigned({"header": header}, old, validators_hash=named, next_validators_hash=named)
    with pytest.raises(ProofError, match="not the trusted validators"):
        verify_proof(bundle | forged, GENESIS, CHAIN.provider)
    # a replaced key is worth nothing to the set after it
    first = ledger.validators_at(1).get("v1")
    mixed = [first if first and one.name == "v1" else one for one in ledger.validators_at(99)]
    assert mixed != list(ledger.validators_at(99))
    forged = resigned({"header": header}, mixed)
    with pytest.raises(ProofError, match="signature of v1 does not hold"):
        verify_proof(
            bundle | {"header": forged["header"], "certificate": forged["certificate"]},
            GENESIS,
            CHAIN.provider,
        )


def test_a_handover_to_the_same_validators_is_none(ledger: Ledger, handovers: list[Json]) -> None:
    old = list(ledger.validators_at(1))
    named = wire.validators_hash(ledger.validators_at(1))
    same = resigned(handovers[0], old, next_validators_hash=named) | {"validators": validators_json(old)}
    refused([same], "to the same validators")


def scalars(value: object, way: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if not isinstance(value, dict | list):
        yield way, value
    for key, one in inner:
        yield from scalars(one, (*way, key))


def test_any_change_to_any_field_of_a_handover_is_refused(handovers: list[Json]) -> None:
    count = 0
    for way, value in scalars(handovers[0]):
        bads: list[object] = [None, [], {}, "", True, value + value[:2] if isinstance(value, str) else -1]
        bads += [value + 1, str(value)] if isinstance(value, int) else []
        bads += (
            [chr(ord(value[0]) ^ 1) + value[1:], value[:-2], value.upper() + " "]
            if value and isinstance(value, str)
            else []
        )
        for bad in bads:
            wrong = copy.deepcopy(handovers[0])
            at: Any = wrong
            for key in way[:-1]:
                at = at[key]
            at[way[-1]] = bad
            count += 1
            with pytest.raises(ProofError):
                follow(GENESIS, [wrong], CHAIN.provider)
                pytest.fail(f"{way}: {value!r} → {bad!r} was accepted")
    assert count > 300
    for part in (handovers[0], *(handovers[0][key] for key in ("header", "certificate"))):
        assert isinstance(part, dict)
        for key in list(part):
            kept = part.pop(key)
            refused([handovers[0]], "missing or unknown")
            part[key] = kept
        part["extra"] = 1
        refused([handovers[0]], "missing or unknown")
        del part["extra"]
    assert follow(GENESIS, handovers[:1], CHAIN.provider).height > 0


def test_what_is_too_much_is_refused_before_it_costs(handovers: list[Json]) -> None:
    calls: list[int] = []

    class Counting:
        hash = staticmethod(CHAIN.provider.hash)

        def verify_batch(self, batch: list[tuple[bytes, bytes, bytes]]) -> list[bool]:
            calls.append(len(batch))
            return CHAIN.provider.verify_batch(batch)

    one = handovers[0]
    members, signatures = one["validators"] * 100, one["certificate"]["signatures"] * 100
    for what, text in (
        (handovers * MOST_HANDOVERS, "allowed: up to 64"),
        ([one | {"certificate": one["certificate"] | {"signatures": signatures}}], "allowed: up to 256"),
        ([one | {"header": one["header"] | {"proposer": "x" * 10_000_000}}], "certificate.block_id"),
        ([one | {"header": one["header"] | {"parent": "00" * 10_000_000}}], "parent: found"),
        ([one | {"header": one["header"] | {"height": 10**30}}], "height: out of range"),
        ("x" * 10_000_000, "handovers: found str"),
    ):
        with pytest.raises(ProofError, match=text):
            follow(GENESIS, what, Counting())
    assert calls == []
    refused([one | {"validators": members}], "allowed: up to 256")
    refused([one | {"validators": []}], "found none")
    huge = one["certificate"] | {"signatures": [{"validator": "v1", "signature": "00" * 1000}]}
    refused([one | {"certificate": huge}], "signature: found")


@pytest.mark.parametrize(
    "change",
    [
        {"format": 2},
        {"format": "1"},
        {"height": -1},
        {"height": True},
        {"genesis_hash": "00"},
        {"block_id": None},
        {"validators": []},
        {"validators": [{"name": "v1"}]},
        {"extra": 1},
    ],
)
def test_a_trusted_point_is_read_strictly(change: Json) -> None:
    with pytest.raises(ProofError):
        Trust.from_json(GENESIS.as_json() | change)
    twice = GENESIS.as_json()
    twice["validators"] = twice["validators"][:1] * 2
    with pytest.raises(ProofError, match="ascending"):
        Trust.from_json(twice)


def test_a_point_of_another_chain_leads_nowhere(handovers: list[Json]) -> None:
    for key, value in (("chain_id", "other"), ("network", "other"), ("genesis_hash", "00" * 32)):
        other = Trust.from_json(GENESIS.as_json() | {key: value})
        with pytest.raises(ProofError, match=r"of another chain|does not hold"):
            follow(other, handovers, CHAIN.provider)


def test_handovers_come_in_pages(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    every = ledger.handovers(1, 99)["handovers"]
    assert isinstance(every, list)
    monkeypatch.setattr("provnode.ledger.views.MOST_HANDOVERS", 3)
    first = ledger.handovers(1, 99)
    rest = ledger.handovers(int(str(first["next_height"])), 99)
    assert first["handovers"] == every[:3] and rest == {"handovers": every[3:], "next_height": None}
    with pytest.raises(ValueError, match="more than 3 handovers since"):
        ledger.prove("o-1")
    assert ledger.handovers(1, 1) == {"handovers": [], "next_height": None}


def test_state_that_is_no_object_is_proven_too(ledger: Ledger) -> None:
    CHAIN.signers["u1@zjex"] = key = CHAIN.provider.generate()
    body = registration_body(CHAIN.provider, key, "u1@zjex", CHAIN.genesis.hash)
    CHAIN.grow(ledger, CHAIN.tx(body, kind=KIND_REGISTER_USER))
    for kind, id_, text in (("membership", "", b'"sequence":4'), ("user", "u1@zjex", key.public)):
        found = json.loads(json.dumps(ledger.prove_state(kind, id_)))
        proven = verify_state(found, GENESIS, CHAIN.provider)
        assert (proven.kind, proven.id, proven.height) == (kind, id_, ledger.height)
        assert text in proven.value
        for key_, bad in (
            ("value", found["value"] + "00"),
            ("value", found["value"][:-2]),
            ("value", ""),
            ("id", id_ + "x"),
            ("kind", "revocation"),
            ("other_leaf", {"key": "00" * 32, "value": "00" * 32}),
        ):
            with pytest.raises(ProofError):
                verify_state(found | {key_: bad}, GENESIS, CHAIN.provider)
