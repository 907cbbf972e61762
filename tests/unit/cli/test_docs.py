"""What the guides tell people to type exists: every command, option and example file of theirs."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.core import TyperArgument, TyperGroup, TyperOption

from provchain.audit import fleet
from provchain.baseline import catalog
from provchain.cli.main import app
from provchain.paths import REPOSITORY

GUIDES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").rglob("*.md"))]
OFFICER = REPOSITORY / "docs" / "security-officer.md"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.S | re.M)
COMMAND = re.compile(r"(?:^|[\s(])(?:\.venv/bin/)?provchain (?=[a-z-])(.*)")


def commands(text: str) -> Iterator[tuple[str, bool]]:
    """Yield what stands behind ``provchain`` in a text, and whether it is whole: a line of a block."""
    for _, block in FENCE.findall(text):
        for line in block.splitlines():
            found = COMMAND.search(line)
            if found:
                yield re.split(r"\)\"| [>|] |;|&&", found[1])[0].split("  ")[0], True
    for word in re.findall(r"`((?:\.venv/bin/)?provchain [^`\n]+)`", FENCE.sub("", text)):
        yield word.partition("provchain ")[2], False


def problem(line: str, whole: bool) -> str:
    """Say what is wrong with a command line, nothing if it could be typed."""
    command: Any = typer.main.get_command(app)
    words = shlex.split(line, comments=True)
    while isinstance(command, TyperGroup):
        if words and words[0] in command.commands:
            command = command.commands[words.pop(0)]
        elif "run" in command.commands and words:
            command = command.commands["run"]
        else:
            return f"no command {words[:1]}" if words or whole else ""
    options = {name: one for one in command.params if isinstance(one, TyperOption) for name in one.opts}
    arguments = [one for one in command.params if isinstance(one, TyperArgument)]
    given, plain = set(), 0
    while words:
        word = words.pop(0)
        if not word.startswith("-"):
            plain += 1
            continue
        name, equals, _ = word.partition("=")
        if name not in {*options, "--help"}:
            return f"no option {name}"
        given.add(options[name].name if name in options else name)
        if name in options and not options[name].is_flag and not equals:
            if not words:
                return f"{name} needs a value"
            words.pop(0)
    if plain > len(arguments) and all(one.nargs == 1 for one in arguments):
        return f"{plain} arguments, {len(arguments)} are taken"
    missing = [one for one in arguments if one.required][plain:]
    needed = [name for name, one in options.items() if one.required and one.name not in given]
    return f"it needs {missing or needed}" if whole and (missing or needed) else ""


@pytest.mark.parametrize("path", GUIDES, ids=lambda path: path.name)
def test_every_command_in_a_guide_can_be_typed(path: Path) -> None:
    found = list(commands(path.read_text(encoding="utf-8")))
    if path == OFFICER:
        assert len(found) > 10, "commands are found at all"
    assert [(line, told) for line, whole in found if (told := problem(line, whole))] == []


@pytest.mark.parametrize(
    ("line", "whole", "wrong"),
    [
        ("audit seal a.json --key k --out o", True, False),
        ("audit seal a.json --key k", True, True),
        ("audit seal", False, False),
        ("audit lab --output x", True, False),
        ("audit lab --outputs x", True, True),
        ("audit diff a", True, True),
        ("audit diff a b c", True, True),
        ("nosuch", True, True),
        ("nosuch", False, True),
        ("membership add v5", True, False),
        ("audit explain x --profile", True, True),
    ],
)
def test_a_wrong_line_is_seen(line: str, whole: bool, wrong: bool) -> None:
    assert bool(problem(line, whole)) == wrong


def test_every_command_of_the_audit_is_in_the_officers_guide() -> None:
    command = typer.main.get_command(app)
    assert isinstance(command, TyperGroup)
    audit = command.commands["audit"]
    assert isinstance(audit, TyperGroup)
    text = OFFICER.read_text(encoding="utf-8")
    assert [name for name in audit.commands if f"provchain audit {name}" not in text and name != "run"] == []


def test_the_officers_example_files_are_accepted(tmp_path: Path) -> None:
    first, second = (
        block for kind, block in FENCE.findall(OFFICER.read_text(encoding="utf-8")) if kind == "yaml"
    )
    (tmp_path / "fleet.yml").write_text(first, encoding="utf-8")
    assert [host.name for host in fleet.load(tmp_path / "fleet.yml").hosts] == ["bastion", "db1"]
    (tmp_path / "baseline.yml").write_text(second, encoding="utf-8")
    site = catalog.load_site(tmp_path / "baseline.yml", catalog.load())
    assert len(site.waivers) == len(site.attestations) == 1


def test_links_and_pictures_of_the_officers_guide_are_there() -> None:
    text = OFFICER.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)]+)\)", text)
    assert [one for one in links if one.startswith("#") and f'<a id="{one[1:]}"></a>' not in text] == []
    files = [OFFICER.parent / one for one in links if not one.startswith("#")]
    assert [one for one in files if not one.is_file()] == []
    pictures = [one for one in files if one.suffix == ".png"]
    assert len(pictures) == 3
    assert all(one.stat().st_size < 120_000 for one in pictures)
    rules = set(re.findall(r'"baseline_rules": \["([a-z-]+)"\]', text)) | set(
        re.findall(r"explain ([a-z-]+)", text)
    )
    assert rules <= set(catalog.load().rules)
