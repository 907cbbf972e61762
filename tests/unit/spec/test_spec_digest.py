"""The digest stands for what is said, not for how it is written."""

from __future__ import annotations

import io
import json
import random
from pathlib import Path
from typing import Any

import pytest
from gmssl import func, sm3
from hypothesis import given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from provchain.spec import ChainSpec, digest, load, loads

GOOD = Path(__file__).parent / "good.yml"
SPEC = load(GOOD)


def _plain() -> dict[str, Any]:
    data: dict[str, Any] = YAML(typ="safe", pure=True).load(GOOD.read_text(encoding="utf-8"))
    return data


def _shuffled(value: object, source: random.Random) -> object:
    """Return the value with the keys of every mapping in another order; lists keep theirs."""
    if isinstance(value, dict):
        keys = source.sample(sorted(value), len(value))
        return {key: _shuffled(value[key], source) for key in keys}
    if isinstance(value, list):
        return [_shuffled(item, source) for item in value]
    return value


@settings(deadline=None)
@given(
    st.integers(),
    st.sampled_from([True, False, None]),
    st.integers(2, 8),
    st.integers(40, 4000),
    st.booleans(),
)
def test_layout_and_order_of_keys_do_not_matter(
    seed: int, flow_style: bool | None, indent: int, width: int, non_ascii: bool
) -> None:
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style, yaml.indent, yaml.width = flow_style, indent, width
    yaml.allow_unicode = non_ascii
    text = io.StringIO()
    yaml.dump(_shuffled(_plain(), random.Random(seed)), text)
    assert digest(loads(text.getvalue())) == digest(SPEC)


def test_json_is_yaml_too() -> None:
    assert digest(loads(json.dumps(_plain()))) == digest(SPEC)


def test_a_default_spelled_out_is_the_same() -> None:
    data = _plain()
    for section in ("services", "consensus", "crypto", "certificates", "baseline", "filing_number"):
        del data[section]
    assert digest(loads(json.dumps(data))) == digest(SPEC)


def test_comments_do_not_matter() -> None:
    text = GOOD.read_text(encoding="utf-8").replace("\n", " # 注 note\n")
    assert digest(loads(text)) == digest(SPEC)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("title: 测试网", "title: 测试网二"),
        ("failure_domain: b", "failure_domain: e"),
        ("10.1.0.14", "10.1.0.15"),
        ("26657/tcp", "26658/tcp"),
        ("block_interval_ms: 1000", "block_interval_ms: 1001"),
        (", purpose: 监管链", ""),
        ("roles: [full, rpc]", "roles: [rpc, full]"),
        ("version: 0.1.0", "version: 0.1.1"),
    ],
)
def test_every_value_matters(old: str, new: str) -> None:
    text = GOOD.read_text(encoding="utf-8")
    assert old in text
    assert digest(loads(text.replace(old, new))) != digest(SPEC)


def test_it_is_the_sm3_of_the_canonical_json() -> None:
    """Against a second implementation of SM3, and the JSON built here anew."""
    dump = SPEC.model_dump(mode="json")
    text = json.dumps(dump, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    assert digest(SPEC) == sm3.sm3_hash(func.bytes_to_list(text.encode()))


def test_it_stays_what_it_was() -> None:
    """A change of the canonical form would make every running network refuse its own inventory."""
    assert digest(SPEC) == "8953a41c0f26aa43dca35fa4e2826be079d184254c4e1935300491fb63a7d76a"


def test_the_dump_is_a_description_again() -> None:
    dump = SPEC.model_dump(mode="json")
    assert loads(json.dumps(dump)) == SPEC
    assert ChainSpec.model_validate_json(json.dumps(dump)) == SPEC
