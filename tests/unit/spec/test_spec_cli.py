"""``provchain spec``: 0 done, 1 refused with one line a problem, 2 wrong use."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from provchain.cli.spec import app
from provchain.spec import digest, json_schema, load

HERE = Path(__file__).parent
GOOD = HERE / "good.yml"
RUN = CliRunner()


@pytest.fixture
def bad(tmp_path: Path) -> Path:
    text = GOOD.read_text(encoding="utf-8")
    path = tmp_path / "chain.yml"
    text = text.replace("faults: 1", "faults: 2").replace("bastion: m1", "bastion: m2")
    path.write_text(text, encoding="utf-8")
    return path


def test_check_accepts() -> None:
    result = RUN.invoke(app, ["check", str(GOOD)])
    assert (result.exit_code, result.stdout) == (0, f"{GOOD}: ok, 6 hosts, digest {digest(load(GOOD))}\n")


def test_check_refuses_with_one_line_a_problem(bad: Path) -> None:
    result = RUN.invoke(app, ["check", str(bad)])
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        f"{bad}:52: consensus.faults: found 2 with 4 validators; "
        "allowed: at most 1, or at least 7 validators",
        f"{bad}:69: ssh.bastion: found m2; allowed: the name of a host",
    ]


def test_check_tells_machines(bad: Path) -> None:
    result = RUN.invoke(app, ["check", str(bad), "--json"])
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["ok"]) == (1, False)
    assert [(p["line"], p["key"]) for p in answer["problems"]] == [
        (52, "consensus.faults"),
        (69, "ssh.bastion"),
    ]
    accepted = json.loads(RUN.invoke(app, ["check", str(GOOD), "--json"]).stdout)
    assert accepted == {"file": str(GOOD), "ok": True, "digest": digest(load(GOOD)), "problems": []}


def test_digest_prints_the_digest_alone(bad: Path) -> None:
    expected = digest(load(GOOD))
    assert RUN.invoke(app, ["digest", str(GOOD)]).stdout == f"{expected}\n"
    assert json.loads(RUN.invoke(app, ["digest", str(GOOD), "--json"]).stdout)["digest"] == expected
    refused = RUN.invoke(app, ["digest", str(bad)])
    assert (refused.exit_code, refused.stdout) == (1, "")


def test_schema_prints_or_writes(tmp_path: Path) -> None:
    target = tmp_path / "schema.json"
    assert RUN.invoke(app, ["schema", str(target)]).exit_code == 0
    printed = RUN.invoke(app, ["schema"]).stdout
    assert printed == target.read_text(encoding="utf-8")
    assert json.loads(printed) == json_schema()


@pytest.mark.parametrize(
    "arguments",
    [
        ["check"],
        ["check", "no-such-file"],
        ["check", "/"],
        ["digest"],
        ["dance"],
        ["schema", "/no/folder/x.json"],
    ],
)
def test_wrong_use_exits_2(arguments: list[str]) -> None:
    assert RUN.invoke(app, arguments).exit_code == 2


@pytest.mark.parametrize("command", ["check", "digest", "schema"])
def test_help_has_an_example(command: str) -> None:
    result = RUN.invoke(app, [command, "--help"])
    assert result.exit_code == 0
    assert f"Example: provchain spec {command}" in " ".join(result.stdout.split())
