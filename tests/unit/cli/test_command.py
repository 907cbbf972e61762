"""The command's exit codes and words, as a person and a script see them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from provchain.paths import REPOSITORY

COMMANDS = ("up", "down", "status", "plan", "verify", "demo", "doctor", "env")


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
    done = provchain(name, "--help", home=tmp_path)
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
