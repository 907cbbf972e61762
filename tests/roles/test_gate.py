"""A playbook refuses an inventory that isn't generated from the chain.yml that lies there."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from provchain.paths import REPOSITORY, spec_file
from provchain.spec import digest, load


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Any:  # noqa: ANN401 - a function of the plugin
    """Return a function that runs the gate with these options."""
    path = REPOSITORY / "plugins" / "action" / "gate.py"
    found = importlib.util.spec_from_file_location("gate", path)
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    monkeypatch.setattr(module.ActionBase, "run", lambda self, tmp, task_vars: {})

    def gate(spec: Path, said: str) -> dict[str, Any]:
        action = module.ActionModule.__new__(module.ActionModule)
        action._task = type("Task", (), {"args": {"spec_file": str(spec), "digest": said}})
        result: dict[str, Any] = action.run()
        return result

    return gate


def test_the_digest_of_the_description_passes(run: Any) -> None:  # noqa: ANN401 - see above
    spec = spec_file("lab")
    assert run(spec, digest(load(spec))) == {"changed": False, "digest": digest(load(spec))}


def test_a_description_that_was_edited_since_is_refused(run: Any, tmp_path: Path) -> None:  # noqa: ANN401
    spec = spec_file("lab")
    edited = tmp_path / "chain.yml"
    edited.write_text(spec.read_text(encoding="utf-8").replace("1000", "1100"), encoding="utf-8")
    result = run(edited, digest(load(spec)))
    assert result["failed"]
    assert digest(load(edited)) in result["msg"]


def test_a_description_that_is_wrong_or_gone_is_refused(run: Any, tmp_path: Path) -> None:  # noqa: ANN401
    wrong = tmp_path / "chain.yml"
    wrong.write_text("format: 1\n", encoding="utf-8")
    assert run(wrong, "")["failed"]
    assert run(tmp_path / "gone.yml", "")["failed"]


@pytest.mark.parametrize("path", sorted((REPOSITORY / "playbooks").glob("*.yml")), ids=lambda path: path.stem)
def test_every_playbook_begins_with_the_gate(path: Path) -> None:
    """Itself, or by beginning with a playbook that does."""
    first = yaml.safe_load(path.read_text(encoding="utf-8"))[0]
    while imported := first.get("ansible.builtin.import_playbook"):
        first = yaml.safe_load(path.with_name(imported).read_text(encoding="utf-8"))[0]
    assert "gate" in first["tasks"][0]
    assert first["tasks"][0]["tags"] == ["always"]
    assert first["hosts"] == "all"
