"""The clock: whether it is synchronised now, how far it is off, from how many sources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from provchain.baseline.facts import Facts, Probe, UnknownError, attributes, command
from provchain.baseline.observation import Observation, judged, not_applicable, unknown
from provchain.baseline.resources.base import Resource, Target
from provchain.baseline.resources.files import found
from provchain.baseline.values import Plain, Threshold, Values, number

TRACKING = command("/usr/bin/chronyc", "-c", "-n", "tracking", root=True)
SOURCES = command("/usr/bin/chronyc", "-c", "-n", "sources", root=True)
TIMESYNCD = attributes("/run/systemd/timesync/synchronized")
"""It is there once systemd-timesyncd has set the clock."""
ZONE = command("/usr/bin/readlink", "/etc/localtime")
ZONE_FILE = attributes("/etc/localtime")
_LEAP = 13
"""The field of ``chronyc -c tracking`` that says whether the clock is synchronised; 4 is its offset."""

Must = Literal["be_synchronised", "be_near", "have_sources", "be_in_zone"]


class Clock(Resource):
    """``clock``: what chrony says of itself now, or systemd-timesyncd in its stead."""

    resource: Literal["clock"]
    must: Must
    limit: Threshold | None = None
    """Milliseconds for ``be_near``, a count for ``have_sources``."""
    zones: Annotated[tuple[Plain, ...], Field(min_length=1)] | None = None
    """For ``be_in_zone``."""

    @model_validator(mode="after")
    def _complete(self) -> Clock:
        if (self.must in ("be_near", "have_sources")) != (self.limit is not None):
            raise ValueError("limit with be_near or have_sources, and with no other")
        if (self.must == "be_in_zone") != (self.zones is not None):
            raise ValueError("zones with be_in_zone, and with no other")
        return self

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return {
            "be_synchronised": (TRACKING, TIMESYNCD),
            "be_near": (TRACKING,),
            "have_sources": (SOURCES,),
            "be_in_zone": (ZONE, ZONE_FILE),
        }[self.must]

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        judges: dict[Must, Callable[[Facts, Values], Observation]] = {
            "be_synchronised": self._synchronised,
            "be_near": self._near,
            "have_sources": self._sources,
            "be_in_zone": self._zone,
        }
        return judges[self.must](facts, values)

    def _synchronised(self, facts: Facts, values: Values) -> Observation:
        if facts.text(TRACKING) is None:
            if not found(facts, TIMESYNCD):
                return unknown("neither chrony nor systemd-timesyncd tells that it set the clock")
            return judged(True, "synchronised", "systemd-timesyncd has set the clock")
        row = _tracking(facts)
        return judged(
            row[_LEAP] == "Normal", "leap status Normal", f"{row[_LEAP]}, source {row[1] or 'none'}"
        )

    def _near(self, facts: Facts, values: Values) -> Observation:
        if facts.text(TRACKING) is None:
            return not_applicable("no chrony here, which could tell")
        row, limit = _tracking(facts), number(values, self.limit or "")
        try:
            # chronyc(1): positive where the clock is ahead of the true time
            off = abs(float(row[4]) * 1000)
        except ValueError:
            raise UnknownError("chronyc tracking told something else") from None
        fits = row[_LEAP] == "Normal" and off <= limit
        return judged(fits, f"<= {limit} ms off", f"{off:.3f} ms off, {row[_LEAP]}")

    def _sources(self, facts: Facts, values: Values) -> Observation:
        if facts.text(SOURCES) is None:
            return not_applicable("no chrony here, which could tell")
        rows = [line.split(",") for line in facts.succeeded(SOURCES).splitlines() if line]
        if any(len(row) < 6 for row in rows):
            raise UnknownError("chronyc sources told something else")
        # reach is octal: the last eight polls; a source that never answered counts for nothing
        good = [row[2] for row in rows if row[5].strip("0") and row[1] not in ("x", "?", "~")]
        shown = [f"{row[2]}: state {row[1]}, reach {row[5]}" for row in rows]
        limit = number(values, self.limit or "")
        return judged(len(good) >= limit, f">= {limit} sources that answer", *(shown or ["no source"]))

    def _zone(self, facts: Facts, values: Values) -> Observation:
        link = facts.output(ZONE).text.strip().partition("/zoneinfo/")[2]
        if not link and found(facts, ZONE_FILE):
            return unknown("/etc/localtime is no link to a zone")
        # localtime(5): without it, the zone is UTC
        zone = link or "UTC"
        return judged(zone in (self.zones or ()), " or ".join(self.zones or ()), zone)


def _tracking(facts: Facts) -> list[str]:
    row = facts.succeeded(TRACKING).strip().split(",")
    if len(row) <= _LEAP:
        raise UnknownError("chronyc tracking told something else")
    return row
