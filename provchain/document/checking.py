"""A document against its model: every problem with its line, in words that name what is allowed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from provchain.document.problems import KeyPath, key_text
from provchain.document.reading import Document

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Wording:
    """What is allowed, in words: by a pattern of the model, and by a key whose type speaks for itself."""

    patterns: Mapping[str, str] = field(default_factory=dict)
    keys: Mapping[str | int, str] = field(default_factory=dict)


def check(found: Document, model: type[Model], wording: Wording) -> Model | None:
    """Return the document as its model, or None after noting every problem in the document."""
    unreadable = {problem.key for problem in found.problems}
    try:
        # by way of JSON: strict about types, yet addresses and lists may be written as YAML has them
        return model.model_validate_json(json.dumps(found.data))
    except ValidationError as error:
        for details in error.errors(include_url=False):
            if key_text(details["loc"]) not in unreadable:
                _note(found, model, wording, details)
    return None


def _note(found: Document, model: type[BaseModel], wording: Wording, details: Mapping[str, Any]) -> None:
    path: KeyPath = details["loc"]
    kind, value = details["type"], details["input"]
    if kind == "missing":
        found.refuse(path, "nothing", "this key is required")
    elif kind == "extra_forbidden":
        found.refuse(path, "an unknown key", "one of " + ", ".join(_known_keys(model, path[:-1])))
    else:
        key = path[-1] if path else ""
        allowed = wording.keys.get(key) or _allowed(wording, kind, details.get("ctx", {}), details["msg"])
        found.refuse(path, _shown(value), allowed)


def _allowed(wording: Wording, kind: str, context: Mapping[str, Any], message: str) -> str:
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
        return wording.patterns[context["pattern"]]
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


def _known_keys(model: type[BaseModel], path: KeyPath) -> list[str]:
    """Return the keys that the mapping at a path may have."""
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
