"""What operators read of events and methods is what the code has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from provnode.rpc.methods import Methods
from tests.rpc.rpckit import served

NODE = Path(__file__).resolve().parents[2]
README = (NODE / "README.md").read_text(encoding="utf-8")
_EVENT = re.compile(r"[a-z_]+\.[a-z_]+")


def events(path: Path) -> Iterator[str]:
    """The names that a file logs: by log_event, or first in the words of a log call."""
    for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not isinstance(call, ast.Call):
            continue
        called = ast.unparse(call.func)
        at = {"log_event": 2, "log.exception": 0}.get(called)
        if at is not None:
            given = call.args[at]
            assert isinstance(given, ast.Constant), f"{path}: an event's name is written out"
            name = str(given.value).split()[0]
            assert _EVENT.fullmatch(name), f"{path}: {name}"
            yield name


def section(title: str) -> str:
    """The text below a heading."""
    return README.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def first_cells(text: str) -> set[str]:
    """What stands as code in the first column of the tables."""
    rows = (line.split("|")[1] for line in text.splitlines() if line.startswith("| `"))
    return {name for row in rows for name in re.findall(r"`([^`]+)`", row)}


def test_every_event_is_explained() -> None:
    written = {name for path in (NODE / "provnode").rglob("*.py") for name in events(path)}
    assert len(written) > 20
    assert first_cells(section("Logs")) == written


def test_every_method_is_listed(tmp_path: Path) -> None:
    import asyncio

    async def names() -> set[str]:
        async with served(tmp_path) as it:
            return set(Methods(it.node).names)

    assert first_cells(section("JSON-RPC")) == asyncio.run(names())


def test_every_metric_is_listed(tmp_path: Path) -> None:
    import asyncio

    async def page() -> str:
        async with served(tmp_path) as it:
            _, body = await it.raw(b"GET /metrics HTTP/1.1\r\nhost: x\r\n\r\n")
            return body.decode()

    names = set(re.findall(r"^# TYPE (\w+) ", asyncio.run(page()), re.MULTILINE))
    assert len(names) > 20
    assert first_cells(section("Metrics")) == names
