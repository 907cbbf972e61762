"""JSON Schemas of models with what their fields' docstrings say.

pydantic can take these up by itself, but does so whenever a model is defined, by reading its source: a sixth
of the time in which the command starts, for what only a schema needs.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, get_args

from pydantic import BaseModel


def json_schema(model: type[BaseModel]) -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a model, with a description of each field that has a docstring."""
    schema = model.model_json_schema(by_alias=True)
    places = {model.__name__: schema, **schema.get("$defs", {})}
    for one in set(_reached(model, set())):
        properties = places.get(one.__name__, {}).get("properties", {})
        for name, text in _docstrings(one).items():
            about = properties.get(one.model_fields[name].alias or name)
            if about is not None and "description" not in about:
                about["description"] = text
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def _reached(annotation: object, seen: set[object]) -> Iterator[type[BaseModel]]:
    """Yield the models that a field of this type can hold, and those that theirs can."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation not in seen:
            seen.add(annotation)
            yield annotation
            for field in annotation.model_fields.values():
                yield from _reached(field.annotation, seen)
        return
    for part in get_args(annotation):
        yield from _reached(part, seen)


def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the text that stands below each field, in the class or the one that it has the field from."""
    found: dict[str, str] = {}
    for one in reversed(model.__mro__):
        if issubclass(one, BaseModel) and one is not BaseModel:
            (body,) = ast.parse(textwrap.dedent(inspect.getsource(one))).body
            assert isinstance(body, ast.ClassDef)  # noqa: S101 - it is the source of one
            for field, text in zip(body.body, body.body[1:], strict=False):
                if (
                    isinstance(field, ast.AnnAssign)
                    and isinstance(field.target, ast.Name)
                    and isinstance(text, ast.Expr)
                    and isinstance(text.value, ast.Constant)
                    and isinstance(text.value.value, str)
                ):
                    found[field.target.id] = inspect.cleandoc(text.value.value)
    return {name: text for name, text in found.items() if name in model.model_fields}
