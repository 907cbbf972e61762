"""From a chain.yml to a ChainSpec: every problem at once, each with its line; the digest; the schema."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError

from provchain.spec import document, rules
from provchain.spec.document import Document
from provchain.spec.model import MEANINGS, ChainSpec
from provchain.spec.problems import KeyPath, SpecError, key_text


def load(path: Path) -> ChainSpec:
    """Read and check a chain.yml. Raises SpecError with every problem that can be told."""
    return loads(document.read(path), str(path))


def loads(text: str, file: str = "chain.yml") -> ChainSpec:
    """Check a description given as text; ``file`` is its name in refusals. Raises SpecError."""
    found = document.parse(text, file)
    unreadable = {problem.key for problem in found.problems}
    spec: ChainSpec | None = None
    try:
        # by way of JSON: strict about types, yet addresses and lists may be written as YAML has them
        spec = ChainSpec.model_validate_json(json.dumps(found.data))
    except ValidationError as error:
        for details in error.errors(include_url=False):
            if key_text(details["loc"]) not in unreadable:
                _note(found, details)
    if isinstance(found.data, dict):
        broken = frozenset(found.broken)
        for finding in rules.findings(_draft(found.data, broken), broken):
            found.refuse(finding.path, finding.found, finding.allowed)
    if spec is None or found.problems:
        raise SpecError(tuple(sorted(found.problems, key=lambda problem: problem.line)))
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
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **ChainSpec.model_json_schema(by_alias=True),
    }


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


def _note(found: Document, details: Mapping[str, Any]) -> None:
    path: KeyPath = details["loc"]
    kind, value = details["type"], details["input"]
    if kind == "missing":
        found.refuse(path, "nothing", "this key is required")
    elif kind == "extra_forbidden":
        found.refuse(path, "an unknown key", "one of " + ", ".join(_known_keys(path[:-1])))
    else:
        key = path[-1] if path else ""
        allowed = _SPELLING.get(key) or _allowed(kind, details.get("ctx", {}), details["msg"])
        found.refuse(path, _shown(value), allowed)


_SPELLING: dict[str | int, str] = {
    "address": "an IPv4 address such as 10.0.0.11",
    "cidr": "an IPv4 network such as 10.0.0.0/24, without host bits",
}
"""What is allowed under keys whose errors are raised by the standard library, in words of its own."""


def _allowed(kind: str, context: Mapping[str, Any], message: str) -> str:
    """Say what is allowed, by the kind of pydantic's error."""
    texts = {
        "string_type": "text (put it in quotes)",
        "int_type": "a whole number",
        "model_type": "a mapping of keys to values",
        "tuple_type": "a list",
    }
    if kind in texts:
        return texts[kind]
    if kind == "literal_error":
        return str(context["expected"]).replace("'", "")
    if kind == "string_pattern_mismatch":
        return MEANINGS[context["pattern"]]
    if kind == "value_error":
        return str(context["error"])
    limits = {
        "greater_than_equal": "at least {ge}",
        "less_than_equal": "at most {le}",
        "too_short": "a list of at least {min_length}",
        "too_long": "a list of at most {max_length}",
        "string_too_long": "at most {max_length} characters",
    }
    return limits[kind].format(**context) if kind in limits else message


def _known_keys(path: KeyPath) -> list[str]:
    """Return the keys that the mapping at a path may have."""
    model: type[BaseModel] = ChainSpec
    for part in path:
        if isinstance(part, str):
            fields = {field.alias or name: field for name, field in model.model_fields.items()}
            model = _model_of(fields[part].annotation)
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_of(annotation: object) -> type[BaseModel]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(_model_of(part) for part in get_args(annotation) if part not in (Ellipsis, type(None)))


def _shown(value: object) -> str:
    """Return a value as one would write it in YAML, shortened."""
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, list):
        text = "[" + ", ".join(_shown(item) for item in value[:8]) + (", …]" if len(value) > 8 else "]")
    elif isinstance(value, str) and value.strip() and not value.isdecimal():
        text = value
    else:
        text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 80 else text[:79] + "…"
