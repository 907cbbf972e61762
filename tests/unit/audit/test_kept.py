"""The catalog that is kept: it is what the files say, or nothing."""

from __future__ import annotations

import hashlib
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import provchain
from provchain.audit import kept
from provchain.baseline import catalog
from provchain.baseline.catalog import Catalog
from provchain.baseline.model import Text
from provchain.document import DocumentError
from tests.unit.audit.auditkit import small_catalog

OWN = "id: own\ntitle: {zh: 自, en: Own}\nextends: mlps3\n"
Read = Callable[..., Catalog]


class Site:
    """A small catalog, a site's own profile, and how often they were read."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.home, self.times = folder / "baselines", folder / "home", 0
        self.own = folder / "own.yml"
        self.own.write_text(OWN)
        small_catalog(self.folder)
        monkeypatch.setenv("PROVCHAIN_HOME", str(self.home))
        self._really = catalog.load
        monkeypatch.setattr(catalog, "load", self._read)
        self.meanwhile: Callable[[], object] = lambda: None

    def _read(self, folder: Path, sites: tuple[Path, ...]) -> Catalog:
        self.times += 1
        found = self._really(folder, sites)
        self.meanwhile()
        return found

    def load(self) -> Catalog:
        found = kept.load([self.own], self.folder)
        assert found == self._really(self.folder, [self.own])
        return found

    @property
    def files(self) -> list[Path]:
        return sorted((self.home / "cache" / "catalog").iterdir())


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


def test_what_did_not_change_is_read_once(site: Site) -> None:
    assert set(site.load().profiles) == {"mlps3", "own"}
    assert set(site.load().profiles) == {"mlps3", "own"}
    assert site.times == 1
    (file,) = site.files
    assert (file.stat().st_mode & 0o777, file.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_the_whole_catalog_comes_back_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVCHAIN_HOME", str(tmp_path))
    whole = catalog.load()
    assert kept.load() == whole
    monkeypatch.setattr(catalog, "load", lambda *_: pytest.fail("it is kept"))
    again = kept.load()
    assert again == whole
    dumped = [[one.model_dump(mode="json") for one in each.rules.values()] for each in (whole, again)]
    assert dumped[0] == dumped[1]


def _code(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    here = Path(provchain.__file__).parent
    there = site.home / "provchain"
    shutil.copytree(here, there, ignore=shutil.ignore_patterns("__pycache__"))
    with (there / "baseline" / "resources" / "sshd.py").open("a") as file:
        file.write("\n")
    monkeypatch.setattr(provchain, "__file__", str(there / "__init__.py"))


@pytest.mark.parametrize(
    "change",
    [
        lambda site, _: _edit(site.folder / "rules" / "r.yml", "en: Tries", "en: Attempts"),
        lambda site, _: _edit(site.folder / "profiles" / "mlps3.yml", "value: 4", "value: 5"),
        lambda site, _: _edit(site.own, "en: Own", "en: Ours"),
        lambda site, _: (site.folder / "profiles" / "own2.yml").write_text(
            OWN.replace("id: own", "id: own2")
        ),
        lambda site, patch: patch.setattr("pydantic.VERSION", "2.0"),
        lambda site, patch: patch.setattr("sys.version", "3.12"),
        _code,
    ],
    ids=["rule", "threshold", "own", "more", "pydantic", "python", "code"],
)
def test_whatever_it_follows_from_counts(
    site: Site, monkeypatch: pytest.MonkeyPatch, change: Callable[[Site, pytest.MonkeyPatch], object]
) -> None:
    site.load()
    change(site, monkeypatch)
    site.load()
    site.load()
    assert site.times == 2


def _edit(path: Path, said: str, instead: str) -> None:
    text = path.read_text(encoding="utf-8")
    assert said in text
    path.write_text(text.replace(said, instead), encoding="utf-8")


def test_what_is_refused_is_refused_every_time_and_not_kept(site: Site) -> None:
    _edit(site.folder / "rules" / "r.yml", "severity: high", "severity: highest")
    for _ in range(2):
        with pytest.raises(DocumentError, match="refused: 1 problem"):
            kept.load([], site.folder)
    with pytest.raises(DocumentError):
        kept.load([site.folder / "none.yml"], site.folder)
    assert not site.home.exists()


def test_what_changes_while_it_is_read_is_not_kept(site: Site) -> None:
    site.meanwhile = lambda: _edit(site.own, "en: Own", "en: Ours")
    assert kept.load([site.own], site.folder).profiles["own"].profile.title.en == "Own"
    assert not site.home.exists()


class _Harm:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.mark),)


def _sealed(what: object) -> bytes:
    text = pickle.dumps(what)
    return hashlib.sha256(text).digest() + text


@pytest.mark.parametrize("kind", ["cut", "changed", "empty", "others", "link", "fifo", "code", "record"])
def test_what_is_broken_or_not_ours_is_ignored_and_replaced(site: Site, tmp_path: Path, kind: str) -> None:
    site.load()
    (file,) = site.files
    whole = file.read_bytes()
    mark = tmp_path / "harm"
    match kind:
        case "others":
            file.chmod(0o640)
        case "link":
            file.rename(tmp_path / "elsewhere")
            file.symlink_to(tmp_path / "elsewhere")
        case "fifo":
            file.unlink()
            os.mkfifo(file, 0o600)
        case _:
            file.write_bytes(
                {
                    "cut": whole[:-9],
                    "changed": whole.replace(b"maxauthtries", b"maxauthtrieS"),
                    "empty": b"",
                    "code": _sealed(_Harm(mark)),
                    "record": _sealed(Text(zh="甲", en="a")),
                }[kind]
            )
    site.load()
    assert site.times == 2
    assert not mark.exists(), "nothing that lies there is run"
    site.load()
    assert site.times == 2, "what took its place is good"


def test_few_are_kept_and_none_where_nothing_can_be(site: Site) -> None:
    for number in range(kept.MOST_KEPT + 2):
        site.own.write_text(OWN.replace("Own", f"Own {number}"))
        site.load()
    assert len(site.files) == kept.MOST_KEPT
    site.load()
    assert site.times == kept.MOST_KEPT + 2, "the newest is among them"
    shutil.rmtree(site.home)
    site.home.write_text("no folder")
    site.load()
    site.load()
    assert site.times == kept.MOST_KEPT + 4
