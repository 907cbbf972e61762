"""The rooms of the house stay apart: imports, sizes, literals, and who may know what."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
IMPURE = {"subprocess", "socket", "asyncio", "http", "urllib", "requests", "paramiko", "pulumi", "ansible"}


def tracked(*patterns: str) -> list[Path]:
    """Return the files that git knows, tracked or new, as paths."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]


def imports(path: Path) -> Iterator[str]:
    """Yield every module that a file imports, as a dotted name."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield "." * node.level + (node.module or "")


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


PYTHON = tracked("*.py")


def test_the_suite_never_imports_the_node() -> None:
    offenders = [
        name(path)
        for path in PYTHON
        if name(path).startswith(("provchain/", "pulumi/", "plugins/", "roles/"))
        and any(module.split(".")[0] == "provnode" for module in imports(path))
    ]
    assert offenders == []


PURE = (
    "provchain/spec/",
    "provchain/document/",
    "provchain/baseline/",
    "provchain/audit/looks.py",
    "provchain/audit/answer.py",
    "provchain/audit/assessment.py",
    "provchain/audit/clauses.py",
    "provchain/audit/connectors.py",
    "provchain/audit/drift.py",
    "provchain/audit/offers.py",
    "provchain/audit/subjects.py",
    "provchain/cli/audit_text.py",
    "provchain/report/",
    "provchain/evidence/bundle.py",
    "provchain/evidence/facts.py",
)


@pytest.mark.parametrize("room", PURE)
def test_what_decides_is_pure(room: str) -> None:
    files = [path for path in PYTHON if name(path).startswith(room)]
    assert files
    offenders = [(name(p), m) for p in files for m in imports(p) if m.split(".")[0] in IMPURE]
    assert offenders == []


def test_one_program_alone_meets_the_library_of_connectors() -> None:
    """Its event loop is not ours, and it takes long to load."""
    there = [name(p) for p in PYTHON if any(m.split(".")[0] in ("pyinfra", "gevent") for m in imports(p))]
    assert there == ["provchain/audit/become.py"]


def test_the_core_imports_the_standard_library_only() -> None:
    files = [path for path in PYTHON if name(path).startswith("node/provnode/core/")]
    assert files
    foreign = [
        (name(p), m)
        for p in files
        for m in imports(p)
        if (
            m.split(".")[0] not in sys.stdlib_module_names | IMPURE
            and not m.startswith((".", "provnode.core"))
        )
        or m.split(".")[0] in IMPURE | {"time", "random", "os", "threading", "secrets"}
    ]
    assert foreign == []


def test_the_light_client_stands_alone_and_stays_small() -> None:
    files = [path for path in PYTHON if name(path).startswith("node/provnode/light/")]
    assert files
    allowed = {"msgspec", *sys.stdlib_module_names} - IMPURE
    foreign = [
        (name(p), m)
        for p in files
        for m in imports(p)
        if m.split(".")[0] not in allowed and not m.startswith("provnode.light")
    ]
    assert foreign == []
    assert sum(path.read_text(encoding="utf-8").count("\n") for path in files) < 600


@pytest.mark.parametrize("path", PYTHON, ids=name)
def test_a_file_is_read_in_one_sitting(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= MAX_FILE_LINES
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            length = node.end_lineno - node.lineno + 1
            assert length <= MAX_FUNCTION_LINES, f"{node.name} has {length} lines"


ENGINE_ROOMS = (
    "node/",
    "roles/provnode/",
    "tests/host/engines/provnode.py",
    "docs/",
    "inventories/",
    "provchain/spec/",
)


def test_only_its_role_package_and_adapter_know_the_engine() -> None:
    """Another engine is a role, a package and an adapter; nothing else may have to change."""
    rooms = ("provchain/", "playbooks/", "plugins/", "pulumi/", "roles/", "tests/host/")
    offenders = [
        name(path)
        for path in tracked("*.py", "*.yml", "*.j2")
        if name(path).startswith(rooms)
        and not name(path).startswith(ENGINE_ROOMS)
        and "provnode" in path.read_text(encoding="utf-8")
    ]
    assert offenders == []


LITERAL = re.compile(
    r"port[a-z_]*: *[0-9]{2,5}\b|\b10\.[0-9]+\.[0-9]+\.[0-9]+|\bdport +[0-9]+|(?<![0-9])2665[0-9]"
)


def test_roles_and_playbooks_hold_no_port_or_address() -> None:
    files = [p for p in tracked("roles", "playbooks") if p.suffix in {".yml", ".j2"}]
    assert files
    offenders = [
        f"{name(path)}: {line.strip()}"
        for path in files
        for line in path.read_text(encoding="utf-8").splitlines()
        if LITERAL.search(line)
    ]
    assert offenders == []


def test_every_role_has_an_argument_spec() -> None:
    roles = [path for path in (ROOT / "roles").iterdir() if path.is_dir()]
    assert roles
    for role in roles:
        spec = yaml.safe_load((role / "meta" / "argument_specs.yml").read_text(encoding="utf-8"))
        assert spec["argument_specs"]["main"]["short_description"], role.name


def test_every_playbook_is_named_in_the_guide() -> None:
    guide = (ROOT / "docs" / "platform-team.md").read_text(encoding="utf-8")
    playbooks = tracked("playbooks/*.yml")
    assert playbooks
    assert [name(p) for p in playbooks if p.name not in guide] == []


def test_the_pulumi_program_is_short_and_no_package() -> None:
    assert not (ROOT / "pulumi" / "__init__.py").exists()
    assert (ROOT / "pulumi" / "__main__.py").read_text(encoding="utf-8").count("\n") < 60


FOREIGN = re.compile(
    r"(?<![\w.])/(work|farm)/|pypi\.org|files\.pythonhosted|registry\.npmjs|proxy\.golang|deb\.debian|pkg\.dev"
)


def test_the_project_speaks_of_itself_only() -> None:
    """No path of one machine, no host of a package registry."""
    this = Path(__file__)
    offenders = []
    for path in tracked():
        if path == this or path.suffix in {".png", ".sum", ".ndjson"}:
            continue
        found = FOREIGN.search(path.read_text(encoding="utf-8"))
        if found:
            offenders.append(f"{name(path)}: {found.group()}")
    assert offenders == []


def test_no_secret_is_committed() -> None:
    offenders = [
        name(path)
        for path in tracked()
        if path != Path(__file__)
        and re.search(rb"BEGIN (EC |OPENSSH |)PRIVATE KEY-----\n[A-Za-z0-9+/]{20}", path.read_bytes())
    ]
    assert offenders == []
