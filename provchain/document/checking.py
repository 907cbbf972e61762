"""A document against its model: every problem with its line, in words that name what is allowed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar, get_args, get_origin

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
    path = _written(found.data, details["loc"])
    kind, value = details["type"], details["input"]
    if kind == "missing":
        found.refuse(path, "nothing", "this key is required")
    elif kind == "extra_forbidden":
        known = _known_keys(model, details["loc"][:-1])
        found.refuse(path, "an unknown key", "one of " + ", ".join(known))
    else:
        key = path[-1] if path else ""
        allowed = wording.keys.get(key) or _allowed(wording, kind, details.get("ctx", {}), details["msg"])
        found.refuse(path, _shown(value), allowed)


def _written(data: object, loc: KeyPath) -> KeyPath:
    """Return a place as the document has it: without the names that a union's members have in the model."""
    path: list[str | int] = []
    for number, part in enumerate(loc):
        if isinstance(data, dict) and (part in data or number == len(loc) - 1):
            data = data.get(part)
        elif isinstance(data, list) and isinstance(part, int) and part < len(data):
            data = data[part]
        else:
            continue
        path.append(part)
    return tuple(path)


def _allowed(wording: Wording, kind: str, context: Mapping[str, Any], message: str) -> str:
    """Say what is allowed, by the kind of pydantic's error."""
    texts = {
        "string_type": "text (put it in quotes)",
        "int_type": "a whole number",
        "model_type": "a mapping of keys to values",
        "tuple_type": "a list",
        "dict_type": "a mapping of keys to values",
        "bool_type": "true or false",
    }
    if kind in texts:
        return texts[kind]
    if kind in ("literal_error", "union_tag_invalid"):
        return str(context.get("expected") or context["expected_tags"]).replace("'", "")
    if kind == "string_pattern_mismatch":
        pattern = context["pattern"]
        return wording.patterns.get(pattern, f"text that matches {pattern}")
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
    here: object = model
    for part in path:
        here = _below(here, part)
    names = (about.alias or name for one in _models(here) for name, about in one.model_fields.items())
    return list(dict.fromkeys(names))


def _below(annotation: object, part: str | int) -> object:
    """Return what stands under a key, a number, or a union member's name, as far as the types tell."""
    models = list(_models(annotation))
    tagged = [one for one in models if part in _tags(one)]
    if tagged:
        return tagged[0]
    for one in models:
        for name, about in one.model_fields.items():
            if part == (about.alias or name):
                return about.annotation
    return annotation


def _models(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
        return
    for part in get_args(annotation):
        yield from _models(part)


def _tags(model: type[BaseModel]) -> Iterator[object]:
    """Yield the words by which a union knows this member."""
    for about in model.model_fields.values():
        if get_origin(about.annotation) is Literal:
            yield from get_args(about.annotation)


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
