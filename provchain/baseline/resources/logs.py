"""Logs: how long logrotate keeps them, and how old the oldest record really is."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field

from provchain.baseline.facts import Facts, Probe, UnknownError, attributes, command, file
from provchain.baseline.observation import Observation, judged, unknown
from provchain.baseline.resources.base import Fix, Resource, Step, Target
from provchain.baseline.resources.files import found
from provchain.baseline.values import Threshold, Values, number

ROTATE = file("/etc/logrotate.conf")
ROTATE_PARTS = file("/etc/logrotate.d/*")
_PERIODS = {"hourly": 1 / 24, "daily": 1, "weekly": 7, "monthly": 30, "yearly": 365}
_ROTATED = re.compile(r"/var/log/[A-Za-z0-9_./*-]{1,80}")


class Logrotate(Resource):
    """``logrotate``: these logs are kept for so many days, by number of rotations and their period."""

    resource: Literal["logrotate"]
    logs: Annotated[tuple[Annotated[str, Field(pattern=_ROTATED.pattern)], ...], Field(min_length=1)]
    days: Threshold
    file: Annotated[str, Field(pattern=r"^/etc/logrotate\.d/[a-z0-9-]{1,30}$")]
    """Where a fix says so, replacing what the package put there."""
    extra: tuple[Annotated[str, Field(pattern=r"^[a-z][A-Za-z0-9 ./-]{2,80}$")], ...] = ()
    """Further lines that a fix writes, such as ``create 0640 root adm``."""
    after: Annotated[str, Field(pattern=r"^/[A-Za-z0-9 ./_-]{2,80}$")] | None = None
    """The command after a rotation that a fix writes."""

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (ROTATE, ROTATE_PARTS)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        main = facts.text(ROTATE)
        if main is None:
            return judged(False, "logrotate", "/etc/logrotate.conf is not there")
        kept = dict(retention({"": main} | facts.files(ROTATE_PARTS)))
        days = number(values, self.days)
        there = {log: kept[log] for log in self.logs if log in kept}
        shown = [
            f"{log}: {'no period' if kept_ is None else f'{kept_} days'}" for log, kept_ in there.items()
        ]
        shown += [f"{log}: never rotated" for log in self.logs if log not in kept]
        short = [log for log, kept_ in there.items() if kept_ is None or kept_ < days]
        return judged(not short, f">= {days} days", *shown)

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        days = number(values, self.days)
        lines = [
            "daily",
            f"rotate {days}",
            "missingok",
            "notifempty",
            "compress",
            "delaycompress",
            *self.extra,
        ]
        if self.after:
            lines += ["sharedscripts", "postrotate", f"    {self.after}", "endscript"]
        body = "".join(f"    {line}\n" for line in lines)
        content = "\n".join(self.logs) + "\n{\n" + body + "}\n"
        return (Step("file", {"path": self.file, "content": content}),)


def retention(texts: Mapping[str, str]) -> Iterator[tuple[str, int | None]]:
    """Yield each log's days of retention; None where rotation goes by size, which bounds no time.

    logrotate(8): options in braces replace the global ones; ``maxage`` removes what is older.
    """
    common: dict[str, str] = {}
    for text in texts.values():
        own: dict[str, str] | None = None
        names: list[str] = []
        script = False
        for raw in text.splitlines():
            line = raw.partition("#")[0].strip()
            if script or line in ("postrotate", "prerotate", "firstaction", "lastaction", "preremove"):
                script = line != "endscript"
                continue
            if line.startswith(("/", '"/')):
                names += [word.strip('"') for word in line.rstrip("{").split()]
                if not line.endswith("{"):
                    continue
                line = "{"
            if line == "{":
                own = dict(common)
            elif line == "}" and own is not None:
                yield from ((name, _days(own)) for name in names)
                own, names = None, []
            elif line:
                key, _, value = line.partition(" ")
                _option(common if own is None else own, key, value.strip())


def _option(options: dict[str, str], key: str, value: str) -> None:
    if key in _PERIODS:
        options["period"] = key
        options.pop("size", None)
    elif key in ("rotate", "maxage", "size"):
        options[key] = value.lstrip("=").strip()


def _days(options: Mapping[str, str]) -> int | None:
    if "size" in options or "period" not in options:
        return None
    rotate = options.get("rotate", "0")
    count = int(rotate) if re.fullmatch(r"-?[0-9]{1,6}", rotate) else 0
    kept = count * _PERIODS[options["period"]] if count >= 0 else 36_500
    age = options.get("maxage", "")
    return int(min(kept, int(age)) if re.fullmatch(r"[0-9]{1,6}", age) else kept)


BOOTS = command("/usr/bin/journalctl", "--list-boots", "--utc", "--quiet", "--no-pager", root=True)
BIRTH = attributes("/etc/machine-id")
_STAMP = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2} [0-9]{2}:[0-9]{2}:[0-9]{2}) UTC")
_DAY = 86_400
_GRACE_DAYS = 2
"""A host's first days may pass before anything is logged."""


class LogAge(Resource):
    """``log_age``: the oldest record that is still there is old enough, whatever the configuration says.

    A host that is younger than the figure can't have such a record: that is unknown, as long as its records
    reach back to its first days. If they do not, records are gone, and it fails.
    """

    resource: Literal["log_age"]
    days: Threshold
    files: Annotated[tuple[Annotated[str, Field(pattern=_ROTATED.pattern)], ...], Field(min_length=1)]
    """Rotated files: the oldest was last written no earlier than its records."""

    @property
    def _files(self) -> tuple[Probe, ...]:
        return tuple(attributes(path) for path in self.files)

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (BOOTS, BIRTH, *self._files)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        oldest = min((*_journal(facts), *self._changed(facts)), default=None)
        if not facts.taken:
            raise UnknownError("when the host was looked at is not known")
        if oldest is None:
            return judged(False, "records", "no journal and no log file")
        days = number(values, self.days)
        age = (facts.taken - oldest) // _DAY
        wanted, shown = f"oldest record >= {days} days", f"oldest record: {age} days"
        if age >= days:
            return judged(True, wanted, shown)
        born = [(facts.taken - one.changed) // _DAY for one in found(facts, BIRTH)]
        if born and born[0] < days and age >= born[0] - _GRACE_DAYS:
            return unknown(f"the host is {born[0]} days old, and its records reach back {age} days")
        return judged(False, wanted, shown, *(f"the host: {one} days" for one in born))

    def _changed(self, facts: Facts) -> Iterator[int]:
        for probe in self._files:
            yield from (one.changed for one in found(facts, probe) if one.size and "regular" in one.kind)


def _journal(facts: Facts) -> Iterator[int]:
    """Yield when boots began, of which the journal has records."""
    output = facts.output(BOOTS)
    for line in output.text.splitlines():
        stamp = _STAMP.search(line)
        if stamp:
            try:
                when = datetime.fromisoformat(stamp[1])
            except ValueError:
                raise UnknownError(f"journalctl told a strange time: {stamp[1]}") from None
            yield int(when.replace(tzinfo=UTC).timestamp())
