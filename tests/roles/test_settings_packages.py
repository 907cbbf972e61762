"""Packages: dpkg is played by the tests where it is asked, and real where a package is made and installed."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

import pytest
import settings
from settings import SettingError, base, converge, packages, undo


class FakeDpkg:
    """Answers for dpkg: what is installed, and a record of what was asked of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *installed: str) -> None:
        self.installed = set(installed)
        self.asked: list[str] = []
        monkeypatch.setattr(packages, "run", self.run)

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        if argv[0] == "dpkg-query":
            rows = [f"{name}\tinstall ok installed\t1.2-3\n" for name in argv[3:] if name in self.installed]
            return subprocess.CompletedProcess(argv, 0, "".join(rows), "")
        self.asked.append(" ".join(argv))
        self.installed -= set(argv[2:])
        return subprocess.CompletedProcess(argv, 0, "", "")


def test_only_packages_that_are_there_are_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Removed, not purged: configuration and data stay for their return."""
    dpkg = FakeDpkg(monkeypatch, "telnetd", "nis", "bash")
    item = {"kind": "packages_absent", "names": ["telnetd", "nis", "rsh-server"]}
    assert converge([item], dry=True)[0][1].before == "telnetd 1.2-3\nnis 1.2-3\n"
    assert dpkg.asked == []
    assert converge([item], dry=False)[0][1].changed
    assert dpkg.asked == ["dpkg --remove telnetd nis"]
    assert not converge([item], dry=False)[0][1].changed


def test_another_build_of_the_same_version_replaces_the_one_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "DPKG", tmp_path)
    new, listed = b"0 opt/x/new\n", tmp_path / "x-1.md5sums"
    content = hashlib.sha256(new).hexdigest()
    item = {"kind": "package", "name": "x-1", "file": "/var/cache/x-1.deb", "content": content}
    dpkg = FakeDpkg(monkeypatch)
    assert converge([item], dry=False)[0][1].actions == ["installed"]
    dpkg.installed.add("x-1")
    listed.write_bytes(b"1 opt/x/old\n")
    assert converge([item], dry=True)[0][1].actions == ["replaced by another build"]
    assert converge([item], dry=False)[0][1].changed
    assert dpkg.asked == ["dpkg --install /var/cache/x-1.deb"] * 2
    listed.write_bytes(new)
    assert not converge([item], dry=False)[0][1].changed
    # unpacked by a run that was interrupted before the package was configured
    dpkg.installed.clear()
    assert converge([item], dry=False)[0][1].changed


_CONTROL = """\
Package: {name}
Version: 2:1.0-4
Architecture: all
Maintainer: proof
Depends: {depends}
Description: a package of the tests
 with a second line.
"""


class RealDpkg:
    """The real dpkg, with a database and files of its own below a folder."""

    def __init__(self, folder: Path) -> None:
        self.top = folder / "host"
        self.tool = folder / "dpkg"
        for part in ("info", "updates", "triggers"):
            (self.top / "var/lib/dpkg" / part).mkdir(parents=True)
        for part in ("status", "available"):
            (self.top / "var/lib/dpkg" / part).touch()
        # scripts of packages run as they are: the folder is no whole system
        self.tool.write_text(
            f'#!/bin/sh\nexec dpkg --root={self.top} --force-script-chrootless --log=/dev/null "$@"\n'
        )
        self.tool.chmod(0o755)

    def run(self, *argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        if argv[0] == "dpkg":
            return base.run(str(self.tool), *argv[1:], check=check)
        if argv[0] == "dpkg-query":
            return base.run("dpkg-query", f"--admindir={self.top}/var/lib/dpkg", *argv[1:], check=check)
        return base.run(*argv, check=check)

    def install(self, name: str, folder: Path, depends: str = "") -> None:
        """Make a package with a program, a configuration file and a script, and install it."""
        tree = folder / f"tree-{name}"
        (tree / "DEBIAN").mkdir(parents=True, mode=0o755)
        control = _CONTROL.format(name=name, depends=depends)
        (tree / "DEBIAN/control").write_text(control if depends else control.replace("Depends: \n", ""))
        (tree / "DEBIAN/conffiles").write_text(f"/etc/{name}.conf\n")
        (tree / "DEBIAN/postrm").write_text("#!/bin/sh\nexit 0\n")
        (tree / "DEBIAN/postrm").chmod(0o755)
        (tree / "usr/bin").mkdir(parents=True)
        (tree / "usr/bin" / name).write_text("#!/bin/sh\n")
        (tree / "usr/bin" / name).chmod(0o4755)
        (tree / "usr/bin" / f"{name}-link").symlink_to(name)
        (tree / "etc").mkdir()
        (tree / f"etc/{name}.conf").write_text("as it came\n")
        base.run("dpkg-deb", "--build", str(tree), str(folder / f"{name}.deb"))
        shutil.rmtree(tree)
        self.run("dpkg", "--install", str(folder / f"{name}.deb"))

    def status(self, name: str) -> str:
        """Return state and version of a package."""
        return self.run("dpkg-query", "-W", "-f=${Status} ${Version}", name, check=False).stdout


@pytest.fixture
def dpkg(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RealDpkg:
    real = RealDpkg(tmp_path)
    monkeypatch.setattr(packages, "run", real.run)
    # the files of the tests' packages are below the folder, as dpkg's own root option has them
    monkeypatch.setattr(packages, "ROOT", real.top)
    return real


def _remove(dpkg: RealDpkg, journal: Path, *names: str) -> undo.Record:
    item: settings.Item = {"kind": "packages_absent", "names": list(names), "rules": ["packages-x"]}
    converge([item], dry=False, journal=journal)
    record = undo.records(journal)[0]
    script = record.folder / "back.sh"
    script.write_text(script.read_text().replace("/usr/bin/dpkg", str(dpkg.tool)))
    return record


def test_a_package_that_was_removed_comes_back_without_a_mirror(dpkg: RealDpkg, tmp_path: Path) -> None:
    """In its version, with its rights, and with its configuration as somebody has written it."""
    dpkg.install("proof-tool", tmp_path)
    (tmp_path / "proof-tool.deb").unlink()
    config, program = dpkg.top / "etc/proof-tool.conf", dpkg.top / "usr/bin/proof-tool"
    config.write_text("by hand\n")
    record = _remove(dpkg, tmp_path / "journal", "proof-tool", "proof-absent")
    assert not program.exists()
    assert config.read_text() == "by hand\n"
    config.write_text("by hand, meanwhile\n")
    undone, failed = undo.unharden(tmp_path / "journal", [], dry=False)
    assert (undone, failed) == (["packages_absent proof-tool proof-absent"], [])
    assert dpkg.status("proof-tool") == "install ok installed 2:1.0-4"
    assert oct(program.stat().st_mode) == "0o104755"
    assert (dpkg.top / "usr/bin/proof-tool-link").readlink() == Path("proof-tool")
    assert config.read_text() == "by hand, meanwhile\n"
    assert not record.folder.exists()


def test_what_can_not_be_installed_again_is_told_and_the_rest_comes_back(
    dpkg: RealDpkg, tmp_path: Path
) -> None:
    """Somebody has removed what it depends on since; its record stays for the next try."""
    dpkg.install("proof-library", tmp_path)
    dpkg.install("proof-tool", tmp_path, depends="proof-library")
    journal, other = tmp_path / "journal", tmp_path / "etc"
    other.write_text("hardened\n")
    undo.keep(journal, "file x", {"kind": "file"}, base.Undo(paths=[str(other)]))
    other.write_text("changed\n")
    record = _remove(dpkg, journal, "proof-tool")
    dpkg.run("dpkg", "--remove", "proof-library")
    undone, failed = undo.unharden(journal, [], dry=False)
    assert undone == ["file x"]
    assert other.read_text() == "hardened\n"
    (told,) = failed
    assert "packages_absent proof-tool could not be taken back" in told
    assert "proof-library" in told
    assert record.folder.exists()
    dpkg.install("proof-library", tmp_path)
    assert undo.unharden(journal, [], dry=False) == (["packages_absent proof-tool"], [])
    assert dpkg.status("proof-tool") == "install ok installed 2:1.0-4"


def test_a_package_that_can_not_be_kept_is_not_removed(
    dpkg: RealDpkg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dpkg.install("proof-tool", tmp_path)

    def full(*argv: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        if argv[0] == "dpkg-deb":
            return subprocess.CompletedProcess(argv, 2, "", "No space left on device")
        return dpkg.run(*argv, check=check)

    monkeypatch.setattr(packages, "run", full)
    item: settings.Item = {"kind": "packages_absent", "names": ["proof-tool"], "rules": ["packages-x"]}
    with pytest.raises(SettingError, match="proof-tool could not be kept, so it stays: No space left"):
        converge([item], dry=False, journal=tmp_path / "journal")
    assert dpkg.status("proof-tool") == "install ok installed 2:1.0-4"
