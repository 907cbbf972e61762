"""Let modules for hosts be imported as Ansible's own importer would let them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import settings
import settings.base
import settings.files

from tests.roles import hostkit

for name, module in (("", settings), (".base", settings.base), (".files", settings.files)):
    sys.modules[f"ansible.module_utils.settings{name}"] = module


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A host's folder with an option file, a drop-in, and a file that all may write."""
    monkeypatch.setattr(settings.files, "BACKUPS", tmp_path / "backups")
    hostkit.make(tmp_path / "etc")
    return tmp_path / "etc"
