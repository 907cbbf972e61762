"""What must hold between the values of a description. Each rule names the sections that it reads.

A rule is asked only if those sections are sound, so one bad value neither hides the problems elsewhere
nor causes misleading ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

from provchain.document import Finding
from provchain.spec import rules_chain, rules_network, rules_people
from provchain.spec.model import ChainSpec

RULES = (*rules_chain.RULES, *rules_network.RULES, *rules_people.RULES)


def findings(spec: ChainSpec, broken: Collection[str | int]) -> Iterator[Finding]:
    """Ask every rule that reads no broken section."""
    for sections, rule in RULES:
        if not set(sections) & set(broken):
            yield from rule(spec)
