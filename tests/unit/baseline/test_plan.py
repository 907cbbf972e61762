"""What a network's description promises, as rules see it."""

from __future__ import annotations

from provchain.baseline import judge
from provchain.baseline.facts import Facts
from provchain.baseline.observation import Verdict
from provchain.baseline.plan import plan_of
from provchain.baseline.resources import Plan, Target
from provchain.paths import REPOSITORY
from provchain.spec.loading import load
from tests.unit.baseline.casekit import STRICT

SPEC = load(REPOSITORY / "inventories" / "lab" / "chain.yml")


def test_the_lab_promises_what_the_profile_asks_for() -> None:
    plans = {host.name: plan_of(SPEC, host) for host in SPEC.hosts}
    kinds = frozenset({"consensus", "access", "regulator", "management", "data"})
    assert plans["v1"] == Plan(kinds, "consensus", 1, 1, 5, 2, frozenset({"management"}))
    for host in SPEC.hosts:
        target = Target(host.name, "debian", True, frozenset(host.roles), plan=plans[host.name])
        results = judge.judge(STRICT, target, Facts({}))
        bad = [
            one.rule.id
            for one in results
            if one.rule.check.resource == "plan" and one.observation.verdict == Verdict.NONCOMPLIANT
        ]
        assert bad == []


def test_validators_in_one_place_are_counted() -> None:
    hosts = tuple(host.model_copy(update={"failure_domain": "room"}) for host in SPEC.hosts)
    plan = plan_of(SPEC.model_copy(update={"hosts": hosts}), hosts[0])
    assert (plan.together, plan.supervised) == (4, 1)
    kept = tuple(host.model_copy(update={"keep_blocks": 1000}) for host in SPEC.hosts[1:])
    assert plan_of(SPEC.model_copy(update={"hosts": (SPEC.hosts[0], *kept)}), hosts[0]).copies == 1
