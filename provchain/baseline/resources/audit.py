"""The kernel's audit: what its rule files record, what is loaded, and what its daemon runs by."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field

from provchain.baseline.facts import Facts, Probe, UnknownError, command, file
from provchain.baseline.observation import Observation, judged, not_applicable
from provchain.baseline.resources.auditrules import (
    LEGACY,
    X86,
    AuditRule,
    RuleSet,
    field,
    loaded,
    merged,
    records,
    watches,
)
from provchain.baseline.resources.base import LOADED_NOW, Entry, Fix, Listed, Resource, Step, Target
from provchain.baseline.resources.machine import STRAY
from provchain.baseline.values import Expect, Record, Values, words

FILES = file("/etc/audit/rules.d/*.rules", root=True)
LOADED = command("/usr/sbin/auditctl", "-l", root=True)
STATE = command("/usr/sbin/auditctl", "-s", root=True)
CMDLINE = file("/proc/cmdline")
ARCH = command("/usr/bin/uname", "-m")
NOT_OURS = "the kernel's audit is the machine's that carries this container: audit that machine"

_ELSEWHERE = {
    "debian": ("/usr/libexec/", "/usr/lib/polkit-1/"),
    "rpm": ("/usr/lib/openssh/", "/usr/lib/dbus-1.0/"),
}
"""Folders that a family does not have, or seldom: the kernel takes no rule for a path in no folder."""
Path = Annotated[str, Field(pattern=r"^/[A-Za-z0-9_./-]{1,120}$")]
Condition = Annotated[str, Field(pattern=r"^[a-z0-9]{2,8}(=|!=|>=)[A-Za-z0-9-]{1,20}$")]


def configured(facts: Facts) -> RuleSet:
    """Return the host's own rules, from its files. Raises UnknownError."""
    return _merged(tuple(facts.files(FILES).items()))


@lru_cache(maxsize=4)  # many rules ask it of the same host, and many hosts have the same files
def _merged(texts: tuple[tuple[str, str], ...]) -> RuleSet:
    return merged(dict(texts))


class Calls(Record):
    """System calls that are recorded under the same conditions."""

    names: Annotated[tuple[Annotated[str, Field(pattern=r"^[a-z0-9_]{2,32}$")], ...], Field(min_length=1)]
    where: tuple[Condition, ...] = ()
    """Conditions that a rule may have; one with fewer records more, which is fine."""


class AuditRules(Resource):
    """``audit_rules``: the rule files record these accesses and system calls.

    On x86_64 a program can call the kernel in two ways, so both are looked for; elsewhere there is one, and
    some old calls do not exist.
    """

    resource: Literal["audit_rules"]
    key: Annotated[str, Field(pattern=r"^[a-z][a-z_-]{1,30}$")]
    """The word by which the records are found again."""
    paths: tuple[Path, ...] = ()
    """Files, and folders with all in them."""
    perms: Annotated[str, Field(pattern=r"^[rwxa]{1,4}$")] = "wa"
    """Accesses to them that are recorded: read, write, execute, change of attributes."""
    calls: tuple[Calls, ...] = ()

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (FILES, ARCH)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        rules = configured(facts).rules
        x86 = facts.succeeded(ARCH).strip() in X86
        lines = self._lines(x86)
        missing = [f"{path} -p {self.perms}" for path in self.paths if not watches(rules, path, self.perms)]
        for group in self.calls:
            where = frozenset(map(field, group.where))
            missing += [
                f"{arch} {name} {' '.join(group.where)}".strip()
                for arch in _arches(x86)
                for name in _names(group, x86)
                if not records(rules, name, arch, where)
            ]
        wanted = "; ".join(lines)
        shown = [f"not recorded: {one}" for one in missing]
        return judged(not missing, wanted, *(shown or [f"recorded by the {len(rules)} rules in rules.d"]))

    def _lines(self, x86: bool) -> list[str]:
        lines = [f"-w {path} -p {self.perms} -k {self.key}" for path in self.paths]
        for group in self.calls:
            where = "".join(f" -F {one}" for one in group.where)
            lines += [
                f"-a always,exit -F arch={arch} -S {','.join(_names(group, x86))}{where} -F key={self.key}"
                for arch in _arches(x86)
            ]
        return lines

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        """The kernel takes no rule for a path in no folder, and none later where rules are locked."""
        folders = dict.fromkeys(path.rpartition("/")[0] for path in self.paths)
        made = [Step("folder", {"path": one}) for one in folders if one.startswith("/var/lib/")]
        return (
            Entry("audit_rules", self.key, "\n".join(self._lines(target.arch in X86))),
            *made,
            *_load(target),
        )


def _load(target: Target) -> tuple[Fix, ...]:
    """Return what brings the files' rules into the kernel, where it is the host's own."""
    return () if target.container else (LOADED_NOW,)


def _arches(x86: bool) -> tuple[str, ...]:
    return ("b64", "b32") if x86 else ("b64",)


def _names(group: Calls, x86: bool) -> tuple[str, ...]:
    return tuple(name for name in group.names if x86 or name not in LEGACY)


class AuditPrivileged(Resource):
    """``audit_privileged``: every program that gives its caller more rights is recorded when people run it.

    What is found on the host counts; ``programs`` are those that a fix writes rules for.
    """

    resource: Literal["audit_privileged"]
    programs: Listed
    where: tuple[Condition, ...] = ("auid>=1000", "auid!=unset")

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (FILES, STRAY)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        rules = configured(facts).rules
        rows = (line.split(" ", 1) for line in facts.succeeded(STRAY).splitlines())
        found = sorted(row[1] for row in rows if row[0] == "raised" and len(row) == 2)
        where = frozenset(map(field, self.where))
        missing = [path for path in found if not watches(rules, path, "x", where)]
        wanted = "every set-uid and set-gid program recorded when run"
        shown = [f"not recorded: {path}" for path in missing]
        return judged(not missing, wanted, *(shown or [f"{len(found)} programs, all recorded"]))

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        where = "".join(f" -F {one}" for one in self.where)
        elsewhere = _ELSEWHERE[target.family or "debian"]
        lines = [
            f"-a always,exit -F path={path} -F perm=x{where} -F key=privileged"
            for path in words(values, self.programs)
            if not path.startswith(elsewhere)
        ]
        return (Entry("audit_rules", "privileged", "\n".join(lines)), *_load(target))


class AuditControl(Resource):
    """``audit_control``: a control word of the rule files, the last of which counts (``-e 2``: locked)."""

    resource: Literal["audit_control"]
    word: Literal["-b", "-e", "-f"]
    expect: Expect

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (FILES,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        found = configured(facts).control.get(self.word)
        wanted = f"{self.word} {self.expect.text(values)}"
        shown = f"{self.word} {found}" if found is not None else f"{self.word} is not set"
        return judged(self.expect.fits(found, values), wanted, shown)

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        """``-e`` goes to a file of its own, which is read last."""
        dropin = "audit_final" if self.word == "-e" else "audit_control"
        return (Entry(dropin, self.word, self.expect.value(values) or ""), *_load(target))


Must = Literal["not_be_silenced", "be_loaded", "be_locked", "lose_nothing"]


class AuditState(Resource):
    """``audit_state``: what is true of the rules as a whole, in the files and in the kernel."""

    resource: Literal["audit_state"]
    must: Must

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        if self.must == "not_be_silenced":
            return (FILES,)
        if target.container:
            return ()
        return (FILES, LOADED) if self.must == "be_loaded" else (STATE,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        if self.must == "not_be_silenced":
            silent = [rule.text for rule in configured(facts).rules if _silences(rule)]
            return judged(not silent, "no rule that keeps all quiet", *(silent or ["none"]))
        if target.container:
            return not_applicable(NOT_OURS)
        if self.must == "be_loaded":
            return self._loaded(facts)
        state = _state(facts)
        if self.must == "be_locked":
            return judged(state.get("enabled") == "2", "enabled 2", f"enabled {state.get('enabled')}")
        return judged(state.get("lost") == "0", "lost 0", f"lost {state.get('lost')}")

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        return _load(target) if self.must in ("be_loaded", "be_locked") else ()

    def _loaded(self, facts: Facts) -> Observation:
        own = configured(facts).rules
        there = {rule.meaning for rule in loaded(facts.succeeded(LOADED))}
        missing = [f"not loaded: {rule.text}" for rule in own if rule.meaning not in there]
        wanted = "every rule of the files in the kernel, and at least one"
        shown = missing or [f"{len(own)} rules in the files, {len(there)} loaded"]
        return judged(bool(own) and not missing, wanted, *shown)


def _silences(rule: AuditRule) -> bool:
    """Tell whether a rule keeps a whole list quiet, as ``-a never,task`` does in some default files."""
    return rule.action == "never" and not (rule.fields or rule.at or rule.calls - {"all"} or rule.arch)


def _state(facts: Facts) -> dict[str, str]:
    rows = (line.split(None, 1) for line in facts.succeeded(STATE).splitlines())
    state = {row[0]: row[1].strip() for row in rows if len(row) == 2}
    if "enabled" not in state:
        raise UnknownError("auditctl -s told something else")
    return state


class BootWord(Resource):
    """``boot_word``: a word of the kernel's command line, as this boot had it; the last one counts."""

    resource: Literal["boot_word"]
    name: Annotated[str, Field(pattern=r"^[a-z_.]{2,40}$")]
    expect: Expect

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (CMDLINE,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        given = dict(word.partition("=")[::2] for word in facts.succeeded(CMDLINE).split())
        found = given.get(self.name)
        shown = f"{self.name}={found}" if found is not None else f"{self.name} is not given"
        return judged(self.expect.fits(found, values), f"{self.name} {self.expect.text(values)}", shown)
