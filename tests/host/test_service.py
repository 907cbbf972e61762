"""The engine runs as a service that could do little harm if it were taken over.

Both what systemd says of the unit and what the kernel says of its process: the first is configuration, the
second is the fact.
"""

from __future__ import annotations

from typing import Any

from tests.host.engine import Engine
from tests.host.network import Network

FORBIDDEN_CALLS = {
    "mount", "umount2", "pivot_root", "init_module", "finit_module", "delete_module", "kexec_load", "reboot",
    "ptrace", "bpf", "perf_event_open", "swapon", "swapoff", "settimeofday", "iopl", "quotactl", "acct",
}  # fmt: skip


def _show(facts: dict[str, Any], engine: Engine) -> dict[str, str]:
    shown: dict[str, str] = facts["units"][engine.unit]["show"]
    return shown


def test_the_unit_runs_and_starts_at_boot(node: str, facts: dict[str, Any], engine: Engine) -> None:
    shown = _show(facts, engine)
    assert (shown["ActiveState"], shown["SubState"]) == ("active", "running"), node
    assert shown["UnitFileState"] == "enabled", node
    assert shown["Restart"] in ("always", "on-failure"), node


def test_the_process_runs_as_its_own_user(node: str, facts: dict[str, Any], engine: Engine) -> None:
    assert _show(facts, engine)["User"] == engine.user, node
    assert facts["units"][engine.unit]["process"]["User"] == engine.user, node
    entry = next(row for row in facts["passwd"] if row[0] == engine.user)
    assert entry[2] != "0", "the service user is root"
    assert entry[6] in ("/usr/sbin/nologin", "/bin/false"), f"the service user has the shell {entry[6]}"


def test_the_unit_is_sandboxed(node: str, facts: dict[str, Any], engine: Engine) -> None:
    shown = _show(facts, engine)
    found = {key: shown.get(key) for key in engine.sandbox}
    assert found == dict(engine.sandbox), node


def test_the_unit_may_not_call_the_kernel_at_will(node: str, facts: dict[str, Any], engine: Engine) -> None:
    shown = _show(facts, engine)
    calls = set(shown["SystemCallFilter"].split())
    assert "read" in calls, f"{node}: the filter lists what is forbidden, or nothing at all"
    assert not calls & FORBIDDEN_CALLS, node
    assert shown["SystemCallArchitectures"] == "native", node


def test_the_unit_reaches_only_its_address_families(node: str, facts: dict[str, Any], engine: Engine) -> None:
    families = set(_show(facts, engine)["RestrictAddressFamilies"].split())
    assert families and families <= engine.families, node


def test_the_kernel_holds_the_process_to_it(node: str, facts: dict[str, Any], engine: Engine) -> None:
    process = facts["units"][engine.unit]["process"]
    for capabilities in ("CapEff", "CapPrm", "CapBnd", "CapAmb", "CapInh"):
        assert int(process[capabilities], 16) == 0, f"{node}: {capabilities} {process[capabilities]}"
    assert process["NoNewPrivs"] == "1", node
    assert process["Seccomp"] == "2", f"{node}: no system call filter is in force"


def test_the_host_says_which_engine_it_runs(
    name: str, facts: dict[str, Any], engine: Engine, network: Network
) -> None:
    described = facts["engine"]
    spec = network.spec
    assert (described["engine"], described["version"]) == (spec.engine.name, spec.engine.version)
    is_node = spec.host(name).is_node
    assert described["unit"] == (engine.unit if is_node else None)
    assert described["user"] == engine.user
    wanted = {"status", "block"} if is_node else {"submit", "read"}
    assert wanted <= set(described["verbs"])


def test_no_service_failed(name: str, facts: dict[str, Any]) -> None:
    assert facts["failed_units"].strip() == "", name
