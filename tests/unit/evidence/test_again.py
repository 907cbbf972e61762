"""A report that its own evidence does not bear is seen by whoever has the catalog, whoever signed it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from provchain.audit.assessment import Assessment, sm3
from provchain.audit.drift import drift
from provchain.audit.run import Order, assess, on_hosts, shipped
from provchain.audit.subjects import Subject, described, of_state
from provchain.baseline import catalog as catalogs
from provchain.baseline.catalog import Catalog
from provchain.baseline.model import Attestation, SiteFile, Text, Waiver
from provchain.baseline.resources import Plan, Target
from provchain.evidence import bundle, keys, seal
from provchain.evidence.again import again
from provchain.evidence.bundle import EvidenceError
from tests.unit.audit.auditkit import NOW, TODAY, order, small_catalog
from tests.unit.evidence.evidencekit import HOSTS, SOURCES, WHEN, left

WORDS = Text(zh="无", en="none")
Data = dict[str, Any]


@dataclass(frozen=True)
class Case:
    """An audit of which all is told, sealed by its auditor."""

    folder: Path
    report: Assessment
    catalog: Catalog

    def sealed(self, report: Assessment | None = None) -> seal.Verified:
        """Seal a report with the facts of this one, by the auditor's own key, and have it verified."""
        (self.folder / "audit.json").write_text((report or self.report).canonical(), encoding="utf-8")
        data = seal.seal(self.folder / "audit.json", self.folder / "auditor.key", WHEN, "provchain 1")
        return seal.verify(data, signer=self.folder / "auditor.key.pub")

    def again(self, found: seal.Verified, catalog: Catalog | None = None, **own: str) -> str:
        """Judge it again."""
        return again(found.report, found.facts, catalog or self.catalog, found.manifest.sources, own)


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Case:
    folder = tmp_path_factory.mktemp("again")
    left(folder)
    keys.make(folder / "auditor.key")
    catalog = small_catalog(folder / "catalog")
    (folder / "catalog" / "policy.txt").write_text("policy")
    waivers = tuple(
        Waiver(
            rule=rule,
            hosts=("*",),
            reason=WORDS,
            approver="张",
            compensation=WORDS,
            expires=TODAY + timedelta(days),
        )
        for rule, days in (("ssh-tries", 0), ("ssh-root", -1))
    )
    attestation = Attestation(
        control="22239.8.1.6.1.a",
        document="ZD-1",
        file="policy.txt",
        sm3=sm3(b"policy"),
        signer="李",
        signed=TODAY,
        valid_until=TODAY,
    )
    site = SiteFile(waivers=waivers, attestations=(attestation,))
    asked = order(folder / "catalog", site, dict.fromkeys(HOSTS, "inner"))
    return Case(
        folder,
        assess(asked, on_hosts(asked, HOSTS), NOW, NOW).model_copy(update={"auditor": "陈静"}),
        catalog,
    )


def test_an_honest_report_follows_from_its_evidence(case: Case) -> None:
    assert {one.state for one in case.report.waivers} == {"in_force", "expired"}
    assert [one.state for one in case.report.attestations] == ["valid"]
    assert case.again(case.sealed()) == ""
    later = case.report.model_copy(update={"since": drift(case.report, case.report)})
    assert case.again(case.sealed(later)) == ""


def test_a_limited_report_follows_as_well(case: Case) -> None:
    asked = order(case.folder / "catalog", None, dict.fromkeys(HOSTS, "inner"))
    limited = Order(**{**vars(asked), "rules": frozenset({"ssh-root"}), "hosts": frozenset(HOSTS)})
    found = assess(limited, on_hosts(limited, HOSTS), NOW, NOW)
    assert len(found.results) == len(HOSTS)
    assert case.again(case.sealed(found)) == ""


def _result(data: Data, rule: str, host: str) -> Data:
    return next(one for one in data["results"] if (one["rule"], one["host"]) == (rule, host))


def _flip(data: Data) -> None:
    _result(data, "ssh-tries", "h1")["verdict"] = "compliant"


def _clause(data: Data) -> None:
    next(one for one in data["clauses"] if one["control"] == "22239.8.1.4.1.b")["verdict"] = "compliant"


def _day(data: Data) -> None:
    """As if the waiver that expired had not yet."""
    data["day"] = str(TODAY - timedelta(3))


FORGED: dict[str, tuple[Callable[[Data], object], str]] = {
    "a verdict": (_flip, "ssh-tries on h1: the report says compliant, its evidence noncompliant"),
    "a verdict that is left out": (
        lambda data: data["results"].remove(_result(data, "ssh-tries", "h1")),
        "ssh-tries on h1: the report says nothing, its evidence noncompliant",
    ),
    "a verdict of no rule": (
        lambda data: data["results"].append({**_result(data, "ssh-tries", "h1"), "rule": "no-such"}),
        "no-such on h1: the report says noncompliant, its evidence nothing",
    ),
    "what was found": (
        lambda data: _result(data, "ssh-tries", "h1").update(found=["maxauthtries 3"]),
        "ssh-tries on h1: the report says noncompliant, its evidence noncompliant, on other grounds",
    ),
    "a severity": (
        lambda data: _result(data, "ssh-tries", "h1").update(severity="low"),
        "ssh-tries on h1: the report says noncompliant, its evidence noncompliant, on other grounds",
    ),
    "that it is waived": (
        lambda data: _result(data, "ssh-root", "h2").update(waived=True),
        "ssh-root on h2: the report says noncompliant, its evidence noncompliant, on other grounds",
    ),
    "a clause": (_clause, "22239.8.1.4.1.b host h1: the report says compliant"),
    "a waiver's state": (
        lambda data: data["waivers"][1].update(state="in_force"),
        "waivers: other than what follows",
    ),
    "an attestation's state": (
        lambda data: data["attestations"][0].update(valid_until=str(TODAY - timedelta(1))),
        "attestations: other than what follows",
    ),
    "the day": (_day, "though it ended on"),
    "a system": (lambda data: data["hosts"][0].update(family="rpm"), "hosts: other than what follows"),
    "a threshold": (lambda data: data["thresholds"].update(tries=9), "thresholds: other than what follows"),
    "the order": (lambda data: data["results"].reverse(), "order: other than what follows"),
    "an end": (
        lambda data: data["hosts"][0]["described"].update(listeners=["tcp/x"]),
        "the report says of a host what no inventory could",
    ),
}


@pytest.mark.parametrize("name", FORGED)
def test_what_does_not_follow_is_named_though_the_auditor_signed_it(case: Case, name: str) -> None:
    change, words = FORGED[name]
    data = json.loads(case.report.canonical())
    change(data)
    found = case.sealed(Assessment.model_validate_json(json.dumps(data)))
    assert found.signed_by, "the seal holds"
    with pytest.raises(EvidenceError) as caught:
        case.again(found)
    assert words in " ".join(caught.value.lines())


def test_another_catalog_derives_nothing_and_says_so(case: Case, tmp_path: Path) -> None:
    small_catalog(tmp_path)
    path = tmp_path / "profiles" / "mlps3.yml"
    path.write_text(path.read_text().replace("value: 4", "value: 5"))
    assert "catalog or profile of another version" in case.again(case.sealed(), catalogs.load(tmp_path))
    other = case.report.model_copy(update={"profile": "ours"})
    assert "--profile FILE" in case.again(case.sealed(other))


def test_a_report_that_hides_behind_another_catalog_than_its_files_is_seen(case: Case) -> None:
    """The digest of the catalog is altered, so that nothing would be derived; the files' digests are ours."""
    forged = case.report.model_copy(update={"catalog": "0" * 64})
    found = case.sealed(forged)
    for sources, own, lies in (
        (SOURCES, {}, False),
        (shipped(), {}, True),
        ({**shipped(), "site/baseline.yml": "1" * 64}, {}, True),
        ({**shipped(), "site/ours.yml": "1" * 64}, {}, False),
        ({**shipped(), "site/ours.yml": "1" * 64}, {"site/ours.yml": "2" * 64}, False),
        ({**shipped(), "site/ours.yml": "1" * 64}, {"site/ours.yml": "1" * 64}, True),
    ):
        if lies:
            with pytest.raises(EvidenceError, match="another catalog than the files"):
                again(found.report, found.facts, case.catalog, sources, own)
        else:
            assert "another version" in again(found.report, found.facts, case.catalog, sources, own)


def _kept(number: int) -> seal.Verified:
    """Verify what was sealed when the format was new."""
    path = Path(__file__).parent / f"format{number}.evidence.txt"
    return seal.verify(base64.b64decode(path.read_bytes()))


@pytest.mark.parametrize("number", [1, 2])
def test_evidence_of_every_format_still_verifies_and_keeps_its_bytes(case: Case, number: int) -> None:
    """A field that is new to reports needs a new format: else, what was sealed would be taken for altered."""
    found = _kept(number)
    assert found.report.format == number
    assert drift(found.report, case.report).audit == found.manifest.files[bundle.REPORT].sm3


def test_format_1_says_too_little_to_be_judged_again(case: Case) -> None:
    found = _kept(1)
    assert "format 1" in case.again(found)
    data = json.loads(found.report.canonical())
    with pytest.raises(ValueError, match="a field of another format"):
        Assessment.model_validate_json(json.dumps({**data, "format": 2}))
    with pytest.raises(ValueError, match="a field of another format"):
        Assessment.model_validate_json(json.dumps({**data, "day": "2026-01-01"}))


@pytest.mark.parametrize("connector", [None, "@docker/web"])
@pytest.mark.parametrize(
    "target",
    [
        Target(
            "h1",
            None,
            False,
            frozenset({"rpc"}),
            frozenset({("tcp", 22), ("udp", 123)}),
            ("a", "b"),
            "p.service",
        ),
        Target("h1", None, False, frozenset(), frozenset()),
        Target(
            "h1", None, False, plan=Plan(frozenset({"x", "y"}), "x", 1, 2, 3, 4, frozenset({"management"}))
        ),
    ],
)
def test_what_an_inventory_says_of_a_host_comes_back(
    case: Case, target: Target, connector: str | None
) -> None:
    subject = Subject(target, "inner", connector)
    state = case.report.hosts[0].model_copy(
        update={"roles": tuple(sorted(target.roles)), "described": described(subject)}
    )
    assert of_state(state) == subject
