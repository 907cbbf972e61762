"""Options in configuration files that a program reads itself, as it would: later files win."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field

from provchain.baseline.facts import Facts, Probe, file
from provchain.baseline.observation import Observation, judged
from provchain.baseline.resources.base import LOADED_NOW, Entry, Fix, Resource, Target
from provchain.baseline.values import Expect, Plain, Values

FLAG = "set"
"""The value of an option that stands alone, such as ``even_deny_root``."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where a program's options stand: one file, then drop-ins in the order of their names."""

    path: str
    dropins: str = ""
    separator: str = "="
    hidden: bool = False
    """Only root can read it."""

    @property
    def main(self) -> Probe:
        """Return the look at the file itself."""
        return file(self.path, root=self.hidden)


SOURCES = {
    "auditd": Source("/etc/audit/auditd.conf", separator=" = ", hidden=True),
    "faillock": Source("/etc/security/faillock.conf"),
    "login_defs": Source("/etc/login.defs", separator=" "),
    "pwhistory": Source("/etc/security/pwhistory.conf"),
    "pwquality": Source("/etc/security/pwquality.conf", "/etc/security/pwquality.conf.d/*.conf"),
    "useradd": Source("/etc/default/useradd"),
}


class Option(Resource):
    """``option``: an option of a configuration file; a later line or drop-in replaces an earlier one."""

    resource: Literal["option"]
    of: Literal["auditd", "faillock", "login_defs", "pwhistory", "pwquality", "useradd"]
    """Whose option it is; the files are known."""
    key: Annotated[str, Field(pattern=r"^[A-Za-z_]{2,40}$")]
    expect: Expect
    default: Plain | None = None
    """What the program takes where the option is not set."""

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        source = SOURCES[self.of]
        more = (file(source.dropins),) if source.dropins else ()
        return (source.main, *more)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        source = SOURCES[self.of]
        texts = {source.path: facts.text(source.main) or ""}
        if source.dropins:
            texts |= facts.files(file(source.dropins))
        found, where = None, source.path
        for path, text in texts.items():
            options = read_options(text, source.separator)
            if self.key in options:
                found, where = options[self.key], path
        wanted = f"{self.key} {self.expect.text(values)}"
        shown = f"{where}: {self.key} {'is not set' if found is None else found}"
        if found is None and self.default is not None:
            shown += f", which means {self.default}"
        return judged(self.expect.fits(found or self.default, values), wanted, shown)

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        value = self.expect.value(values)
        if value is None:
            return ()
        entry = Entry(self.of, self.key, value)
        # in a container there is no daemon that could read it
        return (entry, LOADED_NOW) if self.of == "auditd" and not target.container else (entry,)


@lru_cache(maxsize=32)  # of one host's, asked for by one rule after the other
def read_options(text: str, separator: str) -> Mapping[str, str]:
    """Return the options of a file by name; comments are left out.

    ``separator`` is ``=``, a blank, or ``=`` between blanks: auditd refuses a whole file for a line without
    them, so that none of its options counts (audit 3.0.9, auditd-config.c, nv_split).
    """
    options: dict[str, str] = {}
    for raw in text.splitlines():
        line = raw.partition("#")[0].strip()
        if not line:
            continue
        if separator == " = " and line.split()[1:2] != ["="]:
            return {}
        parts = line.split(None, 1) if separator == " " else [part.strip() for part in line.split("=", 1)]
        options[parts[0]] = parts[1].strip() if len(parts) > 1 else FLAG
    return options


_ENTRY = re.compile(r"(?:\[[^\]]*\]|\S)+")


@dataclass(frozen=True, slots=True)
class PamLine:
    """A line of a PAM stack: type, control, module, arguments (pam.conf(5))."""

    kind: str
    control: str
    module: str
    arguments: tuple[str, ...]


@lru_cache(maxsize=32)  # of one host's, asked for by one rule after the other
def _entries(text: str) -> tuple[tuple[str, ...], ...]:
    """Return the words of every line of a file of /etc/pam.d."""
    lines = text.replace("\\\n", " ").splitlines()
    return tuple(tuple(_ENTRY.findall(line.partition("#")[0])) for line in lines)


def stack(service: str, kind: str, texts: dict[str, str], depth: int = 8) -> list[PamLine]:
    """Return the modules of a service's stack of one type, with what it includes, as PAM loads it.

    ``texts`` are the files of /etc/pam.d by path. A service without a file has the stack of ``other``.
    """
    text = texts.get(f"/etc/pam.d/{service}", texts.get("/etc/pam.d/other", ""))
    lines: list[PamLine] = []
    for words in _entries(text):
        if len(words) == 2 and words[0] == "@include":
            lines += stack(words[1], kind, texts, depth - 1) if depth else []
        elif len(words) >= 3 and words[0].lstrip("-").lower() == kind:
            if words[1] in ("include", "substack"):
                lines += stack(words[2], kind, texts, depth - 1) if depth else []
            else:
                module = words[2].rpartition("/")[2]
                lines.append(PamLine(kind, words[1], module, words[3:]))
    return lines
