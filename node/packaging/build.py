"""Build provnode's packages: one tree, a .deb and an .rpm, a signed manifest and a bill of materials.

    python node/packaging/build.py --out DIR [--signing-key PEM]

The same sources give the same bytes. What is bundled comes from requirements.lock, checked by hash.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import uuid
from pathlib import Path

from cyclonedx.model import HashAlgorithm, HashType
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

NODE = Path(__file__).resolve().parent.parent
RELEASED = 1_795_392_000  # 2026-11-23, the release's date: all files carry it
PYTHON = "/usr/bin/python3"
LAUNCHER = """#!/bin/sh
# -I: neither the user's environment nor the working folder has a say in what is imported
exec /usr/bin/python3 -I -c 'import sys; sys.path.insert(0, "/opt/provnode/{version}/lib"); \\
from provnode.cli.main import main; sys.exit(main())' "$@"
"""
NFPM = """name: provnode-{version}
arch: amd64
platform: linux
version: {version}
section: net
priority: optional
maintainer: provchain
description: BFT node for provincial business chains, with national cryptography (SM2, SM3, SM4)
license: Apache-2.0
mtime: 2026-11-23T00:00:00Z
contents:
  - src: {tree}/
    dst: /opt/provnode/{version}
    type: tree
    file_info: {{mtime: 2026-11-23T00:00:00Z, owner: root, group: root}}
overrides:
  deb:
    depends: ["python3 (>= 3.11)", "python3 (<< 3.12)", libssl3]
  rpm:
    depends: ["python3 >= 3.11", "python3 < 3.12", "openssl-libs >= 3.0"]
rpm:
  buildhost: provchain
"""


def version() -> str:
    """Return the version that pyproject.toml declares."""
    with (NODE / "pyproject.toml").open("rb") as source:
        declared: str = tomllib.load(source)["project"]["version"]
    return declared


def build_tree(tree: Path, uv: str) -> None:
    """Lay out bin/ and lib/: the locked wheels, the package itself, and their compiled modules."""
    lib = tree / "lib"
    command = [
        uv,
        "pip",
        "install",
        "-q",
        "--python",
        PYTHON,
        "--target",
        str(lib),
        "--require-hashes",
        "--no-deps",
    ]
    command += ["--only-binary", ":all:", "--link-mode", "copy", "-r", str(NODE / "requirements.lock")]
    subprocess.run(command, check=True)
    shutil.rmtree(lib / "bin", ignore_errors=True)
    for name in ("RECORD", "REQUESTED", "direct_url.json", "INSTALLER", ".lock"):
        for path in lib.rglob(name):
            path.unlink()
    shutil.copytree(NODE / "provnode", lib / "provnode", ignore=shutil.ignore_patterns("__pycache__"))
    for cached in list(lib.rglob("__pycache__")):
        shutil.rmtree(cached)
    # compiled here, bound to the source by nothing that changes: quick starts, and the same bytes again
    compile_all = [PYTHON, "-I", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*compile_all, "-s", str(tree), "-p", f"/opt/provnode/{version()}", str(lib)], check=True)
    (tree / "bin").mkdir()
    launcher = tree / "bin" / "provnode"
    launcher.write_text(LAUNCHER.format(version=version()), encoding="utf-8")
    for path in [tree, *tree.rglob("*")]:
        path.chmod(0o755 if path.is_dir() or path == launcher or path.suffix == ".so" else 0o644)
        os.utime(path, (RELEASED, RELEASED))


def locked() -> list[tuple[str, str, list[str]]]:
    """Return name, version and SHA-256 hashes of each bundled library."""
    found: list[tuple[str, str, list[str]]] = []
    for line in (NODE / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if pinned := re.match(r"([A-Za-z0-9_.-]+)==(\S+)", line):
            found.append((pinned[1], pinned[2], []))
        elif hashed := re.search(r"--hash=sha256:([0-9a-f]{64})", line):
            found[-1][2].append(hashed[1])
    return found


def write_sbom(path: Path) -> None:
    """Write the bill of materials as CycloneDX 1.6."""
    root = Component(name="provnode", version=version(), type=ComponentType.APPLICATION, bom_ref="provnode")
    bom = Bom(serial_number=uuid.uuid5(uuid.NAMESPACE_URL, f"provnode@{version()}"))
    bom.metadata.component = root
    bom.metadata.timestamp = None  # type: ignore[assignment]  # the same bytes at any time
    parts = []
    for name, pinned, hashes in locked():
        part = Component(
            name=name,
            version=pinned,
            type=ComponentType.LIBRARY,
            bom_ref=f"{name}@{pinned}",
            purl=PackageURL("pypi", None, name.lower(), pinned),
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=value) for value in hashes],
        )
        bom.components.add(part)
        parts.append(part)
    bom.register_dependency(root, parts)
    path.write_text(JsonV1Dot6(bom).output_as_string(indent=1) + "\n", encoding="utf-8")


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
        command = ["openssl", "dgst", "-sm3", "-sigopt", "distid:1234567812345678", "-sign", str(signing_key)]
        subprocess.run([*command, "-out", f"{manifest}.sig", str(manifest)], check=True)


def build(out: Path, signing_key: Path | None, uv: str) -> None:
    """Build everything into ``out``, which must be empty or new."""
    out.mkdir(parents=True, exist_ok=True)
    if any(out.iterdir()):
        raise SystemExit(f"{out} is not empty")
    nfpm = Path(sys.executable).with_name("nfpm")
    with tempfile.TemporaryDirectory() as scratch:
        tree = Path(scratch) / "tree"
        tree.mkdir()
        build_tree(tree, uv)
        config = Path(scratch) / "nfpm.yaml"
        config.write_text(NFPM.format(version=version(), tree=tree), encoding="utf-8")
        environment = {**os.environ, "SOURCE_DATE_EPOCH": str(RELEASED)}
        for packager in ("deb", "rpm"):
            command = [
                str(nfpm),
                "pkg",
                "--config",
                str(config),
                "--packager",
                packager,
                "--target",
                str(out),
            ]
            subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)
    write_sbom(out / "sbom.cdx.json")
    write_manifest(out, signing_key)


def main() -> None:
    """Parse the command line and build."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder for the results, empty or new")
    parser.add_argument("--signing-key", type=Path, help="SM2 private key (PEM) that signs the manifest")
    parser.add_argument("--uv", default="uv", help="the uv command")
    given = parser.parse_args()
    build(given.out, given.signing_key, given.uv)
    for path in sorted(given.out.iterdir()):
        print(f"{path.stat().st_size:>12}  {path.name}")


if __name__ == "__main__":
    main()
