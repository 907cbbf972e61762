"""How each rule of the catalog is broken on a hardened host: derived from its record, by its kind. Pure.

A break contradicts or removes what the rule's own fix has set, and nothing else: a shell script for root.
Where a rule can't be broken on a lab host, ``left`` says why.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import singledispatch

from provchain.baseline import fixes
from provchain.baseline.catalog import Resolved
from provchain.baseline.judge import CARRIED, applies
from provchain.baseline.model import Rule
from provchain.baseline.resources import Entry, Fix, Resource, Target
from provchain.baseline.resources.accounts import Accounts
from provchain.baseline.resources.audit import AuditState
from provchain.baseline.resources.base import LOADED_NOW
from provchain.baseline.resources.files import File
from provchain.baseline.resources.kernel import Sysctl
from provchain.baseline.resources.logs import Logrotate
from provchain.baseline.resources.machine import Module, Stray
from provchain.baseline.resources.pam import Pam
from provchain.baseline.resources.services import AnyService, Packages, Service, UnitProperty
from provchain.baseline.resources.session import Banner
from provchain.baseline.resources.sshd import Sshd, SshOffer
from provchain.baseline.values import Expect, Values, words

PERSON = "proof"
"""The account with a password, whose ages are broken; the test makes it."""
JOURNAL = "/var/backups/provchain/baseline"
"""Where hardening keeps what it changed."""
PERSONS = "a person mends it"
ELSEWHERE = "it is about hosts of other roles"
_NO_UNIT = {"audit-no-manual-stop": "the lab masks auditd, which its machine runs: there is no such unit"}
"""What can't be broken in a container."""
_UNBREAKABLE = {
    "audit-locked-now": "locked rules are unlocked by nothing but the next boot",
    "ssh-public-key": "keys are the only way in, so it is broken by itself, before a server reads it",
}
_OPPOSITES = {"yes": "no", "no": "yes", "0": "1", "1": "0", "true": "false", "false": "true"}
_WRONG = {
    # without the option, the program would do the right thing by itself, or another file says it
    "flush": "none",
    "loglevel": "QUIET",
    "maxstartups": "100:30:200",
    "mode": "$FileCreateMode 0644",
    "secure_path": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/tmp",
}
_BITS = (0o001, 0o004, 0o010, 0o040, 0o020, 0o002)
"""Rights that a file may have too many, the most harmless first."""
_OFFERS = {"kexalgorithms": "kex", "ciphers": "cipher", "macs": "mac"}
"""What the running server offers by an option; host keys are those that the host has."""
_UNIT = "[Service]\nExecStart=/bin/sleep infinity\n[Install]\nWantedBy=multi-user.target\n"
_CONTROL = "Package: {}\nVersion: 0\nArchitecture: all\nMaintainer: proof\nDescription: empty\n"


@dataclass(frozen=True)
class Break:
    """What breaks a rule, and every rule that turns red by it: itself, and those that share its setting."""

    script: str
    red: frozenset[str]


def breaks(profile: Resolved, target: Target) -> dict[str, Break]:
    """Return the break of every rule that hardening fixes on such a host, by the rule's id."""
    rules = [rule for rule in profile.rules if why_left(rule, profile, target) is None]
    # programs that change a file put its rights right as well, so rights come last
    rules.sort(key=lambda rule: rule.check.resource == "file")
    settings = {rule.id: _settings(_fixes(rule, profile, target)) for rule in rules}
    return {
        rule.id: Break(
            broken(rule.check_for(target.family), _fixes(rule, profile, target), profile.values),
            frozenset(
                {
                    rule.id,
                    *(other for other in settings if settings[other] & settings[rule.id]),
                    *_seen_by_people(rule, profile),
                }
            ),
        )
        for rule in rules
    }


def script(some: Mapping[str, Break]) -> str:
    """Return what breaks rules one after the other; what hardening has kept so far is put aside before.

    So that it keeps what is broken. Says the rule and the reason where a break fails, and then ends.
    """
    steps = [
        f"sh -euc {shlex.quote(one.script)} >/run/said 2>&1 || {{ echo {rule}; cat /run/said; exit 1; }}"
        for rule, one in some.items()
    ]
    return "\n".join([f"umask 022; mv {JOURNAL} {JOURNAL}-before", *steps])


def no_keys() -> Break:
    """Return the break of ssh-public-key: passwords come instead, as sshd refuses to go without either."""
    path, (keys,) = _lines("sshd", {"pubkeyauthentication": "yes"})
    _, (passwords,) = _lines("sshd", {"passwordauthentication": "no"})
    instead = r"passwordauthentication yes\nauthenticationmethods password"
    swap = f"s/^{keys}$/pubkeyauthentication no/; s/^{passwords}$/{instead}/"
    return Break(f"sed -i '{swap}' {path}", frozenset({"ssh-public-key", "ssh-password-login"}))


def left(profile: Resolved, target: Target) -> dict[str, str]:
    """Return the rules that are not broken on such a host, each with the reason."""
    reasons = {rule.id: why_left(rule, profile, target) for rule in profile.rules}
    return {rule: reason for rule, reason in reasons.items() if reason is not None}


def why_left(rule: Rule, profile: Resolved, target: Target) -> str | None:
    """Return why a rule can't be broken and fixed on such a host, or None if it can."""
    if rule.fix == "person":
        return PERSONS
    if rule.applies.machines == "machine" and target.container:
        return CARRIED
    if not applies(rule, target):
        return ELSEWHERE
    if not _fixes(rule, profile, target):
        return CARRIED
    return (_NO_UNIT | _UNBREAKABLE if target.container else _UNBREAKABLE).get(rule.id)


def _fixes(rule: Rule, profile: Resolved, target: Target) -> tuple[Fix, ...]:
    return rule.check_for(target.family).fixes(profile.values, target)


def _settings(some: Iterable[Fix]) -> set[str]:
    """Return what tells settings apart: a line by its file and key, others by all their parameters."""
    return {
        f"{one.dropin} {one.key}" if isinstance(one, Entry) else f"{one.kind} {one.parameters}"
        for one in some
        # many may put a file into one folder, and have the kernel load what is in it
        if isinstance(one, Entry) or one.kind not in ("directory", LOADED_NOW.kind)
    }


def _seen_by_people(rule: Rule, profile: Resolved) -> set[str]:
    """Return the rules of which a person mends what they find, and which look at the same thing."""
    return {other.id for other in profile.rules if _sees(other.check, rule.check, profile.values)}


def _sees(theirs: Resource, check: Resource, values: Values) -> bool:
    """Tell whether a rule of people's finds what breaks another one: shells, offers, services, open files."""
    if isinstance(theirs, Accounts):
        shells = ("be_on_the_roster", "have_no_shell_if_of_the_system")
        return theirs.must in shells and isinstance(check, Accounts) and check.names is not None
    if isinstance(theirs, SshOffer):
        return isinstance(check, Sshd) and _OFFERS.get(check.option) == theirs.offer
    if isinstance(theirs, AnyService):
        return isinstance(check, Service) and check.units[0] in words(values, theirs.names)
    if isinstance(theirs, Stray) and theirs.must == "let_nobody_write":
        return isinstance(check, File) and bool(_loosened(check) & 0o002)
    return False


def _loosened(check: File) -> int:
    """Return a mode with one right too many."""
    most = int(check.mode, 8)
    return most | next(bit for bit in _BITS if not most & bit)


@singledispatch
def broken(check: Resource, some: tuple[Fix, ...], values: Values) -> str:
    """Return the script that breaks a rule of this kind; most kinds set a line of a file."""
    entry = next(one for one in some if isinstance(one, Entry))
    wrong = contradicted(entry, getattr(check, "expect", None), values)
    if entry.dropin in fixes.EDITED:
        path, separator = fixes.EDITED[entry.dropin]
        line = "" if wrong is None else f"{entry.key}{separator}{wrong}"
        return f"sed -i -E '/^{entry.key}[[:space:]=]/d' {path}; echo {shlex.quote(line)} >>{path}"
    path, mine = _lines(entry.dropin, {entry.key: entry.value})
    _, instead = _lines(entry.dropin, {entry.key: wrong} if wrong is not None else {})
    matching = shlex.join(word for line in mine for word in ("-e", line))
    added = f"; printf '%s\\n' {shlex.join(instead)} >>{path}" if instead else ""
    return (
        f"test $(grep -cxF {matching} {path}) = {len(mine)}; "
        f"grep -vxF {matching} {path} >/run/proof; cat /run/proof >{path}{added}"
    )


def contradicted(entry: Entry, expect: Expect | None, values: Values) -> str | None:
    """Return a value that the rule refuses, or None where the line just goes."""
    if entry.key in _WRONG:
        return _WRONG[entry.key]
    if entry.value.lower() in _OPPOSITES:
        return _OPPOSITES[entry.value.lower()]
    unit = "M" if entry.value.endswith("M") else ""
    for name, beyond in ((expect.at_most, 1), (expect.at_least, -1)) if expect else ():
        if name is not None:
            figure = values[name[1:]]
            assert isinstance(figure, int)
            return f"{figure + beyond}{unit}"
    return None


def _lines(dropin: str, lines: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return a drop-in file's path and the lines that these settings have in it."""
    file, empty = (fixes.DROPINS[dropin](some)[-1] for some in (lines, {}))
    head = empty["content"].splitlines()
    return file["path"], [line for line in file["content"].splitlines() if line not in head]


@broken.register
def _(check: Accounts, some: tuple[Fix, ...], values: Values) -> str:
    if check.must == "have_private_homes":
        return f"chmod 0755 /home/{PERSON}"
    if check.names:
        return f"usermod --shell /bin/sh {words(values, check.names)[0]}"
    option, days = {
        "change_passwords": ("-M", 99_999),
        "keep_passwords_a_while": ("-m", 0),
        "be_warned": ("-W", 0),
    }[check.must]
    return f"chage {option} {days} {PERSON}"


@broken.register
def _(check: AuditState, some: tuple[Fix, ...], values: Values) -> str:
    """A rule that the kernel has not loaded, and will not before the next boot."""
    return "umask 027; echo '-w /etc/hostname -p wa -k proof' >/etc/audit/rules.d/90-proof.rules"


@broken.register
def _(check: Banner, some: tuple[Fix, ...], values: Values) -> str:
    return f"echo 'Debian GNU/Linux 12' >{check.path}"


@broken.register
def _(check: File, some: tuple[Fix, ...], values: Values) -> str:
    """What is there gets one right too many; where many match, one more that has it joins them."""
    path, mode = check.path.replace("*", "proof"), _loosened(check)
    make = f"mkdir {path}" if mode & 0o7000 else f": >{path}"
    return (
        f"test -e {path} || {{ mkdir -p {path.rpartition('/')[0] or '/'}; {make}; }}; chmod {mode:04o} {path}"
    )


@broken.register
def _(check: Logrotate, some: tuple[Fix, ...], values: Values) -> str:
    return f"sed -i 's/rotate .*/rotate 1/' {check.file}"


@broken.register
def _(check: Module, some: tuple[Fix, ...], values: Values) -> str:
    """Nothing keeps it from being loaded; where this kernel has none of that name, another stands for it."""
    path, lines = _lines(*_only(some))
    have = (
        f"modprobe -n {check.name} || {{ d=/lib/modules/$(uname -r); mkdir -p $d/updates; "
        f"cp $d/kernel/net/sctp/sctp.ko $d/updates/{check.name}.ko; depmod; }}"
    )
    return f"grep -vxF {shlex.quote(lines[0])} {path} >/run/proof; cat /run/proof >{path}; {have}"


def _only(some: Iterable[Fix]) -> tuple[str, dict[str, str]]:
    (entry,) = (one for one in some if isinstance(one, Entry))
    return entry.dropin, {entry.key: entry.value}


@broken.register
def _(check: Packages, some: tuple[Fix, ...], values: Values) -> str:
    """An empty package of that name."""
    name = words(values, check.absent or "")[0]
    control = shlex.quote(_CONTROL.format(name))
    return (
        f"d=$(mktemp -d); mkdir -m 0755 $d/DEBIAN; echo {control} >$d/DEBIAN/control; "
        "dpkg-deb --build $d $d.deb; dpkg --install $d.deb; rm -r $d $d.deb"
    )


@broken.register
def _(check: Pam, some: tuple[Fix, ...], values: Values) -> str:
    update = "pam-auth-update --package"
    if check.profile == "wheel":
        return "sed -i '/^auth.*pam_wheel/d' /etc/pam.d/su"
    if check.profile == "unix":
        return f"sed -i 's/pam_unix.so/pam_unix.so nullok/' /usr/share/pam-configs/unix; {update}"
    return f"{update} --disable $(cd /usr/share/pam-configs; ls | grep {check.profile})"


@broken.register
def _(check: Service, some: tuple[Fix, ...], values: Values) -> str:
    """What has to be on is turned off; what has to be off is turned on, an idle service if there is none."""
    if check.must == "be_on":
        unit = check.units[0]
        # one that refuses to be stopped by hand ends by a signal
        return f"systemctl disable {unit}; systemctl stop {unit} || systemctl kill --signal=TERM {unit}"
    name = next(unit for unit in check.units if unit.endswith(".service"))
    unit = f"/etc/systemd/system/{name}"
    make = f"systemctl cat {name} >/dev/null 2>&1 || printf {shlex.quote(_UNIT)} >{unit}"
    return f"{make}; systemctl enable {name}"


@broken.register
def _(check: Sysctl, some: tuple[Fix, ...], values: Values) -> str:
    (entry,) = (one for one in some if isinstance(one, Entry))
    wrong = contradicted(entry, check.expect, values) or "0"
    return f"sysctl -qw {entry.key}={wrong}"


@broken.register
def _(check: UnitProperty, some: tuple[Fix, ...], values: Values) -> str:
    (path,) = (one.parameters["path"] for one in some if not isinstance(one, Entry) and one.kind == "file")
    # without the line, the unit would be right by itself
    return f"sed -i 's/^{check.name}=.*/{check.name}=no/' {path}; systemctl daemon-reload"
