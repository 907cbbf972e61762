"""The catalog, read and checked as a whole: what stands in one record must fit the others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel

from provchain.baseline.model import (
    MEANINGS,
    PREFIXES,
    Control,
    ControlFile,
    Profile,
    Rule,
    RuleFile,
    SiteFile,
    Threshold,
)
from provchain.baseline.values import PLAIN, THRESHOLD, Value, Values
from provchain.document import Document, DocumentError, KeyPath, Problem, Wording, check, parse, read
from provchain.paths import REPOSITORY

BASELINES = REPOSITORY / "baselines"
_WORDING = Wording(
    {
        **MEANINGS,
        THRESHOLD: "a threshold's name, such as $ssh_max_tries: figures stand in profiles only",
        PLAIN: "one line of text",
    }
)
_Model = TypeVar("_Model", bound=BaseModel)
_Place = tuple[Document, KeyPath]


@dataclass(frozen=True, slots=True)
class Resolved:
    """A profile with all that it inherits: its thresholds' values, and its rules in the catalog's order."""

    id: str
    profile: Profile
    thresholds: Mapping[str, Threshold]
    values: Values
    rules: tuple[Rule, ...]


@dataclass(frozen=True)
class Catalog:
    """All controls, rules and profiles, by id; controls in the order of their standards and clauses."""

    sections: tuple[ControlFile, ...]
    controls: Mapping[str, Control]
    rules: Mapping[str, Rule]
    profiles: Mapping[str, Resolved]


@dataclass
class _Reading:
    """The catalog while it is read: records with the place that each came from."""

    documents: list[Document] = field(default_factory=list)
    sections: list[ControlFile] = field(default_factory=list)
    controls: dict[str, tuple[Control, _Place]] = field(default_factory=dict)
    rules: dict[str, tuple[Rule, _Place]] = field(default_factory=dict)
    profiles: dict[str, tuple[Profile, _Place]] = field(default_factory=dict)


def load(folder: Path = BASELINES, sites: Iterable[Path] = ()) -> Catalog:
    """Read the catalog in ``folder`` and a site's own profiles. Raises DocumentError with every problem."""
    reading = _Reading()
    for path in sorted((folder / "controls").glob("*.yml")):
        _take_controls(reading, path)
    for path in sorted((folder / "rules").glob("*.yml")):
        _take_rules(reading, path)
    for path in [*sorted((folder / "profiles").glob("*.yml")), *sites]:
        _take_profile(reading, path)
    _refuse_all(reading)
    for check_ in (_fitting_controls, _fitting_rules, _fitting_profiles):
        check_(reading)
    _refuse_all(reading)
    resolved = {name: _resolve(reading, name) for name in reading.profiles}
    for name, profile in resolved.items():
        _fitting_thresholds(reading, name, profile)
    _refuse_all(reading)
    sections = tuple(sorted(reading.sections, key=_standing))
    return Catalog(
        sections,
        {control.id: control for section in sections for control in section.controls},
        {name: rule for name, (rule, _) in reading.rules.items()},
        resolved,
    )


def load_site(path: Path, catalog: Catalog) -> SiteFile:
    """Read a site's waivers and attestations; no file means none. Raises DocumentError."""
    if not path.exists():
        return SiteFile()
    document = parse(read(path, "baseline.yml"), str(path))
    site = check(document, SiteFile, _WORDING)
    if site is not None:
        for number, waiver in enumerate(site.waivers):
            if waiver.rule not in catalog.rules:
                document.refuse(("waivers", number, "rule"), waiver.rule, "the id of a rule of the catalog")
        for number, attestation in enumerate(site.attestations):
            if attestation.control not in catalog.controls:
                document.refuse(
                    ("attestations", number, "control"),
                    attestation.control,
                    "the id of a control of the catalog",
                )
    _refuse(document.problems)
    assert site is not None  # noqa: S101 - else there was a problem, which was raised above
    return site


def _refuse_all(reading: _Reading) -> None:
    _refuse([problem for document in reading.documents for problem in document.problems])


def _refuse(problems: list[Problem]) -> None:
    if problems:
        raise DocumentError(tuple(sorted(problems, key=lambda problem: (problem.file, problem.line))))


def _read(reading: _Reading, path: Path, model: type[_Model]) -> tuple[Document, _Model | None]:
    document = parse(read(path, "file of the catalog"), str(path))
    reading.documents.append(document)
    return document, check(document, model, _WORDING)


def _take_controls(reading: _Reading, path: Path) -> None:
    document, found = _read(reading, path, ControlFile)
    reading.sections += [found] if found else []
    for number, control in enumerate(found.controls if found else ()):
        place: _Place = (document, ("controls", number))
        if found and not control.id.startswith(PREFIXES[found.standard]):
            document.refuse((*place[1], "id"), control.id, f"{PREFIXES[found.standard]}… in this file")
        _once(reading.controls, control.id, control, place)


def _standing(section: ControlFile) -> tuple[int, list[str]]:
    """Return where a section stands: by standard, then by clause, 8.1.10 after 8.1.9."""
    clause = section.controls[0].id.split(".")[1:]
    return list(PREFIXES).index(section.standard), [part.zfill(3) for part in clause]


def _take_rules(reading: _Reading, path: Path) -> None:
    document, found = _read(reading, path, RuleFile)
    for number, rule in enumerate(found.rules if found else ()):
        _once(reading.rules, rule.id, rule, (document, ("rules", number)))


def _take_profile(reading: _Reading, path: Path) -> None:
    document, profile = _read(reading, path, Profile)
    if profile:
        if profile.id != path.stem:
            document.refuse(("id",), profile.id, f"{path.stem}, the file's name")
        _once(reading.profiles, profile.id, profile, (document, ()))


def _once(records: dict[str, tuple[_Model, _Place]], name: str, record: _Model, place: _Place) -> None:
    if name in records:
        document, path = place
        first, where = records[name][1]
        document.refuse((*path, "id"), name, f"an id of its own; {first.file}:{first.line(where)} has it")
    else:
        records[name] = (record, place)


def _fitting_controls(reading: _Reading) -> None:
    named = {clause for rule, _ in reading.rules.values() for clause in rule.clauses}
    for control, (document, path) in reading.controls.values():
        if control.status != "automated" and control.reason is None:
            document.refuse(
                (*path, "reason"), "nothing", f"what is left to people, as status is {control.status}"
            )
        if control.status == "automated" and control.reason is not None:
            document.refuse((*path, "reason"), control.reason.en, "partly, where something is left to people")
        seen = control.status in ("automated", "partly")
        if seen and control.id not in named:
            document.refuse((*path, "status"), control.status, "attestation, until a rule names this clause")
        if not seen and control.id in named:
            document.refuse(
                (*path, "status"), control.status, "automated or partly, as a rule names this clause"
            )


def _fitting_rules(reading: _Reading) -> None:
    for rule, (document, path) in reading.rules.values():
        for number, clause in enumerate(rule.clauses):
            if clause not in reading.controls:
                document.refuse((*path, "clauses", number), clause, "the id of a control of the catalog")
        if rule.fix == "person" and rule.remedy is None:
            document.refuse((*path, "remedy"), "nothing", "what a person does, as the fix is a person's")
        if rule.profile not in reading.profiles:
            document.refuse((*path, "profile"), rule.profile, "the id of a profile")
        for family in rule.recorded or ():
            if rule.applies.families and family not in rule.applies.families:
                document.refuse((*path, "recorded"), family, "a family that the rule applies to")


def _fitting_profiles(reading: _Reading) -> None:
    for profile, (document, _) in reading.profiles.values():
        line = list(_line(reading, profile.id))
        if line[-1] not in reading.profiles or len(line) > len(set(line)):
            document.refuse(("extends",), profile.extends or "", "a profile of the catalog, and no circle")
        for number, dropped in enumerate(profile.without):
            if dropped.rule not in reading.rules:
                document.refuse(("without", number, "rule"), dropped.rule, "the id of a rule")


def _line(reading: _Reading, name: str) -> Iterator[str]:
    """Yield a profile's id and those it extends, the nearest first; it ends at the first repetition."""
    seen: set[str] = set()
    following: str | None = name
    while following is not None:
        yield following
        if following in seen or following not in reading.profiles:
            return
        seen.add(following)
        following = reading.profiles[following][0].extends


def _resolve(reading: _Reading, name: str) -> Resolved:
    line = list(_line(reading, name))
    thresholds: dict[str, Threshold] = {}
    dropped: set[str] = set()
    for one in reversed(line):
        profile = reading.profiles[one][0]
        thresholds.update(profile.thresholds)
        dropped |= {entry.rule for entry in profile.without}
    rules = tuple(
        rule for rule, _ in reading.rules.values() if rule.profile in line and rule.id not in dropped
    )
    values: dict[str, Value] = {key: threshold.value for key, threshold in thresholds.items()}
    return Resolved(name, reading.profiles[name][0], thresholds, values, rules)


def _fitting_thresholds(reading: _Reading, name: str, profile: Resolved) -> None:
    for rule in profile.rules:
        document, path = reading.rules[rule.id][1]
        for one in (rule.check, *rule.variants.values()):
            for threshold, kind in one.thresholds().items():
                value = profile.values.get(threshold)
                if value is None:
                    document.refuse((*path, "check"), f"${threshold}", f"a threshold of the profile {name}")
                elif not isinstance(value, kind):
                    word = "a whole number" if kind is int else "a list"
                    document.refuse((*path, "check"), f"${threshold}", f"a threshold that is {word}")
