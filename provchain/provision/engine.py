"""The Pulumi engine: the machine's own if it is new enough, else built once from its published Go module."""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
from pathlib import Path

from provchain.errors import ProvchainError
from provchain.paths import REPOSITORY, cache
from provchain.provision.building import Progress, new_folder, run_build, version_of
from provchain.provision.go import ensure_go

SOURCE = REPOSITORY / "tools" / "pulumi-engine"
PLUGINS = Path(__file__).parent / "bin"
_PACKAGE = "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi"
_VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
_OLDEST = (3, 200)


def ensure_engine(progress: Progress = lambda _: None) -> Path:
    """Return the path of a ``pulumi`` of version 3.200 or newer.

    One on PATH, in a folder ``bin`` as the Automation API wants it, is taken as it is. Otherwise the
    version pinned in ``tools/pulumi-engine`` is built, some minutes once, and kept in the cache under a
    digest of its go.mod and go.sum. Raises ProvchainError with the end of the build's output if that fails.
    """
    own = shutil.which("pulumi")
    if own and Path(own).parent.name == "bin" and version_of([own, "version"]) >= _OLDEST:
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
    go = ensure_go(progress)
    building = new_folder(target.parent.parent.parent)
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
    run_build(
        [*argv, _PACKAGE], "the Pulumi engine", progress, cwd=SOURCE, lock=lock, env={"GOTOOLCHAIN": "local"}
    )
    for plugin in PLUGINS.iterdir():  # beside the engine, where it looks for what belongs to it
        shutil.copy(plugin, building / "bin")
    building.chmod(0o755)
    building.rename(target.parent.parent)


def _pinned() -> str:
    text = (SOURCE / "go.mod").read_text(encoding="utf-8")
    found = re.search(r"github\.com/pulumi/pulumi/pkg/v3 (v\S+)", text)
    if not found:
        raise ProvchainError("tools/pulumi-engine/go.mod names no engine version")
    return found[1]
