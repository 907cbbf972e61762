"""Every format says the same, fits its standard, and is safe to open, whatever a host said."""

from __future__ import annotations

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from xml.etree import ElementTree

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from provchain.audit.assessment import Assessment
from provchain.baseline.catalog import Catalog
from provchain.baseline.facts import Facts
from provchain.baseline.model import SiteFile, Text, Waiver
from provchain.report import FORMATS, junit, oscal, page, table
from tests.unit.audit.auditkit import TODAY, assessed, host_facts, small_catalog

SCHEMA = json.loads((Path(__file__).parent / "oscal-ar.schema.json").read_text(encoding="utf-8"))
"""NIST's own, of OSCAL 1.1.2, as published in liboscal-java 3.0.3 (a work of NIST, in the public domain)."""
VALIDATOR = jsonschema_rs.validator_for(SCHEMA)
HOSTILE = '=cmd|" /C calc"!A0\x1b[2J</failure>]]>\x00,"\n'


@pytest.fixture
def made(tmp_path: Path) -> tuple[Assessment, Catalog]:
    """An audit with a finding, a waived one, a host that lies, one that is down, and an expired waiver."""
    words = Text(zh="无", en="none")
    waivers = tuple(
        Waiver(
            rule=rule,
            hosts=("h2",),
            reason=words,
            approver="张",
            compensation=words,
            expires=TODAY + timedelta(days),
        )
        for rule, days in (("ssh-root", 0), ("ssh-tries", -1))
    )
    facts = {
        "h1": host_facts(tries=9),
        "h2": host_facts(root="yes"),
        "h3": host_facts(root=HOSTILE),
        "h4": Facts({}, 0, HOSTILE),
    }
    return assessed(tmp_path, facts, SiteFile(waivers=waivers)), small_catalog(tmp_path)


def test_the_same_audit_gives_the_same_bytes(made: tuple[Assessment, Catalog]) -> None:
    for text in FORMATS.values():
        assert text(*made) == text(*made)


def test_page_and_oscal_tell_by_which_way_a_host_was_reached_without_ssh(
    made: tuple[Assessment, Catalog],
) -> None:
    found, catalog = made
    first, *others = found.hosts
    assert first.described is not None
    image = first.described.model_copy(update={"connector": "@chroot//srv/images/base"})
    there = found.model_copy(update={"hosts": (first.model_copy(update={"described": image}), *others)})
    assert "途径" not in page.text(found, catalog)
    assert "<code>@chroot//srv/images/base</code>, 镜像，未运行" in page.text(there, catalog)
    data = json.loads(oscal.text(there, catalog))
    assert VALIDATOR.is_valid(data)
    assert '"value":"@chroot//srv/images/base"' in json.dumps(data, separators=(",", ":"))


def test_junit(made: tuple[Assessment, Catalog]) -> None:
    root = ElementTree.fromstring(junit.text(*made))  # noqa: S314 - our own text
    suites = {suite.attrib["name"]: suite for suite in root}
    assert set(suites) == {"h1", "h2", "h3", "h4", "waivers"}
    counts = {
        name: [int(suite.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")]
        for name, suite in suites.items()
    }
    assert counts == {
        "h1": [3, 1, 0, 0],
        "h2": [3, 0, 0, 1],
        "h3": [3, 1, 0, 0],
        "h4": [3, 0, 3, 0],
        "waivers": [1, 1, 0, 0],
    }
    for suite in root:
        for tag, key in (("failure", "failures"), ("error", "errors"), ("skipped", "skipped")):
            assert len(suite.findall(f"testcase/{tag}")) == int(suite.get(key, "0"))


def test_oscal_fits_nists_schema(made: tuple[Assessment, Catalog]) -> None:
    data = json.loads(oscal.text(*made))
    assert [str(error) for error in VALIDATOR.iter_errors(data)] == []
    (result,) = data["assessment-results"]["results"]
    ids = [one["uuid"] for one in [*result["observations"], *result["findings"]]]
    assert len(ids) == len(set(ids))
    seen = {one["uuid"] for one in result["observations"]}
    for finding in result["findings"]:
        assert {one["observation-uuid"] for one in finding.get("related-observations", [])} <= seen
    states = {one["title"]: one["target"]["status"]["state"] for one in result["findings"]}
    assert states["22239.8.1.4.1.a h1"] == states["22239.8.1.4.1.a h4"] == "not-satisfied"
    assert states["22239.8.1.3.1.a inner"] == "not-satisfied", "a zone with a host that is down is not proven"


def test_oscal_of_a_limited_audit(made: tuple[Assessment, Catalog]) -> None:
    limited = made[0].model_copy(update={"clauses": (), "results": (), "limited": ("h1",)})
    assert VALIDATOR.is_valid(oscal.document(limited, made[1]))
    broken = oscal.document(*made)
    broken["assessment-results"]["results"][0]["observations"][0]["methods"] = []
    assert not VALIDATOR.is_valid(broken), "the schema is really looked at"


def test_the_table_opens_in_chinese_and_computes_nothing(made: tuple[Assessment, Catalog]) -> None:
    text = table.text(*made)
    assert text.encode("utf-8").startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(text.removeprefix("\ufeff"))))
    assert len(rows) == len(made[0].clauses)
    by = {(row["条款 clause"], row["对象 object"]): row for row in rows}
    assert by["22239.8.1.4.1.a", "h1"]["结果 verdict"] == "部分符合"
    assert by["22239.8.1.4.1.a", "h1"]["不符合的规则 failing rules"] == "ssh-tries"
    assert by["22239.8.1.4.1.a", "h2"]["豁免 waived"] == "ssh-root"
    assert by["22239.8.1.4.1.a", "h4"]["结果 verdict"] == "未知"
    assert "maxauthtries 9" in by["22239.8.1.4.1.a", "h1"]["现状 found"]
    for row in rows:
        assert all(not cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row.values())


@given(st.sampled_from(["", "=", "+", "-", "@", "\t", "\r"]), st.text(max_size=40))
def test_no_cell_is_a_formula(first: str, rest: str) -> None:
    cell = first + rest
    assert not table.safe(cell).startswith(("=", "+", "-", "@", "\t", "\r"))
    assert table.safe(cell).endswith(cell)
