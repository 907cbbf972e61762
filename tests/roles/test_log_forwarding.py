"""Where logs go: what the role writes is what the catalog asks for, and names whom it trusts."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml

from provchain.baseline import judge
from provchain.baseline.facts import Facts, Output, Status
from provchain.baseline.observation import Verdict
from provchain.baseline.resources import Target
from provchain.paths import REPOSITORY
from provchain.spec import Host
from tests.roles.test_templates import HOSTS, SPEC, render
from tests.unit.baseline.casekit import CATALOG, STRICT

ROLE = REPOSITORY / "roles/log_forwarding"
COLLECTORS = [host for host in SPEC.hosts if "logs" in host.roles]


def rendered(template: str, host: Host) -> str:
    """Render with the role's own variables, as the inventory fills them in."""
    own: dict[str, Any] = {
        "log_forwarding_targets": [one.model_dump(mode="json") for one in COLLECTORS if one != host],
        "log_forwarding_domain": f"{SPEC.network}.provchain.internal",
        "log_forwarding_folder": "/etc/provchain/logs",
        **yaml.safe_load((ROLE / "defaults/main.yml").read_text(encoding="utf-8")),
    }
    return render("log_forwarding", template, host, **own)


@pytest.fixture(params=sorted(HOSTS))
def host(request: pytest.FixtureRequest) -> Host:
    return HOSTS[str(request.param)]


@pytest.mark.parametrize("rule", ["rsyslog-encrypted", "rsyslog-queued"])
def test_what_is_written_is_what_the_rules_ask_for(host: Host, rule: str) -> None:
    target = Target(host.name, "debian", True, frozenset(host.roles))
    facts = {
        "file:/etc/rsyslog.conf": "*.* /var/log/syslog\n",
        "file:/etc/rsyslog.d/*.conf": "/etc/rsyslog.d/20.conf\n",
        "file:/etc/rsyslog.d/20.conf": rendered("forward.conf", host),
    }
    seen = Facts({name: Output(Status.SEEN, 0, text) for name, text in facts.items()}, taken=1)
    verdict = judge.observe(CATALOG.rules[rule], STRICT, target, seen).verdict
    assert verdict == (Verdict.NOT_APPLICABLE if host in COLLECTORS else Verdict.COMPLIANT)


def test_a_host_trusts_the_collectors_by_name(host: Host) -> None:
    trusted = re.findall(r'permittedpeer=\["([^"]*)"\]', rendered("forward.conf", host))
    assert trusted == [f"{one.name}.lab.provchain.internal" for one in COLLECTORS if one != host]


@pytest.mark.parametrize("host", [host.name for host in COLLECTORS], indirect=True)
def test_a_collector_trusts_all_other_hosts_by_name_and_files_by_their_address(host: Host) -> None:
    (trusted,) = re.findall(r"permittedpeer=\[(.*)\]", rendered("collect.conf", host))
    assert trusted.replace('"', "").split(", ") == [
        f"{one.name}.lab.provchain.internal" for one in SPEC.hosts if one != host
    ]
    table = json.loads(rendered("hosts.json", host))
    assert {one["index"]: one["value"] for one in table["table"]} == {
        str(one.address): one.name for one in SPEC.hosts
    }
    assert table["nomatch"] == "unknown"
