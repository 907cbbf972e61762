"""What is done here while hosts are at work, and that nothing is done twice."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from provchain.audit import run, ssh
from provchain.audit.assessment import sm3
from provchain.audit.looks import Look
from provchain.audit.ssh import Reach
from provchain.audit.subjects import Subject
from provchain.baseline.facts import Facts
from tests.unit.audit.auditkit import assessed, host_facts, order

FACTS = {"h1": host_facts(tries=9), "h2": Facts({}, 0, "no route"), "h3": host_facts(root="yes")}


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What happened, in its order, in an audit of hosts that answer one after the other, the last first."""
    happened: list[str] = []
    judge = run.on_host

    async def ask_all(
        reaches: Sequence[Reach],
        asked: Sequence[Look],
        *,
        told: Callable[[str, Facts], None],
        meanwhile: Callable[[], object],
    ) -> Mapping[str, Facts]:
        meanwhile()
        for name in reversed(FACTS):
            happened.append(f"{name} answers")
            told(name, FACTS[name])
        happened.append("all answered")
        return FACTS

    def on_host(order: run.Order, subject: Subject, facts: Facts) -> run.OnHost:
        happened.append(f"{subject.name} is judged")
        return judge(order, subject, facts)

    def counted(data: bytes) -> str:
        happened.append("the catalog's digest")
        return sm3(data)

    monkeypatch.setattr(ssh, "ask_all", ask_all)
    monkeypatch.setattr(run, "on_host", on_host)
    monkeypatch.setattr("provchain.audit.run.sm3", counted)
    return happened


def test_what_does_not_need_all_hosts_does_not_wait_for_them(steps: list[str], tmp_path: Path) -> None:
    asked = order(tmp_path, hosts=dict.fromkeys(FACTS, "inner"))
    found = run.audit(
        asked, lambda name, _: steps.append(f"{name} is told"), lambda: steps.append("meanwhile")
    )
    expected = ["the catalog's digest", "meanwhile"]
    for name in reversed(FACTS):
        expected += [f"{name} answers", f"{name} is judged", f"{name} is told"]
    assert steps == [*expected, "all answered"]
    same = {"started": found.started, "finished": found.finished, "day": found.day}
    assert found == assessed(tmp_path, FACTS).model_copy(update=same), "in whatever order they answer"
    assert [host.name for host in found.hosts] == list(FACTS)
