"""Compile libprovsm.so, the native provider of SM2, SM3 and SM4, from node/native.

    python node/packaging/provsm.py --go GO --cache DIR

keeps one library for each content of the sources under DIR and prints its path. It needs a C compiler, as
Go's linker does for a shared library. The modules are those of go.sum; the same Go gives the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "native"
NAME = "libprovsm.so"
_FLAGS = ("-buildmode=c-shared", "-mod=readonly", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=")
# the machine's own settings of Go must not change the bytes, nor fetch another Go
_SETTINGS = {"CGO_ENABLED": "1", "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
_COMPILER = {"CGO_CFLAGS": "-O2", "CGO_LDFLAGS": ""}


class CompileError(Exception):
    """The library can't be compiled; the message says why."""


def run_go(go: Path, *words: str) -> str:
    """Run Go in the sources' folder and return its output. Raises CompileError."""
    environment = {**os.environ, **_SETTINGS, **_COMPILER}
    try:
        done = subprocess.run(
            [go, *words], cwd=SOURCE, env=environment, capture_output=True, text=True, check=False
        )
    except OSError as error:
        raise CompileError(f"{go}: {error.strerror}; name a Go of 1.24 or newer") from None
    if done.returncode != 0:
        raise CompileError(f"go {words[0]} failed: {done.stderr.strip()}")
    return done.stdout


def compile_library(go: Path, target: Path) -> None:
    """Write the shared library to ``target``, and nothing else there. Raises CompileError."""
    with tempfile.TemporaryDirectory() as scratch:  # a C header comes out beside the library
        built = Path(scratch) / NAME
        run_go(go, "build", *_FLAGS, "-o", str(built), ".")
        target.write_bytes(built.read_bytes())
    target.chmod(0o755)


@dataclass(frozen=True, slots=True)
class Module:
    """A Go module that is linked into the library."""

    name: str
    version: str
    licence: bytes


def modules(go: Path, library: Path) -> list[Module]:
    """What the library says it was linked from, Go's own library first. Raises CompileError."""
    told = [line.split("\t") for line in run_go(go, "version", "-m", str(library)).splitlines()]
    release = told[0][0].rpartition(" ")[2].removeprefix("go")
    root = Path(run_go(go, "env", "GOROOT").strip())
    # the Go that PyPI packs leaves out the file at its root; this is the same text, by the same authors
    own = root if (root / "LICENSE").is_file() else root / "src/cmd/vendor/golang.org/x/sys"
    found = [Module("std", release, _licence(own))]
    for line in told:
        if line[1:2] == ["dep"]:
            place = run_go(go, "list", "-mod=readonly", "-m", "-f", "{{.Dir}}", line[2])
            found.append(Module(line[2], line[3], _licence(Path(place.strip()))))
    return found


def _licence(folder: Path) -> bytes:
    file = folder / "LICENSE"
    if not file.is_file():
        raise CompileError(f"{file}: is missing, and what is linked goes out with its licence")
    return file.read_bytes()


def cached(go: Path, cache: Path) -> Path:
    """Return the library of these sources and this Go, compiled if it is new. Raises CompileError."""
    digest = hashlib.sha256(run_go(go, "version").encode())
    for path in (Path(__file__), *sorted(SOURCE.iterdir())):
        digest.update(path.read_bytes())
    target = cache / digest.hexdigest()[:16] / NAME
    if not target.is_file():
        target.parent.mkdir(parents=True, exist_ok=True)
        handle, born = tempfile.mkstemp(dir=target.parent)
        os.close(handle)
        try:
            compile_library(go, Path(born))
            Path(born).rename(target)
        finally:
            Path(born).unlink(missing_ok=True)
    return target


def main() -> int:
    """Parse the command line, compile if needed and print the path; 1 if that can't be done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--go", type=Path, default=Path("go"), help="the go command")
    parser.add_argument("--cache", type=Path, required=True, help="folder of compiled libraries")
    given = parser.parse_args()
    try:
        print(cached(given.go, given.cache))
    except (CompileError, OSError) as error:
        print(f"provsm: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
