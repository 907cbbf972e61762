"""Who may become root for what: sudo's policy as sudo itself reads it, includes followed."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from provchain.baseline.facts import Facts, Probe, UnknownError, command
from provchain.baseline.observation import Observation, judged
from provchain.baseline.resources.base import Entry, Fix, Listed, Resource, Target
from provchain.baseline.values import Expect, Values, words

POLICY = command("/usr/bin/cvtsudoers", "-f", "json", "/etc/sudoers", root=True)
GROUPS = command("/usr/bin/getent", "group")
PASSWD = command("/usr/bin/getent", "passwd")
ALL = "ALL"


@dataclass(frozen=True, slots=True)
class Grant:
    """A command that somebody may run; ``who`` is a user, or a group with ``%`` before it."""

    who: str
    command: str
    password: bool


def policy(facts: Facts) -> tuple[dict[str, str], list[Grant]]:
    """Return the general defaults and all grants. Raises UnknownError for what cvtsudoers does not print."""
    try:
        found = json.loads(facts.succeeded(POLICY))
        options = [
            option
            for defaults in found.get("Defaults", [])
            if not defaults.get("Binding")
            for option in defaults["Options"]
        ]
        flat = {name: _text(value) for option in options for name, value in option.items()}
        commands = {one["name"]: one["members"] for one in _aliases(found, "Command_Aliases")}
        people = {one["name"]: one["members"] for one in _aliases(found, "User_Aliases")}
        return flat, [
            grant for spec in found.get("User_Specs", []) for grant in _grants(spec, people, commands)
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UnknownError(f"cvtsudoers told something else: {type(error).__name__}") from None


def _aliases(found: dict[str, Any], kind: str) -> Iterator[dict[str, Any]]:
    for name, members in found.get(kind, {}).items():
        yield {"name": name, "members": members}


def _grants(spec: dict[str, Any], people: dict[str, Any], commands: dict[str, Any]) -> Iterator[Grant]:
    names = [name for user in spec["User_List"] for name in _who(user, people)]
    for given in spec["Cmnd_Specs"]:
        options = {name: value for option in given.get("Options", []) for name, value in option.items()}
        password = bool(options.get("authenticate", True))
        for entry in given["Commands"]:
            for text in _what(entry, commands):
                yield from (Grant(name, text, password) for name in names)


def _who(user: dict[str, Any], aliases: dict[str, Any]) -> Iterator[str]:
    if "usergroup" in user:
        yield f"%{user['usergroup']}"
    elif "useralias" in user:
        for one in aliases[user["useralias"]]:
            yield from _who(one, {})
    else:
        yield str(user.get("username") or user.get("userid"))


def _what(entry: dict[str, Any], aliases: dict[str, Any]) -> Iterator[str]:
    if "cmndalias" in entry:
        for one in aliases[entry["cmndalias"]]:
            yield from _what(one, {})
    elif not entry.get("negated"):
        yield str(entry["command"])


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ",".join(_text(next(iter(one.values())) if isinstance(one, dict) else one) for one in value)
    return str(value)


class SudoDefault(Resource):
    """``sudo_default``: an option that holds for everybody (sudoers(5), Defaults)."""

    resource: Literal["sudo_default"]
    option: Annotated[str, Field(pattern=r"^[a-z_]{3,40}$")]
    expect: Expect
    """A flag is ``yes`` or ``no``."""

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (POLICY,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        options, _ = policy(facts)
        found = options.get(self.option)
        wanted = f"Defaults {self.option} {self.expect.text(values)}"
        return judged(
            self.expect.fits(found, values), wanted, f"Defaults {self.option} {found or 'is not set'}"
        )

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        value = self.expect.value(values)
        return () if value is None else (Entry("sudo", self.option, value),)


class SudoRights(Resource):
    """``sudo_rights``: what nobody may be granted, and how the administrators' rights are kept apart."""

    resource: Literal["sudo_rights"]
    must: Literal["ask_for_a_password", "name_commands", "keep_roles_apart"]
    groups: Listed | None = None
    """The groups of the administrators (system, security, audit), for ``keep_roles_apart``."""

    @model_validator(mode="after")
    def _complete(self) -> SudoRights:
        if (self.must == "keep_roles_apart") != (self.groups is not None):
            raise ValueError("groups with keep_roles_apart, and with no other")
        return self

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (POLICY, GROUPS, PASSWD)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        _, grants = policy(facts)
        people = [one for one in grants if one.who not in ("root", "%root")]
        members = _members(facts)
        if self.must == "keep_roles_apart":
            return self._apart(members, people, words(values, self.groups or ""))
        # a group without members grants nothing to anybody
        people = [one for one in people if one.who[0] != "%" or members.get(one.who[1:], {"unknown"})]
        wide = [one for one in people if one.command == ALL]
        if self.must == "ask_for_a_password":
            wrong = [f"{one.who}: {ALL} without a password" for one in wide if not one.password]
            return judged(not wrong, "no right to everything without a password", *(wrong or ["none"]))
        wrong = [f"{one.who}: {ALL}" for one in wide]
        return judged(not wrong, "rights name their commands", *(wrong or [f"{len(people)} grants"]))

    def _apart(
        self, members: dict[str, set[str]], people: list[Grant], groups: tuple[str, ...]
    ) -> Observation:
        wrong = [f"no group {group}" for group in groups if group not in members]
        rights = {group: {one.command for one in people if one.who == f"%{group}"} for group in groups}
        wrong += [f"%{group} has no right of its own" for group in groups if not rights[group]]
        for place, one in enumerate(groups):
            for other in groups[place + 1 :]:
                both = members.get(one, set()) & members.get(other, set())
                wrong += [f"{name} is in {one} and in {other}" for name in sorted(both)]
                shared = rights[one] & rights[other]
                wrong += [f"{text}: granted to {one} and to {other}" for text in sorted(shared)]
        shown = [
            f"%{group}: {len(rights[group])} commands, {len(members.get(group, ()))} members"
            for group in groups
        ]
        return judged(
            not wrong, f"{', '.join(groups)} with rights and members of their own", *(wrong or shown)
        )


def _members(facts: Facts) -> dict[str, set[str]]:
    """Return the members of every group, those whose own group it is included. Raises UnknownError."""
    rows = [line.split(":") for line in facts.succeeded(GROUPS).splitlines()]
    people = [line.split(":") for line in facts.succeeded(PASSWD).splitlines()]
    return {
        row[0]: {name for name in row[3].split(",") if name}
        | {one[0] for one in people if len(one) == 7 and one[3] == row[2]}
        for row in rows
        if len(row) == 4
    }
