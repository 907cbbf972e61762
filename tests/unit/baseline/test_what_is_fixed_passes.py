"""The files that hardening writes make the rules pass that asked for them: one record fixes and checks."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest

from provchain.baseline import fixes, judge
from provchain.baseline.facts import Facts, Output, Status
from provchain.baseline.observation import Verdict
from provchain.baseline.resources import Target
from tests.unit.baseline.casekit import CATALOG, STRICT, TAKEN

BEFORE = {
    "/etc/rsyslog.conf": "$IncludeConfig /etc/rsyslog.d/*.conf\n*.*;auth,authpriv.none -/var/log/syslog\n",
    "/etc/logrotate.conf": "weekly\nrotate 4\ninclude /etc/logrotate.d\n",
    "/etc/logrotate.d/rsyslog": "/var/log/syslog {\n rotate 4\n weekly\n}\n",
    "/etc/logrotate.d/wtmp": "/var/log/wtmp {\n monthly\n rotate 1\n}\n",
    "/etc/logrotate.d/btmp": "/var/log/btmp {\n monthly\n rotate 1\n}\n",
    "/etc/audit/rules.d/audit.rules": "-D\n-b 64\n-f 0\n",
}
"""Files of a stock host, as far as they matter."""
SHOWN = {
    "run:/usr/bin/systemd-analyze cat-config systemd/journald.conf": "/etc/systemd/journald.conf.d/*.conf"
}
KINDS = {"audit_rules", "audit_control", "rsyslog", "logrotate", "systemd_option"}
ABOUT = [rule.id for rule in STRICT.rules if rule.check.resource in KINDS and rule.fix == "machine"]


def _seen(files: dict[str, str], arch: str, target: Target) -> Facts:
    """Return what an audit would see of these files."""
    outputs = {"run:/usr/bin/uname -m": Output(Status.SEEN, 0, arch)}
    for probe in judge.probes(STRICT, target):
        kind, _, place = probe.id.partition(":")
        pattern = SHOWN.get(probe.id, place if kind == "file" else None)
        if pattern is None:
            continue
        found = sorted(path for path in files if fnmatchcase(path, pattern))
        outputs |= {f"file:{path}": Output(Status.SEEN, 0, files[path]) for path in found}
        whole = found and "*" in pattern
        text = "".join(files[path] if probe.id in SHOWN else f"{path}\n" for path in found) if whole else ""
        if whole or not found:
            outputs[probe.id] = Output(Status.SEEN if found else Status.MISSING, 0, text)
    return Facts(outputs, taken=TAKEN)


@pytest.mark.parametrize("arch", ["x86_64", "aarch64"])
def test_a_hardened_host_passes(arch: str) -> None:
    target = Target("h1", "debian", False, frozenset({"validator", "logs"}), arch=arch)
    after = {
        str(one.parameters["path"]): str(one.parameters["content"])
        for one in fixes.plan(STRICT, target)
        if one.kind == "file"
    }
    assert len(ABOUT) > 30
    verdicts = {
        name: {rule: judge.observe(CATALOG.rules[rule], STRICT, target, facts).verdict for rule in ABOUT}
        for name, facts in (
            ("before", _seen(BEFORE, arch, target)),
            ("after", _seen({**BEFORE, **after}, arch, target)),
        )
    }
    failing = {rule for rule, verdict in verdicts["after"].items() if verdict != Verdict.COMPLIANT}
    assert failing == set()
    assert Verdict.NONCOMPLIANT in verdicts["before"].values()
