"""Reports of an assessment: each format is a function from it to text. Pure; the caller writes files."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from provchain.audit.assessment import Assessment
from provchain.baseline.catalog import Catalog
from provchain.report import junit, oscal, page, table

FORMATS: Mapping[str, Callable[[Assessment, Catalog], str]] = {
    "audit.json": lambda assessment, _catalog: assessment.canonical(),
    "audit.junit.xml": junit.text,
    "audit.oscal.json": oscal.text,
    "audit.csv": table.text,
    "report.html": page.text,
}
"""What an audit leaves in a folder, by name of the file. A new format is a module and a line here."""
