"""Whatever a host says, a rule ends with a verdict: no output can crash the audit, or pass for compliance."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator

import pytest

from provchain.baseline import judge
from provchain.baseline.facts import Facts, Output, Status
from provchain.baseline.observation import Verdict
from provchain.baseline.resources import Target
from tests.unit.baseline.casekit import CATALOG, STRICT, TAKEN, cases

CASES = list(cases())
NONSENSE = (
    "",
    "\n\n\n",
    "\x00\x01\ufffd\u202e\n",
    "=" * 5_000,
    "a b c d e f g h i j k l m n o p\n",
    "|||||||\n",
    "-1|-1|-1|-1|-1|-1|-1\n",
    "regular file|99999999999999999999|root|root|1|99999999999999999999|/x\n",
    "-a\n-w\n-F =\n-S\n",
    '"unclosed\n',
    "{[(<\n",
    ",,,,,,,,,,,,,,,,,,,,,,,,\n",
    "9" * 400 + "\n",
    "١٢٣ = ٤٥٦\n²=³\n",
    "include @include include\n" * 50,
    f"regular file|644|root|root|{'9' * 5_000}|{'9' * 5_000}|/x\n",
    " 0 id Fri 9999-99-99 99:99:99 UTC—x\n",
    "Not Before: Feb 31 25:61:61 2027 GMT\nNot After : Feb 31 25:61:61 2027 GMT\n",
    "1,2,3,4,nan,6,7,8,9,10,11,12,13,Normal\n",
    f"/var/log/syslog {{\n rotate {'9' * 5_000}\n daily\n maxage {'9' * 5_000}\n}}\n",
    f"SystemMaxUse={'9' * 5_000}G\nmax_log_file = {'9' * 5_000}\n",
)


def _mutants(text: str, seed: int) -> Iterator[str]:
    """Yield texts that are nearly right: cut, torn, doubled, with a letter changed."""
    chance = random.Random(seed)
    place = chance.randrange(len(text) + 1)
    yield text[:place]
    yield text[place:]
    yield re.sub(r"[0-9]+", "9" * 5_000, text)
    yield re.sub(r"[0-9]+", "٣²", text)
    yield text.replace("\n", " ")
    yield text.replace(" ", "\n")
    yield text.replace("=", "").replace("|", "").replace(":", "").replace(",", "")
    yield "".join(chance.sample(text, len(text)))
    yield text[:place] + chance.choice("|,=:\x00²\n'\"()[]") + text[place + 1 :]


@pytest.mark.parametrize("family", ["debian", "rpm"])
@pytest.mark.parametrize("text", NONSENSE, ids=range(len(NONSENSE)))
def test_nonsense_is_never_a_crash(text: str, family: str) -> None:
    target = Target("h1", "rpm" if family == "rpm" else "debian", False, unit="engine.service", admins=("a",))
    for status, code in ((Status.SEEN, 0), (Status.SEEN, 1)):
        outputs = {probe.id: Output(status, code, text) for probe in judge.probes(STRICT, target)}
        results = judge.judge(STRICT, target, Facts(outputs, taken=TAKEN))
        assert {one.observation.verdict for one in results} <= set(Verdict)


@pytest.mark.parametrize("status", [one for one in Status if one not in (Status.SEEN, Status.MISSING)])
def test_what_was_not_seen_is_never_compliant(status: Status) -> None:
    for family in ("debian", "rpm"):
        target = Target("h1", "rpm" if family == "rpm" else "debian", False, unit="engine.service")
        looks = judge.probes(STRICT, target)
        for result in judge.judge(STRICT, target, Facts({probe.id: Output(status) for probe in looks})):
            rule = result.rule
            if judge.applies(rule, target) and rule.check_for(target.family).probes(target, STRICT.values):
                assert result.observation.verdict == Verdict.UNKNOWN, rule.id


@pytest.mark.parametrize("rule", sorted({case.rule for case in CASES}))
def test_nearly_right_is_never_a_crash(rule: str) -> None:
    for case in (one for one in CASES if one.rule == rule):
        whole = case.facts(STRICT.values)
        for name, output in whole.outputs.items():
            for text in _mutants(output.text, case.number):
                told = {**whole.outputs, name: Output(output.status, output.code, text)}
                facts = Facts(told, taken=TAKEN, external=whole.external)
                judge.observe(CATALOG.rules[rule], STRICT, case.target, facts)
