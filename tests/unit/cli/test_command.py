"""The command's exit codes and words, as a person and a script see them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from provchain.paths import REPOSITORY

COMMANDS = (
    *("up", "down", "status", "plan", "verify", "demo", "doctor", "env", "backup", "restore", "revoke"),
    *(f"membership {verb}" for verb in ("list", "add", "remove", "rekey", "suspend", "resume")),
)


def provchain(*argv: str, home: Path, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command with a state folder of its own."""
    code = "from provchain.cli.main import main; main()"
    environment = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "PROVCHAIN_HOME": str(home), "COLUMNS": "200"}
    return subprocess.run(
        [sys.executable, "-c", code, *argv],
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env=environment,
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_with_an_example(name: str, tmp_path: Path) -> None:
    done = provchain(*name.split(), "--help", home=tmp_path)
    assert done.returncode == 0
    assert "Example:" in done.stdout


def test_an_unknown_network_is_wrong_use_and_makes_nothing(tmp_path: Path) -> None:
    done = provchain("up", "--network", "nosuch", home=tmp_path)
    assert done.returncode == 2
    assert "described are:" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_down_asks_and_no_means_no(tmp_path: Path) -> None:
    done = provchain("down", "--network", "lab", home=tmp_path, stdin="n\n")
    assert done.returncode == 1
    assert "can't be undone" in done.stdout


@pytest.mark.parametrize(
    ("argv", "warning"),
    [
        (["restore", "v1", __file__], "Replace the store of v1"),
        (["revoke", "zjex", "3f"], "can't be undone"),
        (["membership", "suspend", "v4"], "Suspend v4"),
        (["membership", "remove", "v4"], "Take the vote of v4"),
        (["membership", "rekey", "v4"], "can't be brought back"),
    ],
)
def test_what_destroys_asks_and_no_means_no(argv: list[str], warning: str, tmp_path: Path) -> None:
    done = provchain(*argv, home=tmp_path, stdin="n\n")
    assert done.returncode == 1
    assert warning in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "allowed"),
    [
        (["backup", "--node", "m1"], "v1, v2, v3, v4, a1"),
        (["restore", "m1", __file__, "--yes"], "v1, v2, v3, v4, a1"),
        (["revoke", "nobody", "3f", "--yes"], "zjex, zjfin, zjdata, zjcsd"),
        (["membership", "add", "a1"], "v1, v2, v3, v4"),
        (["membership", "suspend", "v4", "--yes", "--approve", "nobody"], "zjex, zjfin, zjdata, zjcsd"),
    ],
)
def test_a_name_that_nobody_described_is_wrong_use(argv: list[str], allowed: str, tmp_path: Path) -> None:
    done = provchain(*argv, home=tmp_path)
    assert done.returncode == 2
    assert f"allowed: {allowed}" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_doctor_speaks_json(tmp_path: Path) -> None:
    done = provchain("doctor", "--json", home=tmp_path)
    found = {check["name"]: check["ok"] for check in json.loads(done.stdout)}
    assert {"root", "python", "SM3", "memory", "disk", "cgroups", "nft"} <= set(found)
    assert (done.returncode == 0) == all(found.values())


def test_status_of_a_network_that_is_not_up_says_so_and_exits_1(tmp_path: Path) -> None:
    done = provchain("status", "--network", "lab", "--json", home=tmp_path)
    assert done.returncode == 1
    rows = json.loads(done.stdout)["hosts"]
    assert {row["service"] for row in rows if "validator" in row["roles"]} == {"no answer"}
