"""What a found value is compared with, and the thresholds of a profile that it may name.

A rule holds no threshold: where a figure or a list is a matter of policy, it names one (``$ssh_max_tries``)
and each profile gives its value.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

THRESHOLD = r"^\$[a-z][a-z0-9_]{1,47}$"
PLAIN = r"^[^\x00-\x08\x0a-\x1f\x7f]{1,500}$"

Value = int | tuple[str, ...]
Values = Mapping[str, Value]
"""The thresholds of a profile by name, without the ``$``."""

Threshold = Annotated[str, Field(pattern=THRESHOLD)]
Plain = Annotated[str, Field(pattern=PLAIN)]


class Record(BaseModel):
    """What a catalog file holds: frozen, strict, unknown keys refused."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, serialize_by_alias=True, defer_build=True
    )


def is_whole(text: str) -> bool:
    """Tell whether a host's word is a whole number, in plain digits and of a size that can be read."""
    return re.fullmatch(r"[0-9]{1,18}", text) is not None


def number(values: Values, threshold: str) -> int:
    """Return a threshold that is a whole number. Raises KeyError or TypeError; a checked catalog has it."""
    value = values[threshold[1:]]
    if not isinstance(value, int):
        raise TypeError(f"{threshold} is a list, a whole number is needed")
    return value


def words(values: Values, threshold: str) -> tuple[str, ...]:
    """Return a threshold that is a list of text. Raises KeyError or TypeError; a checked catalog has it."""
    value = values[threshold[1:]]
    if isinstance(value, int):
        raise TypeError(f"{threshold} is a whole number, a list is needed")
    return value


class Expect(Record):
    """What a value must be: one of the ways below; ``at_least`` and ``at_most`` may stand together."""

    equals: Plain | None = None
    """Exactly this, upper or lower case."""
    one_of: Annotated[tuple[Plain, ...], Field(min_length=2)] | None = None
    """One of these; the first is what a fix writes."""
    at_least: Threshold | None = None
    at_most: Threshold | None = None
    subset_of: Threshold | None = None
    """A comma-separated list of which each word is allowed by the threshold, a list."""
    writes: Threshold | None = None
    """With ``subset_of``: the threshold that a fix writes, where not every version knows all words."""
    holds: Annotated[tuple[Plain, ...], Field(min_length=1)] | None = None
    """A list, separated by commas or spaces, that holds each of these words."""
    present: Literal[True] | None = None
    """Set, to whatever it is."""
    absent: Literal[True] | None = None
    """Not set at all."""

    @model_validator(mode="after")
    def _one_way(self) -> Expect:
        given = self.model_fields_set
        if len(given) != 1 and given not in ({"at_least", "at_most"}, {"subset_of", "writes"}):
            raise ValueError("one way to compare; at_least may stand with at_most, writes with subset_of")
        return self

    def thresholds(self) -> dict[str, type]:
        """Return the names of the thresholds, without the ``$``, with the type that each must have."""
        named = {self.at_least: int, self.at_most: int, self.subset_of: tuple, self.writes: tuple}
        return {name[1:]: kind for name, kind in named.items() if name is not None}

    def fits(self, found: str | None, values: Values) -> bool:
        """Tell whether a found value (None: not set) is what is expected."""
        if found is None or self.absent:
            return found is None and bool(self.absent)
        if self.present:
            return bool(found.strip())
        if self.equals is not None:
            return found.casefold() == self.equals.casefold()
        if self.one_of is not None:
            return found.casefold() in {one.casefold() for one in self.one_of}
        listed = [word for word in re.split(r"[\s,]+", found.strip()) if word]
        if self.subset_of is not None:
            return bool(listed) and set(listed) <= set(words(values, self.subset_of))
        if self.holds is not None:
            return set(self.holds) <= set(listed)
        return self._within(found, values)

    def _within(self, found: str, values: Values) -> bool:
        if not re.fullmatch(r"[-+]?[0-9]{1,18}", found.strip()):
            return False
        figure = int(found)
        low = number(values, self.at_least) if self.at_least else figure
        high = number(values, self.at_most) if self.at_most else figure
        return low <= figure <= high

    def text(self, values: Values) -> str:
        """Say what is expected, with the thresholds' values, for reports."""
        if self.absent or self.present:
            return "set" if self.present else "not set"
        if self.equals is not None:
            return self.equals
        if self.one_of is not None:
            return " | ".join(self.one_of)
        if self.subset_of is not None:
            return "only " + ",".join(words(values, self.subset_of))
        if self.holds is not None:
            return "with " + ",".join(self.holds)
        low = f">= {number(values, self.at_least)}" if self.at_least else ""
        high = f"<= {number(values, self.at_most)}" if self.at_most else ""
        return f"{low} {high}".strip()

    def value(self, values: Values) -> str | None:
        """Return the value that a fix writes; None where the setting has to go, or any would do."""
        if self.absent or self.present:
            return None
        if self.equals is not None or self.one_of is not None:
            return self.equals or (self.one_of or ("",))[0]
        if self.subset_of is not None:
            return ",".join(words(values, self.writes or self.subset_of))
        if self.holds is not None:
            return ",".join(self.holds)
        # the stricter end is not guessed: a limit is met exactly
        return str(number(values, self.at_most or self.at_least or ""))
