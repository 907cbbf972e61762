"""The processes of a network on this machine: started, waited for, measured, ended."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_START_SECONDS = 60.0
_END_SECONDS = 20.0


class Processes:
    """The nodes of one network, each with a log of its own in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, argv: list[str], cwd: Path, env: Mapping[str, str] | None = None) -> None:
        """Start one; what it writes goes to `<name>.log`."""
        with (self._folder / f"{name}.log").open("wb") as log:
            self._running[name] = subprocess.Popen(
                argv, cwd=cwd, env={**os.environ, **(env or {})}, stdout=log, stderr=subprocess.STDOUT
            )

    def wait_for(self, ready: Callable[[], bool], what: str) -> None:
        """Return once `ready()`. Raises RuntimeError when a process has died, or after a minute."""
        end = time.monotonic() + _START_SECONDS
        while not ready():
            self.check()
            if time.monotonic() > end:
                raise RuntimeError(f"no {what} within {_START_SECONDS:g} s")
            time.sleep(0.05)

    def check(self) -> None:
        """Raise RuntimeError with the end of its log if one has died."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended with {process.returncode}: {self.said(name)[-2000:]}")

    def cpu_seconds(self, *names: str) -> float:
        """The processor time that these, or all, have used so far."""
        return sum(_cpu(self._running[name].pid) for name in names or self._running)

    @property
    def pids(self) -> dict[str, int]:
        """The process of each."""
        return {name: process.pid for name, process in self._running.items()}

    def end(self, name: str) -> float:
        """End one by SIGTERM; gives the seconds until it was gone. Raises RuntimeError where it failed."""
        process = self._running.pop(name)
        began = time.monotonic()
        process.terminate()
        code = process.wait(_END_SECONDS)
        taken = time.monotonic() - began
        if code != 0:
            raise RuntimeError(f"{name} ended with {code}: {self.said(name)[-2000:]}")
        return taken

    def said(self, name: str) -> str:
        """What one has written since its start."""
        return (self._folder / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def stop(self, *names: str) -> None:
        """End these, or all: by SIGTERM, and by SIGKILL what does not end by itself."""
        ending = [self._running.pop(name) for name in names or tuple(self._running)]
        for process in ending:
            process.terminate()
        for process in ending:
            try:
                process.wait(_END_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _cpu(pid: int) -> float:
    # the name in parentheses may hold spaces: count from behind it (proc(5))
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
