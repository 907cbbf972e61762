"""Debian packages: installed from a file, or removed in a way that can be taken back without a mirror."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .base import Result, Setting, SettingError, Undo, properties, run

DPKG = Path("/var/lib/dpkg/info")
ROOT = Path("/")
_UNIT = re.compile(r"/(?:usr/)?lib/systemd/system/([^/@]+\.(?:service|socket|timer))")
# one that the package has no more has a word behind its digest
_CONFIGURATION = re.compile(r"^ (/\S+) [0-9a-f]{32}$", re.M)
_FIELDS_OF_ITS_STATE = re.compile(r"^(?:Status|Conffiles|Config-Version):.*\n(?:[ \t].*\n)*", re.M)


def _installed(*names: str) -> dict[str, str]:
    """Return those of these packages that are installed, with their versions."""
    form = "-f=${Package}\t${Status}\t${Version}\n"
    shown = run("dpkg-query", "-W", form, *names, check=False).stdout
    rows = (line.split("\t") for line in shown.splitlines())
    return {name: version for name, status, version in rows if status == "install ok installed"}


@dataclass(frozen=True)
class Package(Setting):
    """``package``: a Debian package, installed from a local file unless this very build is there already.

    ``content`` is the SHA-256 of its list of files and their digests, as dpkg keeps it.
    """

    name: str
    file: str
    content: str

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        present = _installed(self.name)
        if present and self._listed() == self.content:
            return Result()
        if not dry:
            run("dpkg", "--install", self.file)
        return Result(True, actions=["replaced by another build" if present else "installed"])

    def _listed(self) -> str:
        listed = DPKG / f"{self.name}.md5sums"
        return hashlib.sha256(listed.read_bytes()).hexdigest() if listed.is_file() else ""


@dataclass(frozen=True)
class PackagesAbsent(Setting):
    """``packages_absent``: none of these packages. Their configuration and data stay, for their return.

    A package that another one needs is refused by dpkg: what else would go is for a person to decide.
    """

    names: list[str]

    @property
    def label(self) -> str:
        return " ".join(self.names)

    def apply(self, dry: bool, changed: frozenset[str]) -> Result:
        present = _installed(*self.names)
        if not present:
            return Result()
        if not dry:
            run("dpkg", "--remove", *present)
        return Result(True, "".join(f"{one} {present[one]}\n" for one in present), "", ["removed"])

    def undo(self) -> Undo:
        """Install them again as they are, with those of their units off that are off now."""
        present = list(_installed(*self.names))
        undo = Undo(packages=present)
        listed = run("dpkg-query", "-L", *present).stdout if present else ""
        for unit in dict.fromkeys(_UNIT.findall(listed)):
            found = properties(unit)
            if found.get("UnitFileState") == "disabled":
                undo.commands.append(["/bin/systemctl", "disable", unit])
            if found.get("ActiveState") != "active":
                undo.commands.append(["/bin/systemctl", "stop", unit])
        return undo


def repack(name: str, target: Path) -> None:
    """Make a package from what is installed of it: its files as they are, its scripts, its description.

    So it comes back in the same version though no mirror serves it any more. Raises SettingError.
    """
    with tempfile.TemporaryDirectory(prefix="provchain-") as folder:
        tree = Path(folder)
        tree.chmod(0o755)
        for path in run("dpkg-query", "-L", name).stdout.splitlines():
            # lines that are no path tell of diversions; files may be missing by choice, documentation often
            if path.startswith("/") and path != "/." and os.path.lexists(ROOT / path[1:]):
                _copy(ROOT / path[1:], tree / path[1:])
        control = tree / "DEBIAN"
        control.mkdir(mode=0o755)
        told = run("dpkg-query", "-s", name).stdout.strip("\n") + "\n"
        (control / "control").write_text(_FIELDS_OF_ITS_STATE.sub("", told))
        configuration = run("dpkg-query", "-W", "-f=${Conffiles}", name).stdout
        (control / "conffiles").write_text(
            "".join(f"{path}\n" for path in _CONFIGURATION.findall(configuration))
        )
        for part in run("dpkg-query", "--control-list", name).stdout.split():
            shutil.copy2(run("dpkg-query", "--control-path", name, part).stdout.strip(), control / part)
        made = run("dpkg-deb", "-Zgzip", "-z1", "--build", folder, str(target), check=False)
        if made.returncode != 0:
            raise SettingError(f"package {name} could not be kept, so it stays: {made.stderr.strip()[-500:]}")


def _copy(path: Path, there: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        run("/bin/cp", "-a", "--no-target-directory", str(path), str(there))
        return
    there.mkdir(exist_ok=True)
    shutil.copystat(path, there)
    found = path.stat()
    os.chown(there, found.st_uid, found.st_gid)
