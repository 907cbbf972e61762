"""The role that applies the catalog: its tags, and what its filter makes of one host."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import pytest
import settings
import yaml
from ansible.errors import AnsibleFilterError

from provchain.baseline import catalog, fixes
from provchain.paths import REPOSITORY, spec_file
from provchain.spec import load

CATALOG = catalog.load()
SPEC = load(spec_file("lab"))
FACTS = {"os_family": ["debian", ""], "container": True, "architecture": "x86_64"}


@pytest.fixture(scope="module")
def planned() -> Callable[..., dict[str, list[dict[str, Any]]]]:
    """Return the filter, loaded from its file as Ansible does."""
    path = REPOSITORY / "plugins" / "filter" / "baseline.py"
    description = importlib.util.spec_from_file_location("baseline_filter", path)
    assert description is not None
    assert description.loader is not None
    module = importlib.util.module_from_spec(description)
    description.loader.exec_module(module)
    return module.FilterModule().filters()["baseline_settings"]  # type: ignore[no-any-return] # read by name


def test_its_tags_are_the_points_that_machines_fix() -> None:
    path = REPOSITORY / "roles" / "baseline" / "tasks" / "main.yml"
    (block,) = yaml.safe_load(path.read_text(encoding="utf-8"))
    points = {
        clause.removeprefix("22239.").rpartition(".")[0]
        for rule in CATALOG.rules.values()
        for clause in rule.clauses
        if rule.fix == "machine" and clause.startswith("22239.")
    }
    assert sorted(block["tags"], key=str) == sorted(points)


@pytest.mark.parametrize("host", [host.name for host in SPEC.hosts])
def test_every_host_gets_settings_that_the_module_takes(
    planned: Callable[..., dict[str, list[dict[str, Any]]]], host: str
) -> None:
    found = planned(SPEC.host(host).model_dump(mode="json"), FACTS, SPEC.baseline.profile)
    assert len(found["plain"]) > 20
    assert len(found["access"]) > 8
    for item in (*found["plain"], *found["access"]):
        assert item["rules"]
    settings.parse([dict(item) for item in (*found["plain"], *found["access"])])


def test_it_can_be_limited(planned: Callable[..., dict[str, list[dict[str, Any]]]]) -> None:
    host = SPEC.hosts[0].model_dump(mode="json")

    def rules(**limits: list[str]) -> set[str]:
        found = planned(host, FACTS, "mlps3", **limits)
        return {rule for item in (*found["plain"], *found["access"]) for rule in item["rules"]}

    assert rules(rules=["ssh-max-tries"]) == {"ssh-max-tries"}
    point = rules(points=["8.1.4.1"])
    assert "ssh-max-tries" in point
    assert "file-passwd" not in point
    assert rules(without=["ssh-max-tries"]) == rules() - {"ssh-max-tries"}

    def sshd(**limits: list[str]) -> list[str]:
        """Return the options that it writes."""
        items = planned(host, FACTS, "mlps3", **limits)["access"]
        return [
            line.split()[0]
            for item in items
            if item.get("path") == fixes.SSHD
            for line in item["content"].splitlines()[1:]
        ]

    assert sshd(rules=["ssh-max-tries"]) == ["maxauthtries"]
    # what was applied before stays in the file, and nothing else of it is done again
    applied = ["ssh-root-login", "password-length"]
    assert sorted(sshd(rules=["ssh-max-tries"], beside=applied)) == ["maxauthtries", "permitrootlogin"]
    assert rules(rules=["ssh-max-tries"], beside=applied) == {"ssh-max-tries", "ssh-root-login"}
    # a host remembers rules that the catalog has no more
    assert sshd(applied=["ssh-max-tries", "ssh-of-old"]) == ["maxauthtries"]
    assert rules(applied=["ssh-of-old"]) == rules(applied=[]) == set()
    assert sshd(without=["ssh-max-tries"], beside=["ssh-max-tries"]) == sshd()
    with pytest.raises(AnsibleFilterError, match="no rule ssh-max-trees"):
        rules(rules=["ssh-max-trees"])
