"""What hardening writes is what the audit wants: the settings of one host, looked at by the same rules."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from provchain.baseline import fixes, judge
from provchain.baseline.facts import Facts, Output, Status
from provchain.baseline.observation import Verdict
from provchain.baseline.resources import Target
from tests.unit.baseline.casekit import CATALOG

HOSTS = {
    "validator": Target("v1", "debian", False, frozenset({"validator"}), unit="engine.service"),
    "bastion": Target("m1", "debian", False, frozenset({"bastion", "time"})),
    "container": Target("a1", "debian", True, frozenset({"full", "rpc"}), unit="engine.service"),
}
EFFECTIVE = {"/etc/ssh/sshd_config.d/05-provchain-baseline.conf": "run:/usr/sbin/sshd -T"}


def _facts(settings: tuple[fixes.Setting, ...]) -> Facts:
    """What the probes would tell of a host with these settings and nothing else."""
    told: dict[str, str] = {}
    for setting in settings:
        given: dict[str, Any] = dict(setting.parameters)
        if setting.kind == "file":
            told[EFFECTIVE.get(given["path"], f"file:{given['path']}")] = given["content"]
        elif setting.kind == "option":
            row = "{key}{separator}{value}\n".format_map(given)
            told[f"file:{given['path']}"] = told.get(f"file:{given['path']}", "") + row
        elif setting.kind == "knob":
            told[f"file:/proc/sys/{given['name'].replace('.', '/')}"] = f"{given['value']}\n"
    told["file:/etc/security/pwquality.conf"] = ""
    told["file:/etc/security/pwquality.conf.d/*.conf"] = "/etc/security/pwquality.conf.d/50-provchain.conf\n"
    return Facts({name: Output(Status.SEEN, 0, text) for name, text in told.items()}, taken=1)


@pytest.mark.parametrize("profile", CATALOG.profiles)
@pytest.mark.parametrize("host", HOSTS)
def test_what_is_written_passes(profile: str, host: str) -> None:
    resolved, target = CATALOG.profiles[profile], HOSTS[host]
    settings = fixes.plan(resolved, target)
    shared = {rule for one in settings if one.kind in ("file", "option", "knob") for rule in one.rules}
    written = [
        rule
        for rule in resolved.rules
        if rule.id in shared and rule.check.resource in ("sshd", "option", "sysctl", "banner")
    ]
    assert len(written) > 50
    results = judge.judge(replace(resolved, rules=tuple(written)), target, _facts(settings))
    wrong = {one.rule.id: one.observation for one in results if one.observation.verdict != Verdict.COMPLIANT}
    assert wrong == {}


def test_what_can_lock_out_goes_on_trial() -> None:
    settings = fixes.plan(CATALOG.profiles["mlps3"], HOSTS["validator"])
    trial = {
        setting.kind + " " + str(setting.parameters.get("path", "")) for setting in settings if setting.access
    }
    assert f"file {fixes.SSHD}" in trial
    assert "file /etc/sudoers.d/60-provchain-baseline" in trial
    assert any(one.startswith("pam_profile") for one in trial)
    assert not any("sysctl" in one or "/etc/issue" in one for one in trial)


def test_a_plan_can_be_limited_to_rules() -> None:
    settings = fixes.plan(CATALOG.profiles["mlps3"], HOSTS["validator"], ["ssh-max-tries", "banner-remote"])
    assert {rule for one in settings for rule in one.rules} == {"ssh-max-tries", "banner-remote"}
    sshd = next(one for one in settings if one.parameters.get("path") == fixes.SSHD)
    assert sshd.parameters["content"] == fixes.HEAD + "maxauthtries 4\n"


def test_what_the_distribution_widens_at_boot_is_said_there_too() -> None:
    settings = fixes.plan(CATALOG.profiles["mlps3"], HOSTS["container"], ["journal-files"])
    assert [setting.item() for setting in settings] == [
        {
            "kind": "file",
            "path": "/etc/tmpfiles.d/zz-provchain.conf",
            "content": fixes.HEAD + "z /var/log/journal/* 2750 - - - -\n",
        },
        {
            "kind": "attributes",
            "path": "/var/log/journal/*",
            "most": "2750",
            "owners": ["root"],
            "groups": ["systemd-journal", "auditadm", "root"],
        },
    ]


def test_the_bastion_forwards_and_nobody_else() -> None:
    for host, value in (("bastion", "local"), ("validator", "no")):
        settings = fixes.plan(CATALOG.profiles["mlps3"], HOSTS[host])
        content = next(one for one in settings if one.parameters.get("path") == fixes.SSHD).parameters[
            "content"
        ]
        assert f"\nallowtcpforwarding {value}\n" in content


def test_a_container_is_not_asked_for_its_machines_kernel() -> None:
    settings = fixes.plan(CATALOG.profiles["mlps3"], HOSTS["container"])
    names = [one.parameters["name"] for one in settings if one.kind == "knob"]
    assert names
    assert all(name.startswith("net.") for name in names)
    assert not any(one.parameters.get("path") == "/etc/modprobe.d/provchain.conf" for one in settings)


def test_forwarding_is_set_before_what_it_resets() -> None:
    """Turning it off, the kernel lets all interfaces take redirects again (ip-sysctl.rst, ip_forward)."""
    settings = fixes.plan(CATALOG.profiles["mlps3"], HOSTS["validator"])
    names = [one.parameters["name"] for one in settings if one.kind == "knob"]
    lines = next(one for one in settings if "/sysctl.d/" in str(one.parameters.get("path")))
    assert names.index("net.ipv4.ip_forward") < min(n for n, name in enumerate(names) if ".conf." in name)
    assert [line.split(" = ")[0] for line in lines.parameters["content"].splitlines()[1:]] == names


def test_every_shared_file_is_known() -> None:
    """An Entry that names no drop-in would be found by the first host only."""
    for profile in CATALOG.profiles.values():
        for family in ("debian", "rpm"):
            for host in HOSTS.values():
                fixes.plan(profile, replace(host, family=family))
