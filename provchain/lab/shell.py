"""Run one system command and turn its failure into an error with its words."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from provchain.errors import ProvchainError


class LabError(ProvchainError):
    """Something on this machine that the lab needs did not work."""


def run(*argv: str, stdin: str | None = None, accept: Sequence[int] = (0,)) -> str:
    """Run a command to its end and return its standard output.

    Raises LabError with the command's standard error if it ends with a status not in ``accept``,
    or if the program is missing.
    """
    try:
        done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise LabError(f"{argv[0]} is missing", remedy="provchain doctor names its package") from None
    if done.returncode not in accept:
        words = (done.stderr or done.stdout).strip()[-800:]
        raise LabError(f"{' '.join(argv[:6])} … failed with status {done.returncode}", cause=words)
    return done.stdout
