"""The image's name follows its recipe, and its packages come from the machine's own Debian mirrors."""

from __future__ import annotations

from pathlib import Path

import pytest

from provchain.lab import image, shell


def test_the_name_follows_the_packages(monkeypatch: pytest.MonkeyPatch) -> None:
    before = image.key()
    monkeypatch.setattr(image, "PACKAGES", (*image.PACKAGES, "tmux"))
    assert image.key() != before


def test_an_image_that_is_there_is_not_built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVCHAIN_HOME", str(tmp_path))
    image.path().mkdir(parents=True)
    monkeypatch.setattr(image, "_build", lambda *_: pytest.fail("built"))
    assert image.ensure() == image.path()


def test_an_interrupted_build_is_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROVCHAIN_HOME", str(tmp_path))

    def interrupted(target: Path, *_: object) -> None:
        (target / "half").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(image, "_build", interrupted)
    with pytest.raises(KeyboardInterrupt):
        image.ensure()
    assert not image.path().exists()
    monkeypatch.setattr(image, "_build", lambda target, *_: (target / "whole").touch())
    assert [path.name for path in image.ensure().iterdir()] == ["whole"]
    assert sorted(path.name for path in image.path().parent.iterdir()) == [".lock", image.key()]


def test_only_the_machines_debian_mirrors_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    listing = (
        "Debian bookworm main http://mirror.example/debian/\n"
        "Debian bookworm contrib http://mirror.example/debian/\n"
        "Debian bookworm-security main http://mirror.example/security\n"
        "Debian trixie main http://mirror.example/debian/\n"
        "Vendor bookworm main http://vendor.example/\n"
        "Debian bookworm main http://mirror.example/debian/\n"
    )
    monkeypatch.setattr(image, "run", lambda *_: listing)
    assert image._sources() == [
        "deb http://mirror.example/debian/ bookworm main",
        "deb http://mirror.example/security bookworm-security main",
    ]


def test_a_failed_command_says_why() -> None:
    with pytest.raises(shell.LabError) as caught:
        shell.run("sh", "-c", "echo no such thing >&2; exit 3")
    assert "status 3" in caught.value.message
    assert caught.value.cause == "no such thing"


def test_a_missing_command_is_named() -> None:
    with pytest.raises(shell.LabError, match="provchain-no-such-program is missing"):
        shell.run("provchain-no-such-program")
