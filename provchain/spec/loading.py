"""From a chain.yml to a ChainSpec: every problem at once, each with its line; the digest; the schema."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter

from provchain.document import DocumentError, Wording, check, parse, read
from provchain.document.described import json_schema as described
from provchain.spec import rules
from provchain.spec.model import MEANINGS, ChainSpec

_WORDING = Wording(
    MEANINGS,
    {
        "address": "an IPv4 address such as 10.0.0.11",
        "cidr": "an IPv4 network such as 10.0.0.0/24, without host bits",
    },
)


def load(path: Path) -> ChainSpec:
    """Read and check a chain.yml. Raises DocumentError with every problem that can be told."""
    return loads(read(path, "chain.yml"), str(path))


def loads(text: str, file: str = "chain.yml") -> ChainSpec:
    """Check a description given as text; ``file`` is its name in refusals. Raises DocumentError."""
    found = parse(text, file)
    spec = check(found, ChainSpec, _WORDING)
    if isinstance(found.data, dict):
        broken = frozenset(found.broken)
        for finding in rules.findings(_draft(found.data, broken), broken):
            found.refuse(finding.path, finding.found, finding.allowed)
    if spec is None or found.problems:
        raise DocumentError(tuple(sorted(found.problems, key=lambda problem: problem.line)))
    return spec


def digest(spec: ChainSpec) -> str:
    """Return the SM3 (GB/T 32905-2016) of the spec's canonical JSON, as 64 hexadecimal digits.

    Canonical: keys sorted, no spaces, UTF-8, defaults written out. So the layout of the YAML, the order
    of its keys and whether a default is spelled out do not matter; any value does.
    """
    text = json.dumps(spec.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.new("sm3", text.encode()).hexdigest()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of chain.yml, for editors."""
    return described(ChainSpec)


def _draft(data: dict[str, Any], broken: Collection[str | int]) -> ChainSpec:
    """Return what is sound of a description, section by section, so that rules can look at it."""
    sections: dict[str, Any] = {}
    for name, field in ChainSpec.model_fields.items():
        if name in broken:
            continue
        if name in data:
            sections[name] = TypeAdapter[object](cast(type, field.annotation)).validate_json(
                json.dumps(data[name])
            )
        elif not field.is_required():
            sections[name] = field.get_default()
    return ChainSpec.model_construct(**sections)
