"""The example objects: made by the script, valid by their schemas, and true to the standards' codes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

EXAMPLES = Path(__file__).parents[3] / "examples"
LINES = (EXAMPLES / "objects.ndjson").read_text(encoding="utf-8").splitlines()
OBJECTS: list[dict[str, Any]] = [json.loads(line) for line in LINES]
SCHEMAS = {p.stem: json.loads(p.read_text(encoding="utf-8")) for p in (EXAMPLES / "schemas").iterdir()}
USCC = "0123456789ABCDEFGHJKLMNPQRTUWXY"


def content(item: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = item["header"]["content"]
    return found


def walk(value: object) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(found for item in value.values() for found in walk(item))]
    if isinstance(value, list):
        return [found for item in value for found in walk(item)]
    return []


def test_the_file_is_what_the_script_makes() -> None:
    done = subprocess.run([sys.executable, EXAMPLES / "make_objects.py", "--check"], capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


def test_every_kind_of_event_occurs() -> None:
    assert len(OBJECTS) >= 200
    counts: dict[tuple[str, str], int] = {}
    for item in OBJECTS:
        key = (content(item)["type"], content(item)["operation"])
        counts[key] = counts.get(key, 0) + 1
    # audits anchor the digests of their evidence: no event of the market, and tested where that is done
    assert {kind for kind, _ in counts} == set(SCHEMAS) - {"audit_evidence"}
    for key in (
        ("enterprise_registration", "create"),
        ("enterprise_registration", "update"),
        ("enterprise_registration", "overwrite"),
        ("enterprise_registration", "delete"),
        ("share_register", "create"),
        ("share_register", "update"),
        ("share_register", "overwrite"),
        ("share_register", "delete"),
        ("share_transfer", "create"),
        ("share_pledge", "create"),
        ("share_pledge", "update"),
    ):
        assert counts.get(key, 0) >= 4, key


def test_overwrites_hit_newest_and_earlier_versions() -> None:
    latest: dict[str, int] = {}
    places = set()
    for item in OBJECTS:
        found = content(item)
        if found["operation"] == "overwrite":
            places.add(found["version"] == latest[found["object_id"]])
        latest[found["object_id"]] = max(found["version"], latest.get(found["object_id"], 0))
    assert places == {True, False}


def test_updates_are_full_and_incremental_and_some_clear_by_null() -> None:
    updates = [item["body"] for item in OBJECTS if content(item)["operation"] == "update"]
    required = [set(schema["required"]) for schema in SCHEMAS.values()]
    assert any(any(fields <= set(body) for fields in required) for body in updates)
    assert any(not any(fields <= set(body) for fields in required) for body in updates)
    assert any(None in body.values() for body in updates)


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_schema_is_closed_and_says_its_draft(name: str) -> None:
    schema = SCHEMAS[name]
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["additionalProperties"] is False
    jsonschema_rs.Draft202012Validator(schema, offline=True)


def test_full_bodies_pass_their_schema() -> None:
    for item in OBJECTS:
        if content(item)["operation"] in ("create", "overwrite"):
            jsonschema_rs.Draft202012Validator(SCHEMAS[content(item)["type"]]).validate(item["body"])


def test_references_pin_a_version_that_is_the_newest_at_that_moment() -> None:
    latest: dict[str, int] = {}
    seen = 0
    for item in OBJECTS:
        for found in walk(item["body"]):
            if set(found) == {"object_id", "version"}:
                seen += 1
                # the pin never moves: a later full body repeats the old one, so it may lag but not lead
                assert found["version"] <= latest[found["object_id"]]
                if content(item)["operation"] == "create":
                    assert found["version"] == latest[found["object_id"]]
        latest[content(item)["object_id"]] = content(item)["version"]
    assert seen > 100


def test_codes_and_identities_are_valid() -> None:
    codes = {item["body"]["enterprise_code"] for item in OBJECTS if "enterprise_code" in item["body"]}
    assert len(codes) == 40
    assert {code[-1] for code in codes} == set("FGPT")
    for code in codes:
        assert re.fullmatch(r"ZJ\d{6}[FGPT]", code)
    for found in walk(OBJECTS):
        for key, value in found.items():
            if key == "did" or key.endswith("_did"):
                assert re.fullmatch(r"did:rem:zhejiang:(ZJ\d{6}[FGPT]|[QRS]\d{9})", value)


def test_credit_codes_carry_their_check_digit() -> None:
    codes = [b["uscc"] for b in (item["body"] for item in OBJECTS) if "uscc" in b]
    assert codes
    for code in codes:
        # GB 32100-2015 clause 5: weighted sum and check digit together are a multiple of 31
        total = sum(USCC.index(c) * pow(3, i, 31) for i, c in enumerate(code[:17]))
        assert len(code) == 18
        assert (total + USCC.index(code[17])) % 31 == 0, code


def test_time_goes_on() -> None:
    times = [content(item)["timestamp"] for item in OBJECTS]
    assert times == sorted(times)


def test_the_shares_of_a_register_add_up() -> None:
    for item in OBJECTS:
        if content(item)["type"] == "share_register" and item["body"]:
            body = item["body"]
            assert sum(holder["shares"] for holder in body["holders"]) == body["total_shares"]
