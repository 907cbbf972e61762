"""A login shell as it really is, and what is shown before a login."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field, model_validator

from provchain.baseline.facts import Facts, Probe, UnknownError, command, file
from provchain.baseline.observation import Observation, judged
from provchain.baseline.resources.base import Entry, Fix, Resource, Step, Target
from provchain.baseline.values import Threshold, Values, is_whole, number

SHELL = command("/bin/bash", "-lc", "declare -p TMOUT HISTSIZE HISTTIMEFORMAT; umask")
"""What a login shell of the auditor's has set: run-time truth of /etc/profile and its parts."""
_VARIABLE = re.compile(r'^declare -([A-Za-z-]+) ([A-Z]+)="(.*)"$', re.M)
_UMASK = re.compile(r"^[0-7]{3,4}$", re.M)
_ESCAPE = re.compile(r"\\[a-zA-Z]")


class Session(Resource):
    """``session``: a login shell ends when idle, or gives others no rights on new files."""

    resource: Literal["session"]
    must: Literal["end_when_idle", "mask_new_files"]
    limit: Threshold | None = None
    """Seconds, for ``end_when_idle``."""
    mask: Annotated[str, Field(pattern=r"^0[0-7]{2,3}$")] | None = None
    """The least umask, for ``mask_new_files``."""

    @model_validator(mode="after")
    def _complete(self) -> Session:
        idle = self.must == "end_when_idle"
        if idle != (self.limit is not None) or idle == (self.mask is not None):
            raise ValueError("limit with end_when_idle, mask with mask_new_files")
        return self

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (SHELL,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        text = facts.text(SHELL)
        if text is None:
            raise UnknownError("no bash to look at a login shell with")
        if self.mask is not None:
            return self._masked(text, int(self.mask, 8))
        limit = number(values, self.limit or "")
        given = {name: (flags, value) for flags, name, value in _VARIABLE.findall(text)}
        flags, value = given.get("TMOUT", ("", ""))
        fits = "r" in flags and is_whole(value) and 1 <= int(value) <= limit
        shown = f"TMOUT={value}{' readonly' if 'r' in flags else ''}" if value else "TMOUT is not set"
        return judged(fits, f"TMOUT readonly, 1 to {limit} s", shown)

    def _masked(self, text: str, least: int) -> Observation:
        found = _UMASK.findall(text)
        if not found:
            raise UnknownError("the login shell told no umask")
        return judged(int(found[-1], 8) & least == least, f"umask {least:04o} or more", f"umask {found[-1]}")

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        if self.mask is not None:
            return (Entry("profile", "umask", self.mask),)
        return (Entry("profile", "TMOUT", str(number(values, self.limit or ""))),)


class Banner(Resource):
    """``banner``: a warning stands before the login, and nothing about the system."""

    resource: Literal["banner"]
    path: Annotated[str, Field(pattern=r"^/etc/[a-z.]{3,20}$")]
    text: Annotated[str, Field(pattern=r"^[^\x00-\x1f\x7f]{10,400}$")]
    """What a fix writes; any other warning passes as well."""

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (file(self.path),)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        text = (facts.text(file(self.path)) or "").strip()
        wanted = f"{self.path}: a warning without names or versions of the system"
        telling = _ESCAPE.search(text) or re.search(
            r"(?i)debian|ubuntu|kylin|openeuler|anolis|linux|kernel", text
        )
        return judged(bool(text) and not telling, wanted, text.splitlines()[0] if text else "nothing")

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        return (Step("file", {"path": self.path, "content": self.text + "\n", "mode": "0644"}),)
