"""A host's key and certificate: when a new one is due, and that a rotation may end at any point."""

from __future__ import annotations

import importlib.util
import stat
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from settings import SettingError

from provchain.paths import REPOSITORY
from provchain.pki import ALGORITHMS, Authority, Wanted

PROVNODE = [
    *(sys.executable, "-c"),
    f"import sys; sys.path.insert(0, {str(REPOSITORY / 'node')!r})\n"
    "from provnode.cli.main import main; sys.exit(main())",
]
COMMANDS = {
    "make": [*PROVNODE, "keygen", "--out", "{key}"],
    "public": [*PROVNODE, "keygen", "--show", "{key}", "--pem"],
    "request": [*PROVNODE, "csr", "--key", "{key}", "--name", "{name}", "--organisation", "{organisation}"],
}
NAMES = {"name": "v1", "organisation": "zjex", "dns": "v1.lab.provchain.internal", "address": "10.77.10.11"}


class Host:
    """A host's folder, and the authority of its organisation."""

    def __init__(self, folder: Path, algorithm: str, commands: dict[str, list[str]]) -> None:
        found = importlib.util.spec_from_file_location("identity", REPOSITORY / "plugins/modules/identity.py")
        assert found is not None
        assert found.loader is not None
        module = importlib.util.module_from_spec(found)
        found.loader.exec_module(module)
        (folder / "identity").mkdir()
        self.files: Any = module.Files(str(folder / "identity"), "root", commands)
        self.authority = Authority(folder / "pki", "zjex", ALGORITHMS[algorithm])
        self.wanted: dict[str, Any] = {
            **NAMES,
            "authority": self.authority.ensure(),
            "algorithm": algorithm,
            "renew_before_days": 30,
            "rotate": False,
        }

    def signed(self, request: str, days: int = 397) -> str:
        """Return the authority's certificate for a request."""
        w = self.wanted
        return self.authority.issue(
            request, Wanted(w["name"], w["organisation"], w["dns"], w["address"], days)
        )

    def certify(self, days: int = 397, **change: Any) -> None:  # noqa: ANN401 - options of any type
        """Ask, have it signed, install it."""
        self.files.install(self.signed(self.files.ask(self.wanted | change), days))

    def due(self, **change: Any) -> str:  # noqa: ANN401 - options of any type
        """Return why a certificate is due."""
        reason: str = self.files.due(self.wanted | change)
        return reason


@pytest.fixture(params=["sm2", "p256"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Host:
    """A host of the engine's, and one as logs are sent by."""
    if request.param == "sm2":
        return Host(tmp_path, "sm2", COMMANDS)
    role = yaml.safe_load((REPOSITORY / "roles/log_forwarding/vars/main.yml").read_text(encoding="utf-8"))
    return Host(tmp_path, role["log_forwarding_algorithm"], role["log_forwarding_commands"])


def test_a_certificate_is_asked_for_once(host: Host) -> None:
    assert host.due() == "there is none"
    host.certify()
    assert host.due() == ""
    assert stat.S_IMODE(host.files.key.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"name": "v2"}, "another name"),
        ({"organisation": "zjfin"}, "another name"),
        ({"address": "10.77.10.12"}, "another address"),
        ({"dns": "v1.other.provchain.internal"}, "another address"),
        ({"renew_before_days": 398}, "runs out soon"),
    ],
)
def test_a_change_of_what_it_must_say_makes_a_new_one_due(
    host: Host, change: dict[str, Any], reason: str
) -> None:
    host.certify()
    assert reason in host.due(**change)


def test_renewal_is_due_by_days_left(host: Host) -> None:
    host.certify(days=31)
    assert host.due() == ""
    host.certify(days=30)
    assert host.due() == "it runs out soon"


def test_another_authority_makes_a_new_one_due(host: Host, tmp_path: Path) -> None:
    host.certify()
    other = Authority(tmp_path / "other", "zjex", host.authority.algorithm).ensure()
    assert host.due(authority=other) == "it is from another authority"


def test_renewal_keeps_the_key_and_rotation_does_not(host: Host) -> None:
    host.certify()
    first = host.files.key.read_text()
    host.certify()
    assert host.files.key.read_text() == first
    host.certify(rotate=True)
    assert host.files.key.read_text() != first
    assert host.due() == ""


def test_during_a_rotation_key_and_certificate_still_fit(host: Host) -> None:
    """A node that restarts between request and certificate must come up as before."""
    host.certify()
    host.files.ask(host.wanted | {"rotate": True})
    assert host.due() == ""
    assert host.files.tidy()
    assert host.due() == ""
    assert sorted(path.name for path in host.files.key.parent.iterdir()) == ["cert.pem", "tls.key"]


def test_a_rotation_that_ended_between_key_and_certificate_is_made_up_for(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.certify()
    signed = host.signed(host.files.ask(host.wanted | {"rotate": True}))
    with monkeypatch.context() as cut, pytest.raises(RuntimeError):
        cut.setattr(host.files, "put", _cut)
        host.files.install(signed)
    assert host.due() == "it belongs to another key"
    host.certify()
    assert host.due() == ""


def _cut(*_: object) -> None:
    raise RuntimeError("power cut")


def test_a_certificate_for_another_key_is_not_installed(host: Host) -> None:
    host.certify()
    signed = host.signed(host.files.ask(host.wanted | {"rotate": True}))
    host.files.tidy()
    with pytest.raises(SettingError, match="no key of this host"):
        host.files.install(signed)
    assert host.due() == ""
