"""JUnit XML, as continuous integration reads it: a suite per host, a case per rule.

A finding is a failure, what could not be looked at an error; what has no object or is waived is skipped.
"""

from __future__ import annotations

from xml.etree import ElementTree

from provchain.audit.assessment import Assessment, RuleResult
from provchain.baseline.catalog import Catalog
from provchain.baseline.observation import Verdict


def text(assessment: Assessment, catalog: Catalog) -> str:
    """Return the whole report."""
    root = ElementTree.Element("testsuites", name=f"provchain audit {assessment.network}")
    for host in assessment.hosts:
        results = [one for one in assessment.results if one.host == host.name]
        counts = {
            "tests": len(results),
            "failures": sum(one.is_finding for one in results),
            "errors": sum(one.verdict == Verdict.UNKNOWN for one in results),
            "skipped": sum(one.waived or one.verdict == Verdict.NOT_APPLICABLE for one in results),
        }
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=host.name,
            timestamp=assessment.finished.strftime("%Y-%m-%dT%H:%M:%S"),
            hostname=host.name,
        )
        for name, count in counts.items():
            suite.set(name, str(count))
        for result in results:
            _case(suite, result, catalog)
    for waiver in assessment.expired:
        suite = ElementTree.SubElement(root, "testsuite", name="waivers", tests="1", failures="1")
        case = ElementTree.SubElement(suite, "testcase", classname="waiver", name=waiver.rule)
        ElementTree.SubElement(case, "failure", message=f"the waiver expired on {waiver.expires}")
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=False) + "\n"


def _case(suite: ElementTree.Element, result: RuleResult, catalog: Catalog) -> None:
    rule = catalog.rules[result.rule]
    name = f"{result.rule} {rule.title.zh} {rule.title.en}"
    case = ElementTree.SubElement(suite, "testcase", classname=result.host, name=name)
    if result.waived:
        ElementTree.SubElement(case, "skipped", message="waived")
    elif result.is_finding:
        failure = ElementTree.SubElement(
            case, "failure", message=f"wanted: {result.wanted}", type=result.severity
        )
        failure.text = "\n".join(result.found)
    elif result.verdict == Verdict.UNKNOWN:
        ElementTree.SubElement(case, "error", message=result.reason)
    elif result.verdict == Verdict.NOT_APPLICABLE:
        ElementTree.SubElement(case, "skipped", message=result.reason)
