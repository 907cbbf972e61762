"""JSON Schemas (2020-12) of the catalog's files, for editors and for tools that are not ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from provchain.baseline.model import ControlFile, Profile, RuleFile, SiteFile
from provchain.document.described import json_schema

KINDS: dict[str, type[BaseModel]] = {
    "controls": ControlFile,
    "rules": RuleFile,
    "profile": Profile,
    "site": SiteFile,
}
"""What a file of the catalog, or of a site, can be."""


def schema(kind: str) -> dict[str, Any]:
    """Return the schema of one kind of file. Raises KeyError for another word than those of KINDS."""
    return json_schema(KINDS[kind])


def write(folder: Path) -> None:
    """Write every schema into a folder. Raises OSError."""
    for kind in KINDS:
        text = json.dumps(schema(kind), ensure_ascii=False, indent=1) + "\n"
        (folder / f"{kind}.schema.json").write_text(text, encoding="utf-8")
