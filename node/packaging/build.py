"""Build provnode's packages: one tree, a .deb and an .rpm, a signed manifest and a bill of materials.

    python node/packaging/build.py --out DIR [--signing-key PEM] [--go GO]

The same sources, Go and C compiler give the same bytes. What is bundled comes from requirements.lock and
native/go.sum, checked by hash; with warm caches nothing is downloaded. Compiled are Python's byte code and
libprovsm.so, for the architecture of this machine.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import uuid
from datetime import UTC, datetime
from importlib.metadata import PathDistribution
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL
from provsm import NAME, CompileError, compile_library, modules

NODE = Path(__file__).resolve().parent.parent
RELEASED = 1_795_392_000  # 2026-11-23, the release's date: all files carry it
# the byte code and the compiled libraries are of this CPython; the packages depend on it
PYTHON = (3, 11)
# glibc 2.28 or newer: Debian 10, openEuler 20.03, Kylin V10 and what came after
PLATFORM = "{machine}-manylinux_2_28"
# as packages call what the kernel calls a machine
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# of libprovsm.so, by the C library that it is linked with: openEuler 22.03, Debian 12 and what came after
GLIBC = "2.34"
# I: neither the user's environment nor the working folder has a say in what is imported. S: nor has what else
# is installed on the host. Xutf8: output is UTF-8 in every locale. One word, as a first line passes only one.
LAUNCHER = """#!/usr/bin/python3 -ISXutf8
import sys
from os.path import dirname, realpath

sys.path.insert(0, dirname(dirname(realpath(__file__))) + "/lib")

from provnode.cli.main import main

sys.exit(main())
"""
NFPM = """name: provnode-{version}
arch: {arch}
platform: linux
version: {version}
section: net
priority: optional
maintainer: provchain
description: BFT node for provincial business chains, with national cryptography (SM2, SM3, SM4)
license: Apache-2.0
mtime: {mtime}
contents:
  - src: {tree}/
    dst: /opt/provnode/{version}
    type: tree
    file_info: {{mtime: {mtime}, owner: root, group: root}}
overrides:
  deb:
    depends: ["python3 (>= {first})", "python3 (<< {after})", "libc6 (>= {glibc})", libssl3, openssl]
  rpm:
    depends:
      ["python3 >= {first}", "python3 < {after}", "glibc >= {glibc}", "openssl-libs >= 3.0", "openssl >= 3.0"]
rpm:
  buildhost: provchain
"""
OPENSSL_VERSION = """import sys
sys.path.insert(0, sys.argv[1])
from cryptography.hazmat.bindings._rust import openssl
print(openssl.openssl_version_text())
"""


class BuildError(Exception):
    """The packages can't be built; the message says why and what to do."""


def version() -> str:
    """Return the version that pyproject.toml declares."""
    with (NODE / "pyproject.toml").open("rb") as source:
        declared: str = tomllib.load(source)["project"]["version"]
    return declared


def run(*command: str | Path) -> str:
    """Run a tool and return its output. Raises BuildError."""
    environment = {**os.environ, "SOURCE_DATE_EPOCH": str(RELEASED)}
    try:
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    except OSError as error:
        raise BuildError(f"{command[0]}: {error.strerror}; install it or name it") from None
    if done.returncode != 0:
        raise BuildError(f"{Path(command[0]).name} failed: {done.stderr.strip()}")
    return done.stdout


def architecture() -> str:
    """Return what packages call this machine. Raises BuildError for one that has no wheels."""
    machine = platform.machine()
    if machine not in ARCHITECTURES:
        raise BuildError(f"machine: found {machine}, allowed: {', '.join(ARCHITECTURES)}")
    return ARCHITECTURES[machine]


def install(lib: Path, uv: str, cache: Path | None) -> dict[str, PackageURL]:
    """Unpack the locked wheels and the package itself; return which library each file came with."""
    where = ("--cache-dir", cache) if cache else ()
    target = ("--target", lib, "--python", sys.executable)
    system = ("--python-platform", PLATFORM.format(machine=platform.machine()))
    checks = ("--require-hashes", "--no-deps", "--only-binary", ":all:", "--link-mode", "copy")
    run(uv, "pip", "install", "-q", *where, *target, *system, *checks, "-r", NODE / "requirements.lock")
    owners: dict[str, PackageURL] = {}
    for info in sorted(lib.glob("*.dist-info")):
        found = PathDistribution(info)
        library = PackageURL("pypi", None, found.name, found.version)
        owners |= {f"lib/{file}": library for file in found.files or ()}
        # what installers leave behind: where, when and by whom it was unpacked
        for name in ("RECORD", "REQUESTED", "direct_url.json", "INSTALLER"):
            (info / name).unlink(missing_ok=True)
    shutil.rmtree(lib / "bin", ignore_errors=True)
    (lib / ".lock").unlink(missing_ok=True)
    shutil.copytree(NODE / "provnode", lib / "provnode", ignore=shutil.ignore_patterns("__pycache__"))
    return owners


def compile_native(tree: Path, go: Path) -> dict[str, PackageURL]:
    """Put libprovsm.so into the package, and the licences of what it is linked from beside bin/ and lib/."""
    library = tree / "lib" / "provnode" / "crypto" / NAME
    compile_library(go, library)
    owners: dict[str, PackageURL] = {}
    (tree / "licenses").mkdir()
    for module in modules(go, library):
        licence = f"licenses/{module.name.rpartition('/')[2]}.txt"
        (tree / licence).write_bytes(module.licence)
        namespace, _, name = module.name.rpartition("/")
        owners[licence] = PackageURL("golang", namespace or None, name, module.version)
    return owners


def build_tree(tree: Path, uv: str, cache: Path | None, go: Path) -> dict[str, PackageURL]:
    """Lay out bin/, lib/ with byte code, and licenses/; return which library each file came with."""
    lib = tree / "lib"
    owners = install(lib, uv, cache) | compile_native(tree, go)
    # bound to the source by nothing that changes: quick starts, and the same bytes again
    mode = ("--invalidation-mode", "unchecked-hash", "-s", tree, "-p", f"/opt/provnode/{version()}")
    run(sys.executable, "-I", "-m", "compileall", "-q", *mode, lib)
    launcher = tree / "bin" / "provnode"
    launcher.parent.mkdir()
    launcher.write_text(LAUNCHER, encoding="utf-8")
    for path in [tree, *tree.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or path == launcher or path.suffix == ".so" else 0o644)
        os.utime(path, (RELEASED, RELEASED))
    return owners


def write_sbom(path: Path, tree: Path, owners: dict[str, PackageURL]) -> None:
    """Write the bill of materials as CycloneDX 1.6: every library, and the hash of every file."""
    root = Component(name="provnode", version=version(), type=ComponentType.APPLICATION, bom_ref="provnode")
    parts = {purl: _library(purl) for purl in sorted(set(owners.values()), key=str)}
    for file in sorted(tree.rglob("*")):
        if file.is_file():
            source = re.sub(r"__pycache__/([^/]+?)\.cpython-\d+\.pyc$", r"\1.py", str(file.relative_to(tree)))
            owner = owners.get(source)
            (parts[owner] if owner else root).components.add(_file(file, tree))
    # cryptography's wheel brings an OpenSSL of its own, which no package manager would otherwise see
    text = run(sys.executable, "-ISBc", OPENSSL_VERSION, tree / "lib")
    bundled = PackageURL("generic", None, "openssl", text.split()[1])
    parts[bundled] = _library(bundled)
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"provnode@{version()}"))
    bom.metadata.component = root
    bom.metadata.timestamp = None  # type: ignore[assignment]  # the same bytes at any time
    bom.components.update(parts.values())
    bom.register_dependency(root, parts.values())
    path.write_text(JsonV1Dot6(bom).output_as_string(indent=1) + "\n", encoding="utf-8")


def _library(purl: PackageURL) -> Component:
    name = f"{purl.namespace}/{purl.name}" if purl.namespace else purl.name
    ref = f"{name}@{purl.version}"
    return Component(name=name, version=purl.version, type=ComponentType.LIBRARY, bom_ref=ref, purl=purl)


def _file(path: Path, tree: Path) -> Component:
    name = str(path.relative_to(tree))
    digest = HashType(alg=HashAlgorithm.SHA_256, content=hashlib.sha256(path.read_bytes()).hexdigest())
    return Component(name=name, type=ComponentType.FILE, bom_ref=name, hashes=[digest])


def write_manifest(out: Path, signing_key: Path | None) -> None:
    """Write MANIFEST.sm3 over all files in ``out`` and, with a key, its SM2 signature."""
    lines = [
        f"{hashlib.new('sm3', path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(out.iterdir())
        if not path.name.startswith("MANIFEST")
    ]
    manifest = out / "MANIFEST.sm3"
    manifest.write_text("".join(lines), encoding="utf-8")
    if signing_key is not None:
        sign = ("dgst", "-sm3", "-sigopt", "distid:1234567812345678", "-sign", signing_key)
        run("openssl", *sign, "-out", f"{manifest}.sig", manifest)


def build(out: Path, signing_key: Path | None, uv: str, cache: Path | None, go: Path) -> None:
    """Build everything into ``out``, which must be empty or new. Raises BuildError."""
    if sys.version_info[:2] != PYTHON:
        raise BuildError(f"Python: found {sys.version.split()[0]}, needed is {PYTHON[0]}.{PYTHON[1]}")
    if signing_key is not None and signing_key.stat().st_mode & 0o077:
        raise BuildError(f"{signing_key}: others can read this key; chmod 0600 {signing_key}")
    architecture()
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise BuildError(f"{out} is not empty; name a new folder")
    nfpm = Path(sys.executable).with_name("nfpm")
    first, after = f"{PYTHON[0]}.{PYTHON[1]}", f"{PYTHON[0]}.{PYTHON[1] + 1}"
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        tree.mkdir()
        owners = build_tree(tree, uv, cache, go)
        config = Path(scratch) / "nfpm.yaml"
        mtime = datetime.fromtimestamp(RELEASED, UTC).isoformat()
        names = {"version": version(), "arch": architecture(), "tree": tree, "mtime": mtime}
        described = NFPM.format(**names, first=first, after=after, glibc=GLIBC)
        config.write_text(described, encoding="utf-8")
        for packager in ("deb", "rpm"):
            run(nfpm, "pkg", "--config", config, "--packager", packager, "--target", out)
        write_sbom(out / "sbom.cdx.json", tree, owners)
    write_manifest(out, signing_key)


def main() -> int:
    """Parse the command line and build; 1 if that can't be done."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results, empty or new")
    parser.add_argument("--signing-key", type=Path, help="SM2 private key (PEM) that signs the manifest")
    parser.add_argument("--uv", default="uv", help="the uv command")
    parser.add_argument("--cache", type=Path, help="folder of downloaded wheels (uv's own if left out)")
    parser.add_argument("--go", type=Path, default=Path("go"), help="the go command")
    given = parser.parse_args()
    try:
        build(given.out, given.signing_key, given.uv, given.cache, given.go)
    except (BuildError, CompileError, OSError) as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    for path in sorted(given.out.iterdir()):
        print(f"{path.stat().st_size:>12}  {path.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
