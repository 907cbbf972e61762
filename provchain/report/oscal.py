"""NIST OSCAL 1.1.2 assessment results: an observation for every rule on a host, a finding for every clause.

Identifiers are name-based (UUID version 5), so that the same assessment gives the same text.
https://pages.nist.gov/OSCAL-Reference/models/v1.1.2/assessment-results/json-reference/
"""

from __future__ import annotations

import json
import uuid
from datetime import datetime
from typing import Any

from provchain.audit.assessment import Assessment, ClauseResult, HostState, RuleResult
from provchain.baseline.catalog import Catalog
from provchain.baseline.observation import Verdict

VERSION = "1.1.2"
NAMESPACE = "urn:provchain:audit"
_ROOT = uuid.uuid5(uuid.NAMESPACE_URL, NAMESPACE)


def text(assessment: Assessment, catalog: Catalog) -> str:
    """Return the whole document."""
    return json.dumps(document(assessment, catalog), ensure_ascii=False, sort_keys=True, indent=1) + "\n"


def document(assessment: Assessment, catalog: Catalog) -> dict[str, Any]:
    """Return the document as data."""
    here = uuid.uuid5(_ROOT, f"{assessment.network} {_time(assessment.started)} {assessment.catalog}")
    plan = _id(here, "profile", assessment.profile)
    judged = [one for one in assessment.clauses if one.verdict != Verdict.NOT_APPLICABLE]
    observations = [_observation(here, one, assessment, catalog) for one in assessment.results]
    result: dict[str, Any] = {
        "uuid": _id(here, "result"),
        "title": f"provchain audit {assessment.network}",
        "description": f"Baseline {assessment.profile}, read-only, {len(assessment.hosts)} hosts.",
        "start": _time(assessment.started),
        "end": _time(assessment.finished),
        "local-definitions": {"inventory-items": [_item(here, host) for host in assessment.hosts]},
        "reviewed-controls": {"control-selections": [_selection(assessment)]},
    }
    if observations:
        result["observations"] = observations
    if judged:
        result["findings"] = [_finding(here, one, assessment, catalog) for one in judged]
    return {
        "assessment-results": {
            "uuid": str(here),
            "metadata": {
                "title": f"provchain audit {assessment.network}",
                "last-modified": _time(assessment.finished),
                "version": str(assessment.format),
                "oscal-version": VERSION,
            },
            "import-ap": {"href": f"#{plan}"},
            "results": [result],
            "back-matter": {
                "resources": [
                    {
                        "uuid": plan,
                        "title": f"Baseline profile {assessment.profile}",
                        "props": [_prop("catalog-sm3", assessment.catalog)],
                    }
                ]
            },
        }
    }


def _selection(assessment: Assessment) -> dict[str, Any]:
    named = dict.fromkeys(one.control for one in assessment.clauses)
    if not named:
        return {"include-all": {}}
    return {"include-controls": [{"control-id": _token(control)} for control in named]}


def _item(here: uuid.UUID, host: HostState) -> dict[str, Any]:
    props = [_prop("zone", host.zone or "none"), _prop("family", host.family or "unknown")]
    props.append(_prop("reached", "no" if host.unreachable else "yes"))
    if host.described and host.described.connector:
        props.append(_prop("connector", host.described.connector))
    return {"uuid": _id(here, "host", host.name), "description": host.name, "props": props}


def _observation(
    here: uuid.UUID, result: RuleResult, assessment: Assessment, catalog: Catalog
) -> dict[str, Any]:
    rule = catalog.rules[result.rule]
    words = [f"wanted: {result.wanted}" if result.wanted else "", *result.found, result.reason]
    return {
        "uuid": _id(here, "rule", result.rule, result.host),
        "title": f"{rule.title.zh} {rule.title.en}",
        "description": "\n".join(word for word in words if word.strip()) or "nothing",
        "methods": ["TEST"],
        "collected": _time(assessment.finished),
        "subjects": [{"subject-uuid": _id(here, "host", result.host), "type": "inventory-item"}],
        "props": [
            _prop("rule", result.rule),
            _prop("verdict", result.verdict),
            _prop("severity", result.severity),
            _prop("waived", "yes" if result.waived else "no"),
        ],
    }


def _finding(
    here: uuid.UUID, clause: ClauseResult, assessment: Assessment, catalog: Catalog
) -> dict[str, Any]:
    control = catalog.controls[clause.control]
    zones = {host.name: host.zone or assessment.network for host in assessment.hosts}
    hosts = {clause.object} if clause.kind == "host" else {h for h, z in zones.items() if z == clause.object}
    related = [
        {"observation-uuid": _id(here, "rule", one.rule, one.host)}
        for one in assessment.results
        if one.rule in clause.rules and one.host in hosts
    ]
    props = [_prop("verdict", clause.verdict), _prop("object-kind", clause.kind)]
    if clause.object:
        props.append(_prop("object", clause.object))
    satisfied = clause.verdict == Verdict.COMPLIANT
    return {
        "uuid": _id(here, "clause", clause.control, clause.kind, clause.object),
        "title": f"{control.id} {clause.object}".strip(),
        "description": f"{control.title.zh} {control.title.en}",
        "props": props,
        "target": {
            "type": "objective-id",
            "target-id": _token(clause.control),
            "status": {
                "state": "satisfied" if satisfied else "not-satisfied",
                "reason": "pass" if satisfied else "other" if clause.verdict == Verdict.UNKNOWN else "fail",
            },
        },
        **({"related-observations": related} if related else {}),
    }


def _prop(name: str, value: str) -> dict[str, str]:
    return {"name": name, "ns": NAMESPACE, "value": value.strip() or "none"}


def _token(control: str) -> str:
    """Return a clause's id as a token, which may not begin with a digit."""
    return f"clause-{control}"


def _id(here: uuid.UUID, *words: str) -> str:
    return str(uuid.uuid5(here, "\x1f".join(words)))


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
