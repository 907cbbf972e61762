"""Expectations at their edges, waivers by day, and how rules add up to a clause."""

from __future__ import annotations

from datetime import date, timedelta
from itertools import combinations

import pytest

from provchain.baseline import judge
from provchain.baseline.facts import Facts, Output, Status
from provchain.baseline.model import Text, Waiver
from provchain.baseline.observation import MOST_LETTERS, Verdict, judged
from provchain.baseline.resources import Target
from provchain.baseline.values import Expect, Values, number
from tests.unit.baseline.casekit import CATALOG, STRICT

VALUES: Values = {"low": 2, "high": 4, "few": ("a", "b"), "one": ("a",)}
C, P, N, A, U = (
    Verdict.COMPLIANT,
    Verdict.PARTIAL,
    Verdict.NONCOMPLIANT,
    Verdict.NOT_APPLICABLE,
    Verdict.UNKNOWN,
)


@pytest.mark.parametrize(
    ("expect", "fits", "not_"),
    [
        ({"equals": "No"}, ["no", "NO"], [None, "", "yes", "no no"]),
        ({"one_of": ("a", "b")}, ["a", "B"], [None, "c", "a b"]),
        ({"at_most": "$high"}, ["4", "0", "-1"], [None, "", "5", "4.0", "x", "4 4", "1e1"]),
        ({"at_least": "$low"}, ["2", "99"], [None, "1", "-2", "two"]),
        ({"at_least": "$low", "at_most": "$high"}, ["2", "4"], ["1", "5", None]),
        ({"subset_of": "$few"}, ["a", "a,b", "b a"], [None, "", "a,c", "A"]),
        ({"subset_of": "$few", "writes": "$one"}, ["a", "a,b"], [None, "c"]),
        ({"holds": ("a",)}, ["a", "b,a", "b a"], [None, "b", ""]),
        ({"present": True}, ["x", "0"], [None, "", " "]),
        ({"absent": True}, [None], ["", "x"]),
    ],
)
def test_expectation(expect: dict[str, object], fits: list[str | None], not_: list[str | None]) -> None:
    one = Expect.model_validate(expect)
    assert [value for value in fits if not one.fits(value, VALUES)] == []
    assert [value for value in not_ if one.fits(value, VALUES)] == []
    assert one.text(VALUES)
    assert one.present or one.fits(one.value(VALUES), VALUES), "what a fix writes has to pass"


def test_clauses_add_up() -> None:
    assert judge.rolled_up([]) == A
    assert judge.rolled_up([A, A]) == A
    for one in Verdict:
        assert judge.rolled_up([one, A]) == one
    assert judge.rolled_up([C, N]) == P
    assert judge.rolled_up([N, U]) == N
    assert judge.rolled_up([C, U]) == U
    for pair in combinations(Verdict, 2):
        assert judge.rolled_up(pair) == judge.rolled_up(reversed(pair))
        if set(pair) - {C, A}:
            assert judge.rolled_up(pair) != C


def _waiver(until: date, *hosts: str) -> Waiver:
    text = Text(zh="无", en="none")
    return Waiver(
        rule="ssh-max-tries", hosts=hosts, reason=text, approver="张", compensation=text, expires=until
    )


def test_a_waiver_bears_to_the_end_of_its_last_day() -> None:
    today = date(2026, 3, 31)
    target = Target("h1", "debian", False)
    facts = Facts({"run:/usr/sbin/sshd -T": Output(Status.SEEN, 0, "maxauthtries 9\npermitrootlogin yes\n")})
    results = judge.judge(STRICT, target, facts)

    def findings(waiver: Waiver) -> set[str]:
        return {one.rule.id for one in judge.waived(results, [waiver], today) if one.is_finding}

    assert {"ssh-max-tries", "ssh-root-login"} <= findings(_waiver(today - timedelta(1), "*"))
    assert "ssh-max-tries" not in findings(_waiver(today, "*"))
    assert "ssh-max-tries" not in findings(_waiver(today, "h1"))
    assert "ssh-max-tries" in findings(_waiver(today, "h2"))
    assert judge.expired([_waiver(today, "*")], today) == ()
    assert judge.expired([_waiver(today, "*")], today + timedelta(1)) != ()


def test_an_unreachable_host_is_unknown_throughout() -> None:
    results = judge.judge(STRICT, Target("h1", None, False), Facts({}, unreachable="no route"))
    assert {one.observation.verdict for one in results} == {U}


def test_evidence_is_safe_to_print() -> None:
    hostile = judged(False, "x", "\x1b[2J" + "a" * 10_000, *("line\n" for _ in range(500)))
    assert all(line.isprintable() and len(line) <= MOST_LETTERS + 1 for line in hostile.found)
    assert len(hostile.found) < 30


def test_every_rule_that_machines_fix_says_how() -> None:
    roles = (
        frozenset[str](),
        frozenset(("bastion", "time", "logs")),
        frozenset(("validator", "full", "rpc")),
    )
    hosts = [Target("h1", family, False, some) for family in ("debian", "rpm") for some in roles]
    for rule in STRICT.rules:
        about = [host for host in hosts if judge.applies(rule, host)]
        fixed = [host for host in about if rule.check_for(host.family).fixes(STRICT.values, host)]
        assert fixed or rule.fix == "person", rule.id


def test_an_age_is_counted_up_to_the_next_whole_hour() -> None:
    rule = CATALOG.rules["integrity-lately"]
    limit = number(STRICT.values, "$integrity_hours")
    for seconds, verdict in ((0, C), (1, N)):
        line = f"regular file|640|root|root|9|{10**9 - limit * 3600 - seconds}|/var/log/aide/aide.log\n"
        facts = Facts({"stat:/var/log/aide/aide.log*": Output(Status.SEEN, 0, line)}, taken=10**9)
        assert judge.observe(rule, STRICT, Target("h1", "debian", False), facts).verdict == verdict
