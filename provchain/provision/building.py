"""What building a tool once and keeping it in the cache is made of."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from provchain.errors import ProvchainError

Progress = Callable[[str], None]


def new_folder(parent: Path) -> Path:
    """Return a new folder to build in, after removing what an interrupted run left of its own.

    The caller holds the lock of ``parent``: another one's build would be taken for a leftover.
    """
    parent.mkdir(parents=True, exist_ok=True)
    for stale in parent.glob(".building-*"):
        shutil.rmtree(stale, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=".building-", dir=parent))


def version_of(argv: list[str]) -> tuple[int, ...]:
    """Return the version that a program prints, as numbers; (0,) if it does not run."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true", "GOTOOLCHAIN": "local"}
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True, env=environment)
        found = re.search(r"(\d+)\.(\d+)", done.stdout)
        if found:
            return int(found[1]), int(found[2])
    return (0,)


def run_build(
    argv: list[str],
    what: str,
    progress: Progress,
    *,
    cwd: Path | None = None,
    lock: int | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run one step of a build and tell each line that it prints. Raises ProvchainError with the last ones."""
    output: list[str] = []
    with subprocess.Popen(
        argv,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        pass_fds=() if lock is None else (lock,),
    ) as process:
        assert process.stdout is not None  # noqa: S101 - asked for with PIPE
        for line in process.stdout:
            output.append(line.rstrip())
            progress(line.rstrip())
    if process.returncode != 0:
        raise ProvchainError(
            f"{what} could not be built",
            cause="\n".join(output[-8:]),
            remedy=f"check that this machine reaches its package registries, or install {what} yourself",
        )
