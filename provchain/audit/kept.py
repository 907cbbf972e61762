"""The catalog as an earlier run read and checked it, where nothing has changed since.

Reading and checking its files takes 60 ms, in which no host may be asked yet: a mistake in them has to be
told before. What was found to be right is kept under a digest of all that it follows from: the files' bytes,
the code that reads them, and the versions of Python and pydantic. Whatever else lies there is ignored.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import pickle
import stat
import sys
import tempfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

import pydantic

import provchain
from provchain import paths
from provchain.baseline import catalog
from provchain.baseline.catalog import BASELINES, Catalog
from provchain.document.reading import MAX_BYTES

MOST_KEPT = 4
_MOST_BYTES = 16 << 20
_ROOMS = ("baseline", "baseline/resources", "document", "spec")
_RECORDS = "provchain.baseline."


def load(sites: Iterable[Path] = (), folder: Path = BASELINES) -> Catalog:
    """Return the catalog of ``folder`` and of a site's own profiles. Raises DocumentError."""
    own = tuple(sites)
    key = _key(folder, own)
    path = paths.home() / "cache" / "catalog" / key
    found = _read(path) if key else None
    if found is None:
        found = catalog.load(folder, own)
        # what was changed while it was read is of neither key
        if key and key == _key(folder, own):
            with contextlib.suppress(OSError):
                _write(path, found)
    return found


def _key(folder: Path, sites: tuple[Path, ...]) -> str:
    """Return the digest of all that a catalog follows from; empty where something can't be read."""
    code = [path for room in _ROOMS for path in sorted((Path(provchain.__file__).parent / room).glob("*.py"))]
    files = [*code, *sorted(folder.rglob("*.yml")), *sites]
    digest = hashlib.sha256(f"{sys.version}\0{pydantic.VERSION}\0{folder}".encode())
    try:
        for path in files:
            if not path.is_file():
                return ""
            with path.open("rb") as file:
                text = file.read(MAX_BYTES + 1)
            digest.update(f"\0{path}\0{len(text)}\0".encode() + text)
    except OSError:
        return ""
    return digest.hexdigest()


def _read(path: Path) -> Catalog | None:
    """Return what is kept under a name, if it is ours, nobody else's business, and whole."""
    try:
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb") as file:
            about = os.fstat(file.fileno())
            if not stat.S_ISREG(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & 0o077:
                return None
            raw = file.read(_MOST_BYTES)
        digest, text = raw[:32], raw[32:]
        found = _Records(BytesIO(text)).load() if digest == hashlib.sha256(text).digest() else None
    except Exception:  # whatever is wrong with it: the files themselves are there to be read
        return None
    return found if isinstance(found, Catalog) else None


def _write(path: Path, found: Catalog) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = pickle.dumps(found, protocol=5)
    handle, temporary = tempfile.mkstemp(dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(hashlib.sha256(text).digest() + text)
        Path(temporary).replace(path)
    except OSError:
        Path(temporary).unlink(missing_ok=True)
        raise
    for old in sorted(path.parent.iterdir(), key=lambda one: one.stat().st_mtime)[:-MOST_KEPT]:
        old.unlink(missing_ok=True)


class _Records(pickle.Unpickler):
    """A reader that knows the catalog's own records and nothing else: what it reads can't run code."""

    def find_class(self, module: str, name: str) -> type:
        """Return a class of the catalog's. Raises UnpicklingError for anything else."""
        found = getattr(sys.modules.get(module), name, None) if module.startswith(_RECORDS) else None
        if not isinstance(found, type) or found.__module__ != module:
            raise pickle.UnpicklingError(f"{module}.{name} is no record of the catalog")
        return found
