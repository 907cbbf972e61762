"""The packages: the same bytes again, complete, signed, and running from their own files alone."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from provnode import __version__
from tests.support.pki import make_key

from provchain.paths import cache
from provchain.provision.go import ensure_go

NODE = Path(__file__).resolve().parents[2]
SM2_ID = "distid:1234567812345678"


def uv() -> str:
    """The uv on PATH, or else the one that set this environment up."""
    return shutil.which("uv") or str(sorted(cache().glob("uv-*/bin/uv"))[-1])


def build(
    out: Path, *more: str | Path, source: Path = NODE, tool: str | None = None
) -> subprocess.CompletedProcess[str]:
    script = source / "packaging" / "build.py"
    tools = ("--uv", tool or uv(), "--go", ensure_go(), "--cache", cache() / "uv")
    command = [sys.executable, script, "--out", out, *tools, *more]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def run(*command: str | Path, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd)


@pytest.fixture(scope="module")
def signing_key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_key(tmp_path_factory.mktemp("release") / "key.pem")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, signing_key: Path) -> Path:
    out = tmp_path_factory.mktemp("built") / "out"
    done = build(out, "--signing-key", signing_key)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def unpacked(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("unpacked")
    done = run("dpkg", "-x", *built.glob("*.deb"), root)
    assert done.returncode == 0, done.stderr
    return root / "opt" / "provnode" / __version__


def test_a_second_build_gives_the_same_bytes(built: Path, tmp_path: Path) -> None:
    # elsewhere, later, and by a user with other habits
    umask = os.umask(0o077)
    try:
        assert build(tmp_path / "again").returncode == 0
    finally:
        os.umask(umask)
    names = {path.name for path in built.iterdir()} - {"MANIFEST.sm3.sig"}
    assert names == {path.name for path in (tmp_path / "again").iterdir()}
    for name in names:
        assert (tmp_path / "again" / name).read_bytes() == (built / name).read_bytes(), name


def test_the_manifest_covers_everything_and_its_signature_holds(built: Path, signing_key: Path) -> None:
    manifest = built / "MANIFEST.sm3"
    entries = [line.split("  ") for line in manifest.read_text().splitlines()]
    listed = {name: digest for digest, name in entries}
    files = {path.name: path for path in built.iterdir() if not path.name.startswith("MANIFEST")}
    assert listed == {n: hashlib.new("sm3", path.read_bytes()).hexdigest() for n, path in files.items()}
    assert {Path(name).suffix for name in listed} == {".deb", ".rpm", ".json"}
    public = signing_key.with_name("public.pem")
    assert run("openssl", "pkey", "-in", signing_key, "-pubout", "-out", public).returncode == 0
    verify = ("openssl", "dgst", "-sm3", "-sigopt", SM2_ID, "-verify", public)
    signature = ("-signature", built / "MANIFEST.sm3.sig")
    assert run(*verify, *signature, manifest).returncode == 0
    forged = signing_key.with_name("forged")
    forged.write_bytes(manifest.read_bytes().replace(b"  ", b" *"))
    assert run(*verify, *signature, forged).returncode != 0


def test_the_command_runs_from_its_own_files_without_network_or_environment(unpacked: Path) -> None:
    # a network namespace without interfaces, no environment, and poison where Python would look by default
    poison = unpacked.parent / "poison"
    poison.mkdir(exist_ok=True)
    for name in ("msgspec.py", "argparse.py", "sitecustomize.py"):
        (poison / name).write_text("raise SystemExit('imported from elsewhere')")
    alone = ("unshare", "-rn", "env", "-i", f"PYTHONPATH={poison}", unpacked / "bin" / "provnode")
    assert run(*alone, "version", cwd=poison).stdout == f"{__version__}\n"
    # these load what was compiled: SM2 by libcrypto, then TLS, schemas and the store
    key = unpacked.parent / "key.pem"
    made = run(*alone, "keygen", "--out", key, cwd=poison)
    assert json.loads(made.stdout)["public_key"].startswith("04"), made.stderr
    refused = run(*alone, "run", "--config", "missing.toml", cwd=poison)
    assert refused.returncode == 1
    assert refused.stderr == "provnode: missing.toml: No such file or directory\n"


CALL_IT = """import sys
sys.path.insert(0, sys.argv[1])
from provnode.crypto import get_provider
provider = get_provider("native")
key = provider.generate()
print(provider.verify(key.public, b"m", provider.sign(key, b"m")), provider.hash_batch([b"abc"])[0].hex())
"""


def test_the_native_library_comes_with_the_package(unpacked: Path, built: Path) -> None:
    called = run("env", "-i", sys.executable, "-ISBc", CALL_IT, unpacked / "lib")
    sm3_of_abc = "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"
    assert called.stdout == f"True {sm3_of_abc}\n", called.stderr
    library = unpacked / "lib/provnode/crypto/libprovsm.so"
    assert str(NODE).encode() not in library.read_bytes()
    # no newer C library than the packages say that they need
    needed = {tuple(map(int, v.split(b"."))) for v in re.findall(rb"GLIBC_(\d+\.\d+)", library.read_bytes())}
    depends = run("dpkg-deb", "-f", next(built.glob("*.deb")), "Depends").stdout
    (declared,) = re.findall(r"libc6 \(>= (\d+)\.(\d+)\)", depends)
    assert max(needed) <= tuple(map(int, declared))


def test_the_deb_puts_files_of_root_below_its_version_and_runs_no_script(built: Path, tmp_path: Path) -> None:
    (deb,) = built.glob("*.deb")
    control = tmp_path / "control"
    assert run("dpkg-deb", "-e", deb, control).returncode == 0
    assert {path.name for path in control.iterdir()} == {"control", "md5sums"}
    lines = (control / "control").read_text().splitlines()
    assert {
        f"Package: provnode-{__version__}",
        f"Version: {__version__}",
        f"Architecture: {run('dpkg', '--print-architecture').stdout.strip()}",
        "Depends: python3 (>= 3.11), python3 (<< 3.12), libc6 (>= 2.34), libssl3, openssl",
    } <= set(lines)
    for line in run("dpkg-deb", "-c", deb).stdout.splitlines():
        mode, owner, _, date, _, path = line.split(maxsplit=5)
        assert (owner, date) == ("root/root", "2026-11-23"), line
        assert re.fullmatch(r"drwxr-xr-x|-rw-r--r--|-rwxr-xr-x", mode), line
        assert re.fullmatch(rf"\./opt/(provnode/({re.escape(__version__)}/.*)?)?", path), line


def test_the_rpm_installs_the_same_tree_without_network(built: Path, unpacked: Path, tmp_path: Path) -> None:
    (rpm,) = built.glob("*.rpm")
    asked = "%{NAME} %{VERSION} %{ARCH} %{BUILDHOST}\n[%{REQUIRES} ]\n[%{FILEUSERNAME}:%{FILEGROUPNAME} ]\n"
    lines = run("rpm", "-qp", "--queryformat", asked, rpm).stdout.splitlines()
    assert lines[0] == f"provnode-{__version__} {__version__} {platform.machine()} provchain"
    assert {"python3", "glibc", "openssl-libs", "openssl"} <= set(lines[1].split())
    assert set(lines[2].split()) == {"root:root"}
    assert run("rpm", "-qp", "--scripts", rpm).stdout == ""
    # into a root of its own; what it depends on is this machine's, which rpm knows nothing of
    root = tmp_path / "root"
    install = ("unshare", "-rn", "rpm", "--root", root, "--dbpath", "/var/lib/rpm", "--nodeps", "--install")
    done = run(*install, rpm)
    assert done.returncode == 0, done.stderr
    installed = root / "opt" / "provnode" / __version__
    assert _tree(installed) == _tree(unpacked)
    assert run(installed / "bin" / "provnode", "version").stdout == f"{__version__}\n"


def _tree(top: Path) -> dict[str, tuple[str, bytes]]:
    files = (path for path in top.rglob("*") if path.is_file())
    return {str(path.relative_to(top)): (oct(path.stat().st_mode), path.read_bytes()) for path in files}


def test_the_bill_of_materials_names_every_library_and_file(built: Path, unpacked: Path) -> None:
    bom = json.loads((built / "sbom.cdx.json").read_bytes())
    lock = (NODE / "requirements.lock").read_text(encoding="utf-8")
    pinned = {name.lower().replace("_", "-"): v for name, v in re.findall(r"^([\w.-]+)==(\S+)", lock, re.M)}
    linked = {part["name"]: part for part in bom["components"] if part["purl"].startswith("pkg:golang/")}
    required = re.findall(r"^(?:require )?\t?(\S+) (v\S+)", (NODE / "native/go.mod").read_text(), re.M)
    assert {(name, part["version"]) for name, part in linked.items() if name != "std"} == set(required)
    libraries = {
        part["name"].lower().replace("_", "-"): part
        for part in bom["components"]
        if part["name"] not in linked
    }
    bundled = libraries.pop("openssl")  # inside cryptography's wheel
    assert re.fullmatch(r"\d+\.\d+\.\d+", bundled["version"])
    assert {name: part["version"] for name, part in libraries.items()} == pinned
    assert bom["metadata"]["component"]["version"] == __version__
    owners = [*libraries.values(), *linked.values(), bom["metadata"]["component"]]
    assert all(owner["components"] for owner in owners)
    found = {file["name"]: file["hashes"][0]["content"] for one in owners for file in one["components"]}
    files = {str(path.relative_to(unpacked)): path for path in unpacked.rglob("*") if path.is_file()}
    # byte code as well: it is what runs
    assert any(name.endswith(".pyc") for name in found)
    assert found == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}


def test_a_module_or_wheel_of_another_hash_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "node"
    shutil.copytree(NODE, source, ignore=shutil.ignore_patterns("tests", "__pycache__"))
    sums = source / "native" / "go.sum"
    sums.write_text(sums.read_text().replace("gmsm v0.42.0 h1:4", "gmsm v0.42.0 h1:5"))
    done = build(tmp_path / "out", source=source)
    assert done.returncode == 1
    assert "SECURITY ERROR" in done.stderr
    shutil.copy(NODE / "native" / "go.sum", sums)
    lock = source / "requirements.lock"
    lock.write_text(re.sub(r"sha256:[0-9a-f]{4}", "sha256:0000", lock.read_text()))
    done = build(tmp_path / "out", source=source)
    assert done.returncode == 1
    assert "uv failed" in done.stderr and "hash" in done.stderr.lower()
    assert not list((tmp_path / "out").iterdir())


def test_what_can_not_be_built_is_refused_in_one_line(tmp_path: Path) -> None:
    loose = make_key(tmp_path / "loose.pem")
    loose.chmod(0o640)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    for done, text in (
        (build(tmp_path / "out", "--signing-key", loose), "others can read this key"),
        (build(tmp_path / "full"), "is not empty"),
        (build(tmp_path / "out", tool="/nowhere/uv"), "/nowhere/uv: No such file or directory"),
        (build(tmp_path / "out", "--signing-key", tmp_path / "none"), "No such file"),
    ):
        assert done.returncode == 1
        assert text in done.stderr and done.stderr.count("\n") == 1
