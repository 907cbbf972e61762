"""Accounts, their passwords' ages and states, and what lies in their homes. No password hash is ever read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal

from pydantic import model_validator

from provchain.baseline.facts import Facts, Probe, UnknownError, attributes, command
from provchain.baseline.observation import Observation, judged, unknown
from provchain.baseline.resources.base import Fix, Listed, Resource, Step, Target
from provchain.baseline.resources.files import found
from provchain.baseline.values import Threshold, Values, is_whole, number, words

PASSWD = command("/usr/bin/getent", "passwd")
AGES = command("/usr/bin/cut", "-d:", "-f1,3-8", "/etc/shadow", root=True)
STATES = command("/usr/bin/passwd", "-S", "-a", root=True)
EMPTY = command("/usr/bin/grep", "-cE", "^[^:]+::", "/etc/shadow", root=True)
LAST = command("/usr/bin/lastlog")
HOMES = attributes("/home/*")
TRUST = command(
    "/usr/bin/find", "/root", "/home", "-xdev", "-maxdepth", "2",
    "-name", ".rhosts", "-o", "-name", ".shosts", "-o", "-name", ".netrc", root=True, last=True,
)  # fmt: skip
LOOSE_KEYS = command(
    "/usr/bin/find", "/root", "/home", "-xdev", "-maxdepth", "3",
    "-path", "*/.ssh/*", "-perm", "/022", root=True, last=True,
)  # fmt: skip
NO_SHELLS = ("/usr/sbin/nologin", "/sbin/nologin", "/bin/false", "/usr/bin/false")
_NOT_SHELLS = ("/bin/sync", "/usr/bin/sync", "/sbin/shutdown", "/sbin/halt", "")
FIRST_PERSON = 1000
_NOBODY = 65_534
_NEVER = 99_999


@dataclass(frozen=True, slots=True)
class Account:
    """A line of passwd(5), as far as it matters here."""

    name: str
    uid: int
    home: str
    shell: str

    @property
    def logs_in(self) -> bool:
        """Tell whether its shell is one."""
        return self.shell not in NO_SHELLS + _NOT_SHELLS

    @property
    def is_person(self) -> bool:
        """Tell whether its number is one that people get."""
        return self.uid >= FIRST_PERSON and self.uid != _NOBODY


def accounts(facts: Facts) -> list[Account]:
    """Return the accounts of a host. Raises UnknownError."""
    rows = [line.split(":") for line in facts.succeeded(PASSWD).splitlines()]
    if not rows or any(len(row) != 7 or not is_whole(row[2]) for row in rows):
        raise UnknownError("getent passwd told something else")
    return [Account(row[0], int(row[2]), row[5], row[6]) for row in rows]


Must = Literal[
    "have_unique_names_and_numbers",
    "be_root_only_with_number_zero",
    "have_no_empty_password",
    "have_no_shell_if_of_the_system",
    "be_locked_if_default",
    "be_on_the_roster",
    "change_passwords",
    "keep_passwords_a_while",
    "be_warned",
    "have_logged_in_lately",
    "have_private_homes",
    "trust_no_other_host",
    "have_private_keys_files",
]
_FIELDS = {"change_passwords": 3, "keep_passwords_a_while": 2, "be_warned": 4}
_FIGURES = {*_FIELDS, "have_logged_in_lately"}


class Accounts(Resource):
    """``accounts``: what all accounts of a host must be."""

    resource: Literal["accounts"]
    must: Must
    limit: Threshold | None = None
    """The figure in days, where ``must`` is about one."""
    names: Listed | None = None
    """The accounts that ``be_locked_if_default`` is about."""

    @model_validator(mode="after")
    def _complete(self) -> Accounts:
        if (self.must in _FIGURES) != (self.limit is not None):
            raise ValueError(f"limit with one of {', '.join(sorted(_FIGURES))}, and with no other")
        if (self.must == "be_locked_if_default") != (self.names is not None):
            raise ValueError("names with be_locked_if_default, and with no other")
        return self

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        special: dict[str, tuple[Probe, ...]] = {
            "have_no_empty_password": (STATES,) if target.family == "debian" else (EMPTY,),
            **dict.fromkeys(_FIELDS, (AGES, STATES) if target.family == "debian" else (AGES,)),
            "have_logged_in_lately": (LAST,),
            "have_private_homes": (HOMES,),
            "trust_no_other_host": (TRUST,),
            "have_private_keys_files": (LOOSE_KEYS,),
        }
        return (PASSWD, *special.get(self.must, ()))

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        judges: dict[str, Callable[[Facts, Values, Target], Observation]] = {
            "have_unique_names_and_numbers": self._unique,
            "be_root_only_with_number_zero": self._only_root,
            "have_no_empty_password": self._no_empty,
            "have_no_shell_if_of_the_system": self._no_shell,
            "be_locked_if_default": self._default,
            "be_on_the_roster": self._roster,
            "have_logged_in_lately": self._lately,
            "have_private_homes": self._homes,
            "trust_no_other_host": self._none_found(TRUST, "no .rhosts, .shosts or .netrc"),
            "have_private_keys_files": self._none_found(LOOSE_KEYS, "nothing in .ssh that others may write"),
        }
        return judges.get(self.must, self._ages)(facts, values, target)

    def _unique(self, facts: Facts, values: Values, target: Target) -> Observation:
        all_ = accounts(facts)
        counted = Counter(key for one in all_ for key in (f"name {one.name}", f"uid {one.uid}"))
        twice = [f"{key}: {count} accounts" for key, count in counted.items() if count > 1]
        return judged(not twice, "each name and number once", *(twice or [f"{len(all_)} accounts"]))

    def _only_root(self, facts: Facts, values: Values, target: Target) -> Observation:
        zero = [one.name for one in accounts(facts) if one.uid == 0]
        return judged(zero == ["root"], "uid 0: root", f"uid 0: {', '.join(zero) or 'nobody'}")

    def _no_empty(self, facts: Facts, values: Values, target: Target) -> Observation:
        wanted = "no account without a password that is not locked"
        if target.family != "debian":
            count = facts.text(EMPTY)
            if count is None or not count.strip().isdecimal():
                raise UnknownError("/etc/shadow could not be searched")
            return judged(count.strip() == "0", wanted, f"{count.strip()} accounts with an empty password")
        rows = _states(facts)
        empty = [name for name, state in rows.items() if state == "NP"]
        return judged(
            not empty, wanted, *(f"{name}: NP" for name in empty or [f"{len(rows)} accounts, none"])
        )

    def _no_shell(self, facts: Facts, values: Values, target: Target) -> Observation:
        able = [one for one in accounts(facts) if one.logs_in and not one.is_person and one.uid != 0]
        shown = [f"{one.name} (uid {one.uid}): {one.shell}" for one in able]
        # the account by which hosts are administered is a person's way in, whatever its number
        wrong = [line for one, line in zip(able, shown, strict=True) if one.name not in target.admins]
        return judged(not wrong, "system accounts without a shell", *(wrong or shown or ["none has a shell"]))

    def _default(self, facts: Facts, values: Values, target: Target) -> Observation:
        names = words(values, self.names or "")
        able = [f"{one.name}: {one.shell}" for one in accounts(facts) if one.name in names and one.logs_in]
        return judged(not able, f"no shell: {', '.join(names)}", *(able or ["none of them has a shell"]))

    def _roster(self, facts: Facts, values: Values, target: Target) -> Observation:
        able = [one.name for one in accounts(facts) if one.logs_in and one.uid != 0]
        if not target.admins:
            return unknown(f"no roster says who may log in; these can: {', '.join(able) or 'nobody'}")
        strange = sorted(set(able) - set(target.admins))
        return judged(not strange, f"only {', '.join(target.admins)}", *(strange or able or ["nobody"]))

    def _ages(self, facts: Facts, values: Values, target: Target) -> Observation:
        """Judge existing accounts: login.defs only counts for those that come later."""
        limit = number(values, self.limit or "")
        field, most = _FIELDS[self.must], self.must == "change_passwords"
        people = {one.name for one in accounts(facts) if one.logs_in}
        if target.family == "debian":
            # who has no password has none to change
            people &= {name for name, state in _states(facts).items() if state == "P"}
        rows = [line.split(":") for line in facts.succeeded(AGES).splitlines()]
        if not rows or any(len(row) != 7 for row in rows):
            raise UnknownError("/etc/shadow has another form")
        shown, wrong = [], []
        for row in rows:
            if row[0] not in people:
                continue
            days = int(row[field]) if is_whole(row[field]) else (_NEVER if most else 0)
            line = f"{row[0]}: {row[field] or 'not set'}"
            shown.append(line)
            if not (1 <= days <= limit if most else days >= limit):
                wrong.append(line)
        wanted = f"every account that logs in by a password: {'<=' if most else '>='} {limit} days"
        return judged(not wrong, wanted, *(wrong or shown or ["no account logs in by a password"]))

    def _lately(self, facts: Facts, values: Values, target: Target) -> Observation:
        limit = number(values, self.limit or "")
        people = {one.name for one in accounts(facts) if one.logs_in and one.is_person}
        wrong = []
        for line in facts.succeeded(LAST).splitlines()[1:]:
            name = line.split(" ", 1)[0]
            days = _days_since(line, facts.taken)
            if name in people and days is not None and days > limit:
                wrong.append(f"{name}: last login {days} days ago")
        return judged(not wrong, f"last login <= {limit} days ago", *(wrong or [f"{len(people)} accounts"]))

    def _homes(self, facts: Facts, values: Values, target: Target) -> Observation:
        seen = found(facts, HOMES)
        loose = [str(one) for one in seen if one.mode & 0o027]
        return judged(not loose, "homes 0750 or less", *(loose or [f"{len(seen)} homes"]))

    def _none_found(self, probe: Probe, wanted: str) -> Callable[[Facts, Values, Target], Observation]:
        def judge(facts: Facts, values: Values, target: Target) -> Observation:
            lines = facts.succeeded(probe).splitlines()
            return judged(not lines, wanted, *(lines or ["none"]))

        return judge

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        if self.must == "have_private_homes":
            return (Step("attributes", {"path": "/home/*", "most": "0750", "owners": [], "groups": []}),)
        if self.must == "be_locked_if_default":
            return (Step("shells_removed", {"names": list(words(values, self.names or ""))}),)
        if self.must in _FIELDS:
            days = number(values, self.limit or "")
            option = {"change_passwords": "-M", "keep_passwords_a_while": "-m", "be_warned": "-W"}[self.must]
            return (Step("password_age", {"name": option, "days": str(days)}),)
        return ()


def _states(facts: Facts) -> dict[str, str]:
    """Return P, L or NP of every account: a password, a locked one, none. Raises UnknownError."""
    rows = [line.split() for line in facts.succeeded(STATES).splitlines()]
    if not rows or any(len(row) < 2 for row in rows):
        raise UnknownError("passwd -S told something else")
    return {row[0]: row[1] for row in rows}


def _days_since(line: str, taken: int) -> int | None:
    """Return the whole days since the login that a line of lastlog(8) tells; None for never."""
    words_ = line.split()
    if "**Never" in words_ or len(words_) < 6:
        return None
    for form in ("%b %d %H:%M:%S %z %Y",):
        try:
            when = datetime.strptime(" ".join(words_[-5:]), form)
        except ValueError:
            continue
        return max(0, (datetime.fromtimestamp(taken, UTC) - when).days)
    raise UnknownError(f"lastlog told something else: {line[:80]}")
