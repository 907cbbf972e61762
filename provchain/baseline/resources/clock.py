"""The clock: whether it is synchronised now, how far it is off, from how many sources."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Literal

from pydantic import Field, model_validator

from provchain.baseline.facts import Facts, Probe, UnknownError, command
from provchain.baseline.observation import Observation, judged, not_applicable
from provchain.baseline.resources.base import Resource, Target
from provchain.baseline.values import Plain, Threshold, Values, number

TRACKING = command("/usr/bin/chronyc", "-c", "-n", "tracking", root=True)
SOURCES = command("/usr/bin/chronyc", "-c", "-n", "sources", root=True)
CLOCK = command("/usr/bin/timedatectl", "show")
_LEAP = 13
"""The field of ``chronyc -c tracking`` that says whether the clock is synchronised; 4 is its offset."""

Must = Literal["be_synchronised", "be_near", "have_sources", "be_in_zone"]


class Clock(Resource):
    """``clock``: what chrony says of itself now; of another daemon, what the kernel says."""

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

    def probes(self, target: Target) -> tuple[Probe, ...]:
        return {
            "be_synchronised": (TRACKING, CLOCK),
            "be_near": (TRACKING,),
            "have_sources": (SOURCES,),
            "be_in_zone": (CLOCK,),
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
            state = _clock(facts).get("NTPSynchronized", "no")
            return judged(state == "yes", "synchronised", f"no chronyc; the kernel says: {state}")
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
        zone = _clock(facts).get("Timezone", "")
        return judged(zone in (self.zones or ()), " or ".join(self.zones or ()), zone or "not set")


def _tracking(facts: Facts) -> list[str]:
    row = facts.succeeded(TRACKING).strip().split(",")
    if len(row) <= _LEAP:
        raise UnknownError("chronyc tracking told something else")
    return row


def _clock(facts: Facts) -> dict[str, str]:
    rows = (line.partition("=") for line in facts.succeeded(CLOCK).splitlines())
    return {key: value for key, _, value in rows}
