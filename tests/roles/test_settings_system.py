"""Units and kernel parameters, with systemd and the kernel played by the tests."""

from __future__ import annotations

from pathlib import Path

import pytest
import settings
from settings import SettingError, converge, files, system

LONG_AGO, FAR_AHEAD = "1", str(2**60)


class FakeSystemd:
    """Answers for systemctl: one unit with properties that verbs change, and a record of the verbs."""

    def __init__(
        self, monkeypatch: pytest.MonkeyPatch, properties: dict[str, str], *, starts: bool = True
    ) -> None:
        self.verbs: list[str] = []
        self.starts, self.properties = starts, dict(properties)
        monkeypatch.setattr(system, "properties", lambda unit: dict(self.properties))
        monkeypatch.setattr(system, "run", self.run)

    def run(self, *argv: str, check: bool = True) -> None:
        assert argv[0] in ("systemctl", "/bin/ready")
        self.verbs.append(argv[1])
        if argv[1] == "enable":
            self.properties["UnitFileState"] = "enabled"
        if argv[1] in ("start", "restart"):
            self.properties["ActiveState"] = "active" if self.starts else "inactive"
            self.properties["ActiveEnterTimestampMonotonic"] = FAR_AHEAD


def running(since: str) -> dict[str, str]:
    return {"ActiveState": "active", "UnitFileState": "enabled", "ActiveEnterTimestampMonotonic": since}


def unit(path: Path) -> settings.Item:
    return {"kind": "unit", "name": "x.service", "restart_on": [str(path)]}


@pytest.mark.parametrize(
    ("properties", "verbs"),
    [
        ({"ActiveState": "inactive", "UnitFileState": "disabled"}, ["daemon-reload", "enable", "start"]),
        (running(FAR_AHEAD), []),
        (running(LONG_AGO), ["daemon-reload", "restart"]),
        ({"ActiveState": "failed", "UnitFileState": "enabled"}, ["daemon-reload", "start"]),
        (running(FAR_AHEAD) | {"UnitFileState": "disabled"}, ["daemon-reload", "enable"]),
    ],
)
def test_a_unit_is_enabled_running_and_newer_than_its_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, properties: dict[str, str], verbs: list[str]
) -> None:
    (tmp_path / "conf").write_text("x")
    systemd = FakeSystemd(monkeypatch, properties)
    ((_, result),) = converge([unit(tmp_path / "conf")], dry=False)
    assert systemd.verbs == verbs
    assert result.changed == bool(verbs)
    ((_, again),) = converge([unit(tmp_path / "conf")], dry=False)
    assert not again.changed


def test_a_restart_waits_until_the_service_is_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf").write_text("x")
    item = unit(tmp_path / "conf") | {"ready": ["/bin/ready", "now"]}
    for properties, last in (
        (running(LONG_AGO), ["restart", "now"]),
        (running(FAR_AHEAD), []),
        # the first start of a network has to go on all hosts before any of them can be ready
        ({"ActiveState": "inactive", "UnitFileState": "enabled"}, ["daemon-reload", "start"]),
    ):
        systemd = FakeSystemd(monkeypatch, properties)
        converge([item], dry=False)
        assert systemd.verbs[-2:] == last


def test_a_unit_that_did_not_start_is_no_success(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """systemctl start ends with 0 if a condition of the unit forbids the start."""
    FakeSystemd(monkeypatch, {"ActiveState": "inactive", "UnitFileState": "enabled"}, starts=False)
    with pytest.raises(SettingError, match=r"x\.service: inactive after systemctl start"):
        converge([unit(tmp_path / "conf")], dry=False)


def test_a_dry_run_foresees_the_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "conf"
    path.write_text("old")
    systemd = FakeSystemd(monkeypatch, running(FAR_AHEAD))
    item = {"kind": "file", "path": str(path), "content": "new", "owner": "root"}
    done = converge([item, unit(path)], dry=True)
    assert done[1][1].actions == ["restart"]
    assert systemd.verbs == []


@pytest.fixture
def knobs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel with two parameters."""
    monkeypatch.setattr(system, "SYSCTL", tmp_path / "sys")
    monkeypatch.setattr(files, "BACKUPS", tmp_path / "backups")
    folder = tmp_path / "sys" / "net" / "ipv4"
    folder.mkdir(parents=True)
    (folder / "ip_forward").write_text("1\n")
    (folder / "tcp_rmem").write_text("4096\t131072\t6291456\n")
    return folder


def test_a_kernel_parameter_is_put_right_and_back(knobs: Path, tmp_path: Path) -> None:
    item = {"kind": "knob", "name": "net.ipv4.tcp_rmem", "value": "1 2 3", "rules": ["x-y"]}
    assert converge([item], dry=True)[0][1].actions == ["4096 131072 6291456 -> 1 2 3"]
    assert (knobs / "tcp_rmem").read_text() == "4096\t131072\t6291456\n"
    converge([item], dry=False, journal=tmp_path / "journal")
    assert (knobs / "tcp_rmem").read_text() == "1 2 3"
    assert not converge([item], dry=False)[0][1].changed
    (script,) = (tmp_path / "journal").glob("*/back.sh")
    assert "/sbin/sysctl -q -w 'net.ipv4.tcp_rmem=4096 131072 6291456'" in script.read_text()


def test_a_kernel_parameter_that_is_as_good_stays(knobs: Path) -> None:
    """The kernel may take no other any more."""
    item = {"kind": "knob", "name": "net.ipv4.tcp_rmem", "value": "1 2 3", "fits": ["4096 131072 6291456"]}
    assert not converge([item], dry=False)[0][1].changed
    assert (knobs / "tcp_rmem").read_text() == "4096\t131072\t6291456\n"


def test_a_kernel_parameter_that_is_not_there_is_passed_over(knobs: Path) -> None:
    assert not converge([{"kind": "knob", "name": "net.ipv4.nosuch", "value": "1"}], dry=False)[0][1].changed


def test_units_that_are_on_are_turned_off_and_back(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    states = {"a.service": {"UnitFileState": "enabled", "ActiveState": "active"}, "b.socket": {}}
    asked: list[str] = []

    def run(*argv: str, check: bool = True) -> None:
        asked.append(" ".join(argv))
        states[argv[-1]] = {"UnitFileState": "disabled", "ActiveState": "inactive"}

    monkeypatch.setattr(system, "properties", lambda unit: states.get(unit, {}))
    monkeypatch.setattr(system, "run", run)
    item = {"kind": "units_off", "names": ["a.service", "b.socket", "c.service"]}
    assert converge([item], dry=True)[0][1].changed
    assert asked == []
    converge([item], dry=False, journal=tmp_path / "journal")
    assert asked == ["systemctl disable --now a.service"]
    assert not converge([item], dry=False)[0][1].changed
    (script,) = (tmp_path / "journal").glob("*/back.sh")
    assert script.read_text().splitlines()[-2:] == [
        "/bin/systemctl enable a.service",
        "/bin/systemctl start a.service",
    ]
