"""The sample attestations: each counts for its clause by its very document, and not by another."""

from __future__ import annotations

import shutil
from datetime import date
from pathlib import Path

from provchain.audit.clauses import attestation_states, clauses
from provchain.audit.run import digest_of
from provchain.baseline import catalog
from provchain.baseline.observation import Verdict
from provchain.paths import REPOSITORY

FOLDER = REPOSITORY / "examples/attestations"
CATALOG = catalog.load()
SITE = catalog.load_site(FOLDER / "baseline.yml", CATALOG)
DAY = date(2026, 11, 26)


def judged(folder: Path, day: date) -> dict[str, Verdict]:
    """Return the verdict of each clause that is attested, by documents alone."""
    digests = {one.file: digest_of(folder, one.file) for one in SITE.attestations}
    states = attestation_states(SITE.attestations, digests, day)
    controls = [CATALOG.controls[one.control] for one in SITE.attestations]
    return {one.control: one.verdict for one in clauses(controls, (), {}, states)}


def test_each_clause_is_shown_by_its_document() -> None:
    found = judged(FOLDER, DAY)
    assert len(found) >= 5
    assert set(found.values()) == {Verdict.COMPLIANT}


def test_without_them_the_same_clauses_are_unknown(tmp_path: Path) -> None:
    """Gone, altered, before they were signed or after they ran out."""
    assert set(judged(tmp_path, DAY).values()) == {Verdict.UNKNOWN}
    shutil.copytree(FOLDER / "documents", tmp_path / "documents")
    assert set(judged(tmp_path, DAY).values()) == {Verdict.COMPLIANT}
    for path in (tmp_path / "documents").iterdir():
        path.write_text(path.read_text(encoding="utf-8") + " ", encoding="utf-8")
    assert set(judged(tmp_path, DAY).values()) == {Verdict.UNKNOWN}
    assert set(judged(FOLDER, date(2026, 1, 1)).values()) == {Verdict.UNKNOWN}
    assert set(judged(FOLDER, date(2028, 1, 1)).values()) == {Verdict.UNKNOWN}
