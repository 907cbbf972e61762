"""JSON Schemas (2020-12) of the catalog's files, for editors and for tools that are not ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from provchain.baseline.model import ControlFile, Profile, RuleFile, SiteFile

KINDS: dict[str, type[BaseModel]] = {
    "controls": ControlFile,
    "rules": RuleFile,
    "profile": Profile,
    "site": SiteFile,
}
"""What a file of the catalog, or of a site, can be."""


def schema(kind: str) -> dict[str, Any]:
    """Return the schema of one kind of file. Raises KeyError for another word than those of KINDS."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **KINDS[kind].model_json_schema(by_alias=True),
    }


def write(folder: Path) -> None:
    """Write every schema into a folder. Raises OSError."""
    for kind in KINDS:
        text = json.dumps(schema(kind), ensure_ascii=False, indent=1) + "\n"
        (folder / f"{kind}.schema.json").write_text(text, encoding="utf-8")
