"""Configuration of systemd's own daemons, with its drop-ins, as they read it."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import Field

from provchain.baseline.facts import Facts, Probe, command
from provchain.baseline.observation import Observation, judged
from provchain.baseline.resources.base import Entry, Fix, Resource, Target
from provchain.baseline.values import Expect, Values

CONFIGS = {"journald": "systemd/journald.conf", "coredump": "systemd/coredump.conf"}
_SIZES = {"K": 1, "M": 1 << 10, "G": 1 << 20, "T": 1 << 30}


class SystemdOption(Resource):
    """``systemd_option``: an option of a daemon of systemd, as its files with all drop-ins give it."""

    resource: Literal["systemd_option"]
    of: Literal["journald", "coredump"]
    key: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]{2,40}$")]
    expect: Expect
    size: bool = False
    """It is a size: compared in MiB, and written so."""
    default: Annotated[str, Field(pattern=r"^[A-Za-z0-9]{1,20}$")] | None = None
    """What the daemon takes where the option is not set."""

    @property
    def _probe(self) -> Probe:
        return command("/usr/bin/systemd-analyze", "cat-config", CONFIGS[self.of])

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (self._probe,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        found = last_options(facts.succeeded(self._probe)).get(self.key) or None
        given = found or self.default
        compared = _mebibytes(given) if self.size and given else given
        wanted = f"{self.key} {self.expect.text(values)}{' MiB' if self.size else ''}"
        shown_ = f"{self.key}={found}" if found else f"{self.key} is not set"
        if found is None and self.default:
            shown_ += f", which means {self.default}"
        return judged(self.expect.fits(compared, values), wanted, shown_)

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        value = self.expect.value(values)
        return () if value is None else (Entry(self.of, self.key, value + ("M" if self.size else "")),)


def last_options(text: str) -> dict[str, str]:
    """Return options of files in a row: a later line replaces an earlier, an empty one resets."""
    rows = (line.strip() for line in text.splitlines())
    return {
        key.strip(): value.strip()
        for key, equals, value in (row.partition("=") for row in rows if not row.startswith(("#", ";", "[")))
        if equals
    }


def _mebibytes(text: str) -> str:
    """Return a size such as 2G in whole MiB, rounded down; what is none as it is."""
    found = re.fullmatch(r"([0-9]{1,15})([KMGT])?", text)
    if not found:
        return text
    return str(int(found[1]) * _SIZES[found[2]] // 1024 if found[2] else int(found[1]) >> 20)
