"""What the command's tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def kek(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a credential as systemd gives it to a service."""
    folder = tmp_path / "credentials"
    folder.mkdir()
    (folder / "kek").write_bytes(os.urandom(16))
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    return "kek"
