"""The core is pure: it imports the standard library's pure parts, and asks no clock, disk or chance."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import provnode
from provnode import core

NODE = Path(__file__).resolve().parents[2]
ALLOWED = {
    "__future__",
    "bisect",
    "collections.abc",
    "dataclasses",
    "enum",
    "functools",
    "itertools",
    "math",
}
IMPURE_CALLS = {"open", "print", "input", "exec", "eval", "__import__", "hash", "id"}


def test_the_core_imports_pure_parts_of_the_standard_library_only() -> None:
    files = sorted(Path(core.__path__[0]).glob("*.py"))
    assert {path.name for path in files} >= {"machine.py", "votes.py", "guard.py", "types.py", "events.py"}
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found = {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                assert node.level == 0
                found = {node.module or ""}
            else:
                continue
            foreign = {name for name in found if name not in ALLOWED and not name.startswith("provnode.core")}
            assert not foreign, f"{path.name} imports {foreign}"


def test_the_core_can_be_read_in_one_sitting() -> None:
    files = Path(core.__path__[0]).glob("*.py")
    assert sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files) < 1_500


def test_the_core_calls_nothing_impure() -> None:
    for path in sorted(Path(core.__path__[0]).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id not in IMPURE_CALLS, f"{path.name}:{node.lineno}"


def test_the_version_is_the_distribution_s() -> None:
    project = tomllib.loads((NODE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert provnode.__version__ == project["version"]


def test_every_dependency_is_locked_with_hashes_and_no_place() -> None:
    project = tomllib.loads((NODE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lock = (NODE / "requirements.lock").read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[a-z])", lock.strip())
    pins = {entry.split()[0].lower(): entry for entry in entries}
    assert {name.lower() for name in project["dependencies"]} <= set(pins)
    assert all("--hash=sha256:" in entry for entry in pins.values())
    assert "http" not in re.sub(r"#.*", "", lock)


def test_the_suite_tests_the_versions_that_are_shipped() -> None:
    project = tomllib.loads((NODE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    suite = tomllib.loads((NODE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["dependencies"]) <= set(suite["optional-dependencies"]["dev"])
