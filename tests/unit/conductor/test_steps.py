"""Steps are told of, tools are run with their output kept, and a network has one command at a time."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from provchain.conductor.steps import exclusive, run_step, run_tool
from provchain.errors import ProvchainError


class Recorder:
    """A reporter that remembers."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def started(self, step: str) -> None:
        self.said.append(f"start {step}")

    def detail(self, text: str) -> None:
        self.said.append(f"detail {text}")

    def finished(self, step: str, seconds: float, summary: str) -> None:
        self.said.append(f"end {step}: {summary}")

    def failed(self, step: str, seconds: float) -> None:
        self.said.append(f"failed {step}")


def test_a_step_is_told_of_from_start_to_end() -> None:
    recorder = Recorder()

    def action(detail: object) -> tuple[int, str]:
        assert callable(detail)
        detail("half way")
        return 7, "all done"

    assert run_step(recorder, "work", action) == 7
    assert recorder.said == ["start work", "detail half way", "end work: all done"]


def test_a_failed_step_is_told_of_and_its_error_passes() -> None:
    recorder = Recorder()

    def action(detail: object) -> tuple[None, str]:
        raise ProvchainError("no")

    with pytest.raises(ProvchainError, match="no"):
        run_step(recorder, "work", action)
    assert recorder.said == ["start work", "failed work"]


def tool(code: str, log: Path) -> list[str]:
    return run_tool([sys.executable, "-c", code], log=log, detail=lambda text: None)


def test_a_tools_output_is_kept(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "x.log"
    assert tool("print('one'); print('two')", log) == ["one", "two"]
    assert log.read_text() == "one\ntwo\n"


def test_a_failed_tool_is_an_error_with_its_last_words(tmp_path: Path) -> None:
    with pytest.raises(ProvchainError, match="exit code 3") as caught:
        tool("import sys; print('why'); sys.exit(3)", tmp_path / "x.log")
    assert "why" in caught.value.cause
    assert str(tmp_path / "x.log") in caught.value.remedy


def test_a_network_has_one_command_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVCHAIN_HOME", str(tmp_path))
    with exclusive("one"), exclusive("two"):
        other = "from provchain.conductor.steps import exclusive\nwith exclusive('one'): pass"
        done = subprocess.run([sys.executable, "-c", other], capture_output=True, text=True, check=False)
        assert done.returncode != 0
        assert f"process {os.getpid()} holds" in done.stderr or "another command is at work" in done.stderr
    with exclusive("one"):
        pass
