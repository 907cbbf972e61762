"""From answers to clauses: what adds up, what waivers and attestations are worth, and what the codes say."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import jsonschema_rs
import pytest

from provchain.audit.assessment import Assessment, read, schema, sm3
from provchain.audit.drift import alike, drift
from provchain.audit.run import assess, on_hosts
from provchain.baseline.catalog import BASELINES
from provchain.baseline.facts import Facts, Output, Status
from provchain.baseline.model import Attestation, SiteFile, Text, Waiver
from provchain.baseline.observation import Verdict
from tests.unit.audit.auditkit import NOW, TODAY, assessed, host_facts, order

HOST, PARTLY, ZONE, DOCUMENT, NONE = (
    f"22239.8.1.{rest}" for rest in ("4.1.a", "4.1.b", "3.1.a", "6.1.a", "1.1.a")
)
WORDS = Text(zh="无", en="none")


def verdicts(found: Assessment) -> dict[tuple[str, str], Verdict]:
    return {(one.control, one.object): one.verdict for one in found.clauses}


def waiver(rule: str = "ssh-tries", hosts: tuple[str, ...] = ("*",), days: int = 0) -> Waiver:
    return Waiver(
        rule=rule,
        hosts=hosts,
        reason=WORDS,
        approver="张",
        compensation=WORDS,
        expires=TODAY + timedelta(days),
    )


def attestation(control: str, path: Path, days: int = 0, signed: int = -1) -> Attestation:
    return Attestation(
        control=control,
        document="制度 1",
        file=path.name,
        sm3=sm3(path.read_bytes()),
        signer="李",
        signed=TODAY + timedelta(signed),
        valid_until=TODAY + timedelta(days),
    )


def test_clauses_on_hosts_zones_and_documents(tmp_path: Path) -> None:
    facts = {"h1": host_facts(), "h2": host_facts(tries=5), "h3": host_facts(forward=1)}
    found = verdicts(assessed(tmp_path, facts, h3="outer"))
    assert found == {
        (HOST, "h1"): Verdict.COMPLIANT,
        (HOST, "h2"): Verdict.PARTIAL,
        (HOST, "h3"): Verdict.COMPLIANT,
        (PARTLY, "h1"): Verdict.UNKNOWN,
        (PARTLY, "h2"): Verdict.NONCOMPLIANT,
        (PARTLY, "h3"): Verdict.UNKNOWN,
        (ZONE, "inner"): Verdict.COMPLIANT,
        (ZONE, "outer"): Verdict.NONCOMPLIANT,
        (DOCUMENT, ""): Verdict.UNKNOWN,
        (NONE, ""): Verdict.NOT_APPLICABLE,
    }


def test_an_attestation_counts_on_its_days_and_for_its_document_only(tmp_path: Path) -> None:
    path = tmp_path / "policy.txt"
    path.write_text("policy")

    def worth(*some: Attestation) -> tuple[Verdict, Verdict, str]:
        found = assessed(tmp_path, {"h1": host_facts()}, SiteFile(attestations=some))
        by = {(one.control): one for one in found.clauses}
        return by[DOCUMENT].verdict, by[PARTLY].verdict, by[PARTLY].attestation

    good = [attestation(DOCUMENT, path), attestation(PARTLY, path)]
    assert worth(*good) == (Verdict.COMPLIANT, Verdict.COMPLIANT, "valid")
    assert worth(*(attestation(one.control, path, -1) for one in good)) == (U, U, "expired")
    assert worth(*(attestation(one.control, path, 5, 1) for one in good)) == (U, U, "not_yet")
    assert worth(good[0], good[1], attestation(PARTLY, path, -1))[2] == "valid", "one that counts is enough"
    path.write_text("policy, changed")
    assert worth(*good) == (U, U, "mismatch")
    outside = tmp_path.parent / "outside.txt"
    outside.write_text("policy")
    away = attestation(PARTLY, outside).model_copy(update={"file": "../outside.txt"})
    assert worth(away)[2] == "missing", "only what lies beside the site's file counts"
    path.unlink()
    assert worth(*good) == (U, U, "missing")


U = Verdict.UNKNOWN


def test_a_waived_rule_is_run_and_shown_and_never_makes_a_clause_compliant(tmp_path: Path) -> None:
    facts = {"h1": host_facts(tries=9)}
    found = assessed(tmp_path, facts, SiteFile(waivers=(waiver(),)))
    (result,) = [one for one in found.results if one.rule == "ssh-tries"]
    assert (result.verdict, result.waived, result.is_finding) == (Verdict.NONCOMPLIANT, True, False)
    clause = next(one for one in found.clauses if one.control == HOST)
    assert (clause.verdict, clause.waived) == (Verdict.PARTIAL, ("ssh-tries",))
    assert found.waivers[0].state == "in_force"
    assert found.exit_code == 0


def test_an_expired_waiver_is_a_finding_even_where_all_is_well(tmp_path: Path) -> None:
    good = {"h1": host_facts()}
    assert assessed(tmp_path, good, SiteFile(waivers=(waiver(),))).waivers[0].state == "unused"
    found = assessed(tmp_path, good, SiteFile(waivers=(waiver(days=-1),)))
    assert [one.rule for one in found.expired] == ["ssh-tries"]
    assert found.exit_code == 1


def test_exit_codes(tmp_path: Path) -> None:
    good, bad, down = host_facts(), host_facts(root="yes"), Facts({}, 0, "no route to host")
    assert assessed(tmp_path, {"h1": good}).exit_code == 0
    assert assessed(tmp_path, {"h1": bad}).exit_code == 1
    assert assessed(tmp_path, {"h1": good, "h2": down}).exit_code == 3
    assert assessed(tmp_path, {"h1": bad, "h2": down}).exit_code == 1
    blind = replace(good, outputs={k: v for k, v in good.outputs.items() if "sshd" not in k})
    assert assessed(tmp_path, {"h1": blind}).exit_code == 3


def test_a_host_that_was_not_reached_is_unknown_throughout(tmp_path: Path) -> None:
    found = assessed(tmp_path, {"h1": Facts({}, 0, "no\x1b[2J route")})
    assert {one.verdict for one in found.results} == {U}
    assert {one.verdict for one in found.clauses if one.kind != "document"} == {U}
    assert found.hosts[0].unreachable == "no\ufffd[2J route"


def test_a_limited_audit_judges_no_clause(tmp_path: Path) -> None:
    limited = replace(order(tmp_path), rules=frozenset({"ssh-root"}))
    found = assess(limited, on_hosts(limited, {"h1": host_facts(tries=9)}), NOW, NOW)
    assert [one.rule for one in found.results] == ["ssh-root"]
    assert found.clauses == ()
    assert found.limited == ("ssh-root",)


def test_the_canonical_form_keeps_all_and_fits_its_schema(tmp_path: Path) -> None:
    found = assessed(tmp_path, {"h1": host_facts(tries=9)}, SiteFile(waivers=(waiver(days=-1),)))
    text = found.canonical()
    assert read(text) == found
    assert read(text).canonical() == text
    data = json.loads(text, parse_float=lambda _: pytest.fail("a floating-point number"))
    assert json.dumps(data, ensure_ascii=False, sort_keys=True, separators=(",", ":")) + "\n" == text
    validator = jsonschema_rs.validator_for(schema())
    assert validator.is_valid(data)
    for broken in (
        {**data, "format": 3},
        {**data, "more": 1},
        {k: v for k, v in data.items() if k != "hosts"},
    ):
        assert not validator.is_valid(broken)
    shipped = (BASELINES / "schemas" / "audit.schema.json").read_text(encoding="utf-8")
    assert json.loads(shipped) == schema(), (
        "run: provchain audit schema > baselines/schemas/audit.schema.json"
    )


def test_what_a_host_answered_is_told_by_digest_only(tmp_path: Path) -> None:
    found = assessed(tmp_path, {"h1": host_facts()})
    mark = found.hosts[0].facts["file:/proc/sys/net/ipv4/ip_forward"]
    assert mark.sm3 == sm3(b"0\n")
    assert mark.bytes == 2
    assert "VERSION_ID" not in found.canonical()


def test_sm3_is_sm3() -> None:
    """The example of GB/T 32905-2016, A.1."""
    assert sm3(b"abc") == "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"


def test_drift(tmp_path: Path) -> None:
    old = assessed(tmp_path, {"h1": host_facts(tries=9), "h2": host_facts(), "h3": host_facts()})
    new = assessed(
        tmp_path, {"h1": host_facts(root="yes"), "h2": Facts({}, 0, "gone"), "h4": host_facts(forward=1)}
    )
    found = drift(old, new)
    assert [(one.rule, one.host) for one in found.found] == [("ssh-root", "h1"), ("net-forward", "h4")]
    assert [(one.rule, one.host) for one in found.resolved] == [("ssh-tries", "h1")]
    assert {one.host for one in found.lost} == {"h2"}
    down = drift(old, assessed(tmp_path, {"h1": Facts({}, 0, "gone")}))
    assert down.resolved == (), "what can't be seen is not resolved"
    assert (found.came, found.gone) == (("h4",), ("h3",))
    assert found.facts["h1"] == ("run:/usr/sbin/sshd -T",)
    moved = host_facts()
    moved = replace(moved, outputs={**moved.outputs, "stat:/var/log/syslog": Output(Status.SEEN, 0, "a|b")})
    after = replace(moved, outputs={**moved.outputs, "stat:/var/log/syslog": Output(Status.SEEN, 0, "a|c")})
    assert drift(assessed(tmp_path, {"h1": moved}), assessed(tmp_path, {"h1": after})).is_empty
    assert (down.facts, drift(assessed(tmp_path, {"h1": Facts({}, 0, "gone")}), old).facts) == ({}, {})
    assert found.is_worse
    assert found.audit == sm3(old.canonical().encode())
    changes = {(one.control, one.object): (one.before, one.now) for one in found.clauses}
    assert changes == {
        (HOST, "h2"): (Verdict.COMPLIANT, U),
        (PARTLY, "h1"): (Verdict.NONCOMPLIANT, U),
        (ZONE, "inner"): (Verdict.COMPLIANT, Verdict.PARTIAL),
    }
    both = drift(
        assessed(tmp_path, {"h1": host_facts(), "h2": host_facts()}),
        assessed(tmp_path, {"h1": Facts({}, 0, "gone"), "h2": Facts({}, 0, "gone")}),
    )
    told = {(some[0].control, some[0].kind): [one.object for one in some] for some in alike(both.clauses)}
    assert told[HOST, "host"] == ["h1", "h2"], "the same change is told once"
    assert sum(map(len, told.values())) == len(both.clauses)
    limited = new.model_copy(update={"limited": ("h1",)})
    assert (drift(old, limited).gone, drift(limited, old).came) == ((), ()), "nobody looked for them"
    same = drift(old, old)
    assert (same.is_worse, same.is_empty, found.is_empty) == (False, True, False)
    assert not drift(
        new, assessed(tmp_path, {"h1": host_facts(), "h2": host_facts(), "h4": host_facts()})
    ).is_worse
