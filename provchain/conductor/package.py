"""Build an engine's package once per content, by the recipe that its role carries.

``roles/<engine>/package.json`` names the engine's sources and its build command, so this module knows
no engine. A build is kept under the SM3 digest of its sources; a second network reuses it.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from provchain.conductor.steps import run_tool
from provchain.errors import ProvchainError
from provchain.paths import REPOSITORY, cache, home
from provchain.provision.go import ensure_go


def ensure(engine: str, version: str, log: Path, detail: Callable[[str], None]) -> tuple[Path, bool]:
    """Return the folder that holds the engine's signed package, and whether it was built just now.

    Raises ProvchainError if the engine has no recipe or its build fails.
    """
    recipe_file = REPOSITORY / "roles" / engine / "package.json"
    if not recipe_file.is_file():
        raise ProvchainError(
            f"engine {engine} has no package recipe",
            cause=f"{recipe_file} is missing",
            remedy="name a known engine",
        )
    recipe = json.loads(recipe_file.read_text(encoding="utf-8"))
    key = _digest(REPOSITORY / source for source in recipe["sources"])
    target = cache() / "package" / f"{engine}-{version}-{key[:16]}"
    if (target / "MANIFEST.sm3").is_file():
        return target, False
    target.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=".build-", dir=target.parent))
    try:
        tools = {"uv": _uv(), "go": str(ensure_go(detail))}
        values = {"out": str(building), "key": str(release_key()), "version": version, **tools}
        argv = [sys.executable, *(word.format(**values) for word in recipe["build"])]
        run_tool(argv, log=log, detail=detail)
        building.chmod(0o755)
        if target.exists():
            shutil.rmtree(target)
        building.rename(target)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target, True


def _uv() -> str:
    """Return the uv that set this environment up; each version has a folder named by its lock's content."""
    lock = hashlib.sha256((REPOSITORY / "tools" / "uv.lock").read_bytes()).hexdigest()
    return str(cache() / f"uv-{lock[:16]}" / "bin" / "uv")


def release_key() -> Path:
    """Return the private SM2 key that signs packages built here; born on first use, mode 0600.

    Its public half lies beside it as ``public.pem``. A vendor's packages come with a key of their own.
    """
    folder = home() / "release"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    private, public = folder / "private.pem", folder / "public.pem"
    if not private.exists():
        born = folder / f".private-{os.getpid()}"
        command = ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:SM2"]
        made = subprocess.run(command, capture_output=True, check=True).stdout
        handle = os.open(born, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as sink:
            sink.write(made)
            sink.flush()
            os.fsync(sink.fileno())
        born.rename(private)
    if not public.exists():
        subprocess.run(["openssl", "pkey", "-in", str(private), "-pubout", "-out", str(public)], check=True)
    return private


def _digest(roots: Iterator[Path]) -> str:
    total = hashlib.new("sm3")
    for root in roots:
        for path in sorted(_files(root)):
            total.update(str(path.relative_to(REPOSITORY)).encode() + b"\0")
            total.update(hashlib.new("sm3", path.read_bytes()).digest())
    return total.hexdigest()


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for path in root.rglob("*"):
        if path.is_file() and "__pycache__" not in path.parts and "tests" not in path.parts:
            yield path
