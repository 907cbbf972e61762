"""Upkeep: what has to be recent, updates that wait, where packages come from, unchanged programs."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from provchain.baseline.facts import Facts, Probe, UnknownError, attributes, command, file
from provchain.baseline.observation import Observation, judged, not_applicable, unknown
from provchain.baseline.resources.base import Entry, Fix, Resource, Target
from provchain.baseline.resources.files import Found, found
from provchain.baseline.values import Threshold, Values, is_whole, number

_HOUR = 3600
Pattern = Annotated[str, Field(pattern=r"^/[A-Za-z0-9_./*-]{1,120}$")]


class Recent(Resource):
    """``recent``: the newest of these files is not empty and not too old."""

    resource: Literal["recent"]
    paths: Annotated[tuple[Pattern, ...], Field(min_length=1)]
    hours: Threshold | None = None
    """Its greatest age; without it, the file only has to be there."""
    missing: Literal["fails", "no_object"] = "fails"
    hidden: bool = False
    """Only root can look at them."""

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return tuple(attributes(path, root=self.hidden) for path in self.paths)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        seen = [one for probe in self.probes(target, values) for one in found(facts, probe)]
        full = [one for one in seen if one.size and one.kind == "regular file"]
        hours = number(values, self.hours) if self.hours else None
        wanted = f"{' or '.join(self.paths)}{'' if hours is None else f', <= {hours} hours old'}"
        if not full:
            if self.missing == "no_object" and not seen:
                return not_applicable(f"{' and '.join(self.paths)}: not there")
            return judged(
                False,
                wanted,
                *([f"{one.path}: {one.kind}, {one.size} bytes" for one in seen] or ["not there"]),
            )
        newest = max(full, key=lambda one: one.changed)
        age = _hours(facts, newest)
        return judged(hours is None or age <= hours, wanted, f"{newest.path}: {age} hours old")


def _hours(facts: Facts, one: Found) -> int:
    """Return the age of a file in whole hours, rounded up. Raises UnknownError for a time to come."""
    seconds = facts.taken - one.changed
    if seconds < -_HOUR:
        raise UnknownError(f"{one.path} was changed in the future, says its clock")
    return max(0, -(-seconds // _HOUR))


# --- updates

UPGRADE = command(
    "/usr/bin/apt-get", "-s", "-q", "-o", "Debug::NoLocking=1",
    # else root's apt writes them anew where they are old
    "-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache=", "dist-upgrade",
)  # fmt: skip
LISTS = attributes("/var/lib/apt/lists/*")
ADVISORIES = command("/usr/bin/dnf", "-q", "-C", "updateinfo", "list", "--security")
METADATA = attributes("/var/cache/dnf/*.solv")
_INST = re.compile(r"^Inst (\S+) (?:\[(\S+)\] )?\((\S+) (.*)\)")
_ADVISORY = re.compile(r"^(\S+)\s+(\S*Sec\.?|security)\s+(\S+)$", re.I)


class Updates(Resource):
    """``updates``: no security update waits, by lists of packages that are fresh enough to tell."""

    resource: Literal["updates"]
    list_hours: Threshold
    """The greatest age of the lists by which that can be said."""

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (UPGRADE, LISTS) if target.family == "debian" else (ADVISORIES, METADATA)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        debian = target.family == "debian"
        limit = number(values, self.list_hours)
        lists = [
            one
            for one in found(facts, LISTS if debian else METADATA)
            if one.kind == "regular file" and one.size and not one.path.endswith("/lock")
        ]
        if not lists:
            return unknown("no list of packages is there by which waiting updates could be seen")
        newest = max(lists, key=lambda one: one.changed)
        age = _hours(facts, newest)
        if age > limit:
            return unknown(
                f"the lists of packages are {age} hours old (limit {limit}): what waits is not known"
            )
        waiting = _debian(facts) if debian else _rpm(facts)
        shown = waiting or [f"none, by lists {age} hours old"]
        return judged(not waiting, "no security update waiting", *shown)


def _debian(facts: Facts) -> list[str]:
    rows = (_INST.match(line) for line in facts.succeeded(UPGRADE).splitlines())
    return [
        f"{row[1]} {row[2]} -> {row[3]}" for row in rows if row and row[2] and "security" in row[4].lower()
    ]


def _rpm(facts: Facts) -> list[str]:
    rows = (_ADVISORY.match(line.strip()) for line in facts.succeeded(ADVISORIES).splitlines())
    return [f"{row[1]} {row[3]}" for row in rows if row]


# --- where packages come from

APT = command("/usr/bin/apt-config", "dump")
SOURCE_LIST = file("/etc/apt/sources.list")
SOURCE_PARTS = file("/etc/apt/sources.list.d/*")
DNF = file("/etc/dnf/dnf.conf")
REPOSITORIES = file("/etc/yum.repos.d/*.repo")
_OFF = (
    "APT::Get::AllowUnauthenticated",
    "Acquire::AllowInsecureRepositories",
    "Acquire::AllowWeakRepositories",
    "Acquire::AllowDowngradeToInsecureRepositories",
)
_APT = re.compile(r'^(\S+) "([^"]*)";$')
_TRUSTED = re.compile(r"^\s*(deb(-src)?\s+\[[^\]]*\btrusted=yes\b|Trusted:\s*yes)", re.I)


class Repositories(Resource):
    """``repositories``: packages are taken only with a valid signature."""

    resource: Literal["repositories"]

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (APT, SOURCE_LIST, SOURCE_PARTS) if target.family == "debian" else (DNF, REPOSITORIES)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        bad = self._apt(facts) if target.family == "debian" else self._dnf(facts)
        return judged(not bad, "signatures are checked, without exception", *(bad or ["no exception"]))

    def _apt(self, facts: Facts) -> list[str]:
        options = {row[1]: row[2] for row in map(_APT.match, facts.succeeded(APT).splitlines()) if row}
        if not options:
            raise UnknownError("apt-config dump told something else")
        bad = [
            f"{key} {options[key]}"
            for key in _OFF
            if options.get(key, "0").lower() in ("1", "true", "yes", "on")
        ]
        texts = {"/etc/apt/sources.list": facts.text(SOURCE_LIST) or ""} | facts.files(SOURCE_PARTS)
        return bad + [
            f"{path}: {line.strip()}"
            for path, text in texts.items()
            for line in text.splitlines()
            if _TRUSTED.match(line)
        ]

    def _dnf(self, facts: Facts) -> list[str]:
        main = facts.text(DNF) or ""
        checked = re.findall(r"^\s*gpgcheck\s*=\s*(\S+)", main, re.M)
        bad = (
            []
            if checked and _is_on(checked[-1])
            else [f"/etc/dnf/dnf.conf: gpgcheck {checked[-1:] or 'not set'}"]
        )
        for path, text in facts.files(REPOSITORIES).items():
            bad += [
                f"{path}: gpgcheck={one}"
                for one in re.findall(r"^\s*gpgcheck\s*=\s*(\S+)", text, re.M)
                if not _is_on(one)
            ]
        return bad

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        """On Debian a drop-in of apt.conf.d; a source that is trusted by hand is a person's to remove."""
        return tuple(Entry("apt", key, "false") for key in _OFF) if target.family == "debian" else ()


def _is_on(value: str) -> bool:
    return value.lower() in ("1", "true", "yes", "on")


# --- the programs themselves

KERNEL = command("/usr/bin/uname", "-r")
KERNELS = attributes("/lib/modules/*")
REBOOT = attributes("/run/reboot-required")
_DPKG_LINE = re.compile(r"^(missing|[?.5SMDLUGTPC]{9}) +(c )? *(/\S.*)$")


class Intact(Resource):
    """``intact``: the files of these packages are as they were packed; configuration may differ."""

    resource: Literal["intact"]
    packages: Annotated[
        tuple[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9+._-]{1,40}$")], ...], Field(min_length=1)
    ]

    def _probe(self, target: Target) -> Probe:
        verify = ("/usr/bin/dpkg", "--verify") if target.family == "debian" else ("/usr/bin/rpm", "-V")
        return command(*verify, *self.packages, root=True)

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (self._probe(target),)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        output = facts.output(self._probe(target))
        rows = [(line, _DPKG_LINE.match(line)) for line in output.text.splitlines() if line.strip()]
        if any(row is None for _, row in rows) or (output.code and not rows):
            raise UnknownError(f"{self._probe(target).id}: exit code {output.code}, no such list")
        # of a program, only what it says (5) and that it is there counts; rights have rules of their own
        changed = [
            line for line, row in rows if row and not row[2] and (row[1] == "missing" or "5" in row[1])
        ]
        return judged(not changed, "as packed: " + ", ".join(self.packages), *(changed or ["none changed"]))


class Kernel(Resource):
    """``newest_kernel``: the kernel that runs is the newest that is installed, and no restart is due."""

    resource: Literal["newest_kernel"]

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return () if target.container else (KERNEL, KERNELS, REBOOT)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        if target.container:
            return not_applicable(
                "the kernel is that of the machine that carries this container: audit that machine"
            )
        running = facts.succeeded(KERNEL).strip()
        there = [one.path.rpartition("/")[2] for one in found(facts, KERNELS) if one.kind == "directory"]
        if not there:
            return not_applicable("no kernel is installed here")
        newest = max(there, key=_version)
        due = [one.path for one in found(facts, REBOOT)]
        fits = _version(running) >= _version(newest) and not due
        return judged(
            fits, f"running: {newest}", f"running: {running}", *(f"{path} is there" for path in due)
        )


def _version(text: str) -> list[tuple[int, str]]:
    """Order versions by their numbers; a release candidate is not told apart from its release."""
    return [(int(part), "") if is_whole(part) else (-1, part) for part in re.findall(r"[0-9]+|[a-z]+", text)]


class NothingAt(Resource):
    """``nothing_at``: nothing is to be found at these paths."""

    resource: Literal["nothing_at"]
    paths: Annotated[tuple[Pattern, ...], Field(min_length=1)]

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return tuple(attributes(path) for path in self.paths)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        seen = [one.path for probe in self.probes(target, values) for one in found(facts, probe)]
        return judged(not seen, f"nothing at {' or '.join(self.paths)}", *(seen or ["nothing there"]))
