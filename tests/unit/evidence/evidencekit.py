"""An audit with what it leaves on disk, and a chain that proves what it is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from provchain.baseline.facts import Facts
from provchain.evidence import facts as files
from provchain.paths import REPOSITORY
from tests.unit.audit.auditkit import assessed, host_facts

WHEN = datetime(2026, 2, 1, 9, tzinfo=UTC)
SOURCES = {"baselines/rules/ssh.yml": "ab" * 32}
HOSTS = {
    "h1": replace(host_facts(tries=9), external={"ssh.kex": ("a", "b")}),
    "h2": host_facts(root="\u202e<script>\x00\n" * 40),
    "h3": Facts({}, 5, "no route\x1b to host"),
}
# the ledger's own tests have a chain; their package has the name of this one, hence the process
_PROVE = """
import json, sys
from pathlib import Path
from tests.ledger.ledgerkit import Chain
folder, given = Path(sys.argv[1]), json.load(sys.stdin)
chain = Chain(schemas={"audit_evidence": given["schema"]})
ledger = chain.ledger(folder / "chain.sqlite")
chain.extend(ledger, *given["objects"])
first = given["objects"][0]["header"]["content"]["object_id"]
(folder / "genesis.json").write_text(json.dumps(chain.document))
(folder / "engine.json").write_text(json.dumps(ledger.prove(first, 0)))
"""


def left(folder: Path, facts: Mapping[str, Facts] = HOSTS) -> Path:
    """Leave what ``audit run --output`` leaves for sealing, and return the report."""
    found = assessed(folder / "catalog", facts).model_copy(update={"auditor": "陈静"})
    report = folder / "audit.json"
    report.write_text(found.canonical(), encoding="utf-8")
    (folder / "facts").mkdir()
    for name, one in facts.items():
        (folder / "facts" / f"{name}.json").write_text(files.text(name, one), encoding="utf-8")
    (folder / "sources.json").write_text(json.dumps(SOURCES))
    return report


def schema() -> dict[str, Any]:
    """The shipped schema of what is anchored."""
    text = (REPOSITORY / "examples" / "schemas" / "audit_evidence.json").read_text(encoding="utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def proven(folder: Path, *objects: Mapping[str, Any]) -> tuple[Path, dict[str, Any]]:
    """Commit objects on a new chain; return its genesis and the proof of the first."""
    given = json.dumps({"schema": schema(), "objects": objects})
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY / "node")}
    argv = [sys.executable, "-c", _PROVE, str(folder)]
    subprocess.run(argv, input=given, text=True, env=environment, cwd=folder, check=True)
    return folder / "genesis.json", json.loads((folder / "engine.json").read_text())
