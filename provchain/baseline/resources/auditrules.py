"""Rules of the kernel's audit, as auditctl(8) and augenrules(8) read them. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from provchain.baseline.facts import UnknownError
from provchain.baseline.values import is_whole

X86 = ("x86_64", "i686")
LEGACY = frozenset(("chmod", "chown", "creat", "lchown", "open", "rename", "unlink"))
"""System calls that only older architectures have; arm64, riscv64 and loongarch64 have others instead."""
_UNSET = {"unset": "-1", "4294967295": "-1"}
_FIELD = re.compile(r"([a-z0-9_]+)(!=|>=|<=|&=|=|>|<|&)(.+)")
_CONTROL = re.compile(r"-[bfeDric]|--[a-z_-]+")


@dataclass(frozen=True, slots=True)
class AuditRule:
    """One rule: what is done (``always``), on which list, for which system calls and fields.

    ``at`` is the file or folder that it watches, ``perms`` the accesses; ``fields`` are all else but the
    architecture and the key, in one spelling.
    """

    text: str
    action: str
    place: str
    calls: frozenset[str] = frozenset()
    arch: str = ""
    at: str = ""
    perms: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    key: str = ""

    @property
    def meaning(self) -> tuple[object, ...]:
        """Return what makes two rules the same, however they are written."""
        calls = self.calls - {"all"}
        return self.action, self.place, calls, self.arch, self.at, self.perms, self.fields, self.key


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All rules of a host, in order, and its control words (``-e``: ``2``), the last of each."""

    rules: tuple[AuditRule, ...]
    control: Mapping[str, str]


def merged(texts: Mapping[str, str]) -> RuleSet:
    """Return what augenrules makes of the files of rules.d: in version order, the last control word counts.

    Raises UnknownError for a line that is no rule: auditctl would stop there, so nothing can be said of
    what follows.
    """
    rules: list[AuditRule] = []
    control: dict[str, str] = {}
    for path in sorted(texts, key=_version):
        for raw in texts[path].splitlines():
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            words = _words(line, path)
            if _CONTROL.fullmatch(words[0]):
                control[words[0]] = " ".join(words[1:])
            else:
                rules.append(_rule(line, words, path))
    return RuleSet(tuple(rules), control)


def loaded(text: str) -> tuple[AuditRule, ...]:
    """Return the rules that ``auditctl -l`` tells. Raises UnknownError."""
    lines = [line.strip() for line in text.splitlines()]
    return tuple(
        _rule(line, _words(line, "auditctl -l"), "auditctl -l")
        for line in lines
        if line and line != "No rules"
    )


def watches(rules: Iterable[AuditRule], path: str, perms: str, fields: frozenset[str] = frozenset()) -> bool:
    """Tell whether some rule records these accesses to a path, or to a folder above it, by everybody.

    ``fields`` are the conditions that it may have: a rule with others records less.
    """
    return any(
        rule.action == "always"
        and rule.place == "exit"
        and rule.calls <= {"all"}
        and set(perms) <= rule.perms
        and rule.fields <= fields
        and (path.rstrip("/") == rule.at or (path.rstrip("/") + "/").startswith(rule.at + "/"))
        for rule in rules
        if rule.at
    )


def records(rules: Iterable[AuditRule], call: str, arch: str, fields: frozenset[str]) -> bool:
    """Tell whether some rule records a system call with these conditions, or with fewer."""
    return any(
        rule.action == "always"
        and rule.place == "exit"
        and not rule.at
        and rule.arch in ("", arch)
        and (call in rule.calls or "all" in rule.calls)
        and rule.fields <= fields
        for rule in rules
    )


def field(text: str) -> str:
    """Return a condition in its one spelling: an unset number is -1, operators have no blanks."""
    found = _FIELD.fullmatch(text.replace(" ", ""))
    if found is None:
        raise UnknownError(f"no condition of an audit rule: {text[:80]}")
    name, operator, value = found.groups()
    return f"{name}{operator}{_UNSET.get(value, value)}"


def _version(path: str) -> list[tuple[int, str]]:
    """Order names as ls -v does, near enough: numbers by value."""
    return [(int(part), "") if is_whole(part) else (-1, part) for part in re.split(r"([0-9]+)", path)]


def _words(line: str, where: str) -> list[str]:
    try:
        return shlex.split(line)
    except ValueError as error:
        raise UnknownError(f"{where}: {line[:80]}: {error}") from None


def _rule(line: str, words: list[str], where: str) -> AuditRule:
    pairs = list(zip(words[::2], words[1::2], strict=False))
    if len(words) % 2 or words[0] not in ("-a", "-A", "-w"):
        raise UnknownError(f"{where}: no audit rule: {line[:80]}")
    action, place = "always", "exit"
    calls: set[str] = set()
    fields: set[str] = set()
    told = {"arch": "", "at": "", "perm": "", "key": ""}
    for option, value in pairs:
        if option in ("-a", "-A"):
            parts = set(value.split(","))
            action = next(iter(parts & {"always", "never"}), "")
            place = next(iter(parts - {"always", "never"}), "")
        elif option == "-S":
            calls |= set(value.split(","))
        elif option in ("-w", "-p", "-k"):
            told[{"-w": "at", "-p": "perm", "-k": "key"}[option]] = value
        elif option in ("-F", "-C"):
            one = field(value)
            name, _, of = one.partition("=")
            name = "at" if name in ("path", "dir") else name
            if name in told:
                told[name] = of
            else:
                fields.add(one)
        else:
            raise UnknownError(f"{where}: no audit rule: {line[:80]}")
    if told["at"] and not told["perm"]:
        told["perm"] = "rwxa"
    at = told["at"].rstrip("/") or told["at"][:1]
    return AuditRule(
        line,
        action,
        place,
        frozenset(calls),
        told["arch"],
        at,
        frozenset(told["perm"]),
        frozenset(fields),
        told["key"],
    )
