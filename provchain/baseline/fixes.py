"""From rules to the settings of one host: what hardening applies, in one dense call.

Lines that many rules share become one drop-in file; other fixes are settings of their own. Each setting says
which rules it serves, and whether a wrong one could lock operators out: those go on trial first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from provchain.baseline.catalog import Resolved
from provchain.baseline.judge import applies
from provchain.baseline.model import Rule
from provchain.baseline.resources import Entry, Step, Target
from provchain.baseline.resources.base import LOADED_NOW

HEAD = "# Managed by provchain: the Level-3 baseline; changes here are overwritten\n"
Lines = Mapping[str, str]
"""Key and value of a drop-in file's lines, in the order of the rules."""


@dataclass(frozen=True, slots=True)
class Setting:
    """A setting of the module ``converge``, with the rules that it serves."""

    kind: str
    parameters: Mapping[str, Any]
    rules: tuple[str, ...]
    access: bool = False
    """A wrong one could lock operators out."""

    def item(self) -> dict[str, Any]:
        """Return it as the module takes it."""
        return {"kind": self.kind, **self.parameters}


def _file(
    path: str, text: Callable[[str, str], str], *, folder: bool = False, **more: str
) -> Callable[[Lines], list[dict[str, Any]]]:
    """``folder``: the drop-in folder comes with the first drop-in only."""

    def render(lines: Lines) -> list[dict[str, Any]]:
        content = HEAD + "".join(f"{text(key, value)}\n" for key, value in lines.items())
        file = {"kind": "file", "path": path, "content": content, **more}
        return [{"kind": "directory", "path": path.rpartition("/")[0]}, file] if folder else [file]

    return render


def _equals(key: str, value: str) -> str:
    return key if value == "set" else f"{key} = {value}"


def _sudo(key: str, value: str) -> str:
    if value in ("yes", "no"):
        return f"Defaults {'' if value == 'yes' else '!'}{key}"
    return f'Defaults {key}="{value}"'


def _profile(key: str, value: str) -> str:
    return (
        f"{key} {value}"
        if key == "umask"
        else f"[ -v {key} ] || {{ {key}={value}; readonly {key}; export {key}; }}"
    )


def _section(folder: str, section: str) -> Callable[[Lines], list[dict[str, Any]]]:
    def render(lines: Lines) -> list[dict[str, Any]]:
        content = f"{HEAD}[{section}]\n" + "".join(f"{key}={value}\n" for key, value in lines.items())
        path = f"{folder}/50-provchain.conf"
        return [{"kind": "directory", "path": folder}, {"kind": "file", "path": path, "content": content}]

    return render


def _audit_rules(lines: Lines) -> list[dict[str, Any]]:
    # -i: a rule for what is not there must not keep those after it from being loaded
    content = HEAD + "".join(f"{one}\n" for one in ("-i", *lines.values()))
    return [{"kind": "file", "path": f"{AUDIT}/50-provchain.rules", "content": content, "mode": "0640"}]


AUDIT = "/etc/audit/rules.d"
"""Its files are read by name, and the last control word counts: those of ours come after audit.rules."""
SSHD = "/etc/ssh/sshd_config.d/05-provchain-baseline.conf"
DROPINS: dict[str, Callable[[Lines], list[dict[str, Any]]]] = {
    "apt": _file("/etc/apt/apt.conf.d/90-provchain", lambda key, value: f'{key} "{value}";'),
    "audit_control": _file(f"{AUDIT}/zz-provchain.rules", lambda key, value: f"{key} {value}", mode="0640"),
    "audit_final": _file(f"{AUDIT}/zzz-provchain.rules", lambda key, value: f"{key} {value}", mode="0640"),
    "audit_rules": _audit_rules,
    "coredump": _section("/etc/systemd/coredump.conf.d", "Coredump"),
    "faillock": _file("/etc/security/faillock.conf", _equals),
    "journald": _section("/etc/systemd/journald.conf.d", "Journal"),
    "modprobe": _file("/etc/modprobe.d/provchain.conf", lambda key, value: f"install {key} {value}"),
    "profile": _file("/etc/profile.d/provchain.sh", _profile),
    "pwhistory": _file("/etc/security/pwhistory.conf", _equals),
    "pwquality": _file("/etc/security/pwquality.conf.d/50-provchain.conf", _equals, folder=True),
    "rsyslog": _file("/etc/rsyslog.d/05-provchain.conf", lambda _, line: line),
    "sshd": _file(SSHD, lambda key, value: f"{key} {value}", mode="0600", validate="/usr/sbin/sshd -t -f %s"),
    "sudo": _file(
        "/etc/sudoers.d/60-provchain-baseline", _sudo, mode="0440", validate="/usr/sbin/visudo -cf %s"
    ),
    "sysctl": _file("/etc/sysctl.d/60-provchain.conf", _equals),
    # of all lines that set rights, the last counts, whatever tmpfiles.d(5) says of the first (systemd 252)
    "tmpfiles": _file("/etc/tmpfiles.d/zz-provchain.conf", lambda key, value: f"z {key} {value} - - - -"),
}
"""The files whose lines rules share, by the word that an Entry names."""
EDITED = {
    "auditd": ("/etc/audit/auditd.conf", " = "),
    "login_defs": ("/etc/login.defs", " "),
    "useradd": ("/etc/default/useradd", "="),
}
"""Files that know no drop-ins, with what stands between key and value: a line a setting."""
UNITS = "/etc/systemd/system/"
RESTARTS = {
    "journald": ("systemd-journald.service", "/etc/systemd/journald.conf.d/50-provchain.conf"),
    "rsyslog": ("rsyslog.service", "/etc/rsyslog.d/05-provchain.conf"),
    "sshd": ("ssh.service", SSHD),
}
"""The unit that a drop-in belongs to, and the file whose change restarts it."""


def plan(
    profile: Resolved, target: Target, only: Iterable[str] | None = None, beside: Iterable[str] = ()
) -> tuple[Setting, ...]:
    """Return the settings that make the profile's rules pass on a host; ``only`` limits it to some rules.

    ``beside`` are rules that were applied before: in a file that they share with those, their lines stay.
    Where two rules give one line different values, the later rule in the catalog's order counts.
    """
    limit, stay = (None if only is None else frozenset(only)), frozenset(beside)
    touched: set[str] = set()
    chosen = [
        rule
        for rule in profile.rules
        if rule.fix == "machine" and applies(rule, target) and (limit is None or rule.id in {*limit, *stay})
    ]
    shared: dict[str, dict[str, tuple[str, Rule]]] = {}
    steps: dict[str, tuple[Step, list[Rule]]] = {}
    for rule in chosen:
        for fix in rule.check_for(target.family).fixes(profile.values, target):
            if isinstance(fix, Entry) and fix.dropin not in EDITED:
                shared.setdefault(fix.dropin, {})[fix.key] = (fix.value, rule)
            if limit is not None and rule.id not in limit:
                continue
            if isinstance(fix, Entry):
                touched.add(fix.dropin)
            for step in _steps(fix):
                steps.setdefault(repr((step.kind, step.parameters)), (step, []))[1].append(rule)
    settings = [one for name, lines in shared.items() if name in touched for one in _dropin(name, lines)]
    settings += [_setting(fix.kind, fix.parameters, rules) for fix, rules in steps.values()]
    units = [
        one
        for one in settings
        if str(one.parameters.get("path", "")).startswith(UNITS) and one.kind == "file"
    ]
    if units:
        served = tuple(dict.fromkeys(rule for one in units for rule in one.rules))
        paths = [one.parameters["path"] for one in units]
        settings.append(Setting("units_reloaded", {"paths": paths}, served))
    # it goes by all files before it, and by the daemon that another setting may have started
    return tuple(sorted(settings, key=lambda one: one.kind == LOADED_NOW.kind))


def _steps(fix: Entry | Step) -> Iterator[Step]:
    """Yield what a fix does by itself, beside its line in a shared file."""
    if isinstance(fix, Step):
        yield fix
    elif fix.dropin in EDITED:
        path, separator = EDITED[fix.dropin]
        yield Step("option", {"path": path, "separator": separator, "key": fix.key, "value": fix.value})


def _dropin(name: str, lines: Mapping[str, tuple[str, Rule]]) -> list[Setting]:
    rules = [rule for _, rule in lines.values()]
    items = DROPINS[name]({key: value for key, (value, _) in lines.items()})
    if name in RESTARTS:
        unit, path = RESTARTS[name]
        items.append({"kind": "unit", "name": unit, "restart_on": [path]})
    return [_setting(str(item.pop("kind")), item, rules) for item in items]


def _setting(kind: str, parameters: Mapping[str, Any], rules: Iterable[Rule]) -> Setting:
    served = tuple(rules)
    ids = tuple(dict.fromkeys(rule.id for rule in served))
    return Setting(kind, parameters, ids, any(rule.danger == "access" for rule in served))
