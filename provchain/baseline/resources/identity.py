"""Identities: a host's certificates, and settings in TOML by which a program uses them."""

from __future__ import annotations

import re
import tomllib
from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import Field, model_validator

from provchain.baseline.facts import Facts, Probe, UnknownError, command, file
from provchain.baseline.observation import Observation, judged, not_applicable
from provchain.baseline.resources.base import Resource, Target
from provchain.baseline.values import Expect, Threshold, Values, number

_DATE = re.compile(r"Not (Before|After) ?: (\w{3} +[0-9]{1,2} [0-9:]{8} [0-9]{4}) GMT")
_DAY = 86_400
Path = Annotated[str, Field(pattern=r"^/[A-Za-z0-9_./-]{1,120}$")]


class Certificate(Resource):
    """``certificate``: a certificate on the host is national, lasts a while yet, and not too long."""

    resource: Literal["certificate"]
    path: Path
    must: Literal["be_sm2", "last", "be_short"]
    days: Threshold | None = None

    @model_validator(mode="after")
    def _complete(self) -> Certificate:
        if (self.must == "be_sm2") == (self.days is not None):
            raise ValueError("days with last and be_short, and with no other")
        return self

    @property
    def _probe(self) -> Probe:
        return command("/usr/bin/openssl", "x509", "-in", self.path, "-noout", "-text", root=True)

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (self._probe,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        text = facts.succeeded(self._probe)
        if self.must == "be_sm2":
            signed = re.findall(r"Signature Algorithm: (\S+)", text)
            curve = re.search(r"ASN1 OID: (\S+)", text)
            if not signed:
                raise UnknownError("openssl x509 told something else")
            fits = set(signed) == {"SM2-with-SM3"} and curve is not None and curve[1] == "SM2"
            return judged(fits, "SM2 key, SM2-with-SM3", f"{curve[1] if curve else '?'} key, {signed[0]}")
        dates = dict(_DATE.findall(text))
        if set(dates) != {"Before", "After"}:
            raise UnknownError("openssl x509 told something else")
        since, until = (_seconds(dates[one]) for one in ("Before", "After"))
        limit = number(values, self.days or "")
        if self.must == "last":
            left = (until - facts.taken) // _DAY
            fits = left >= limit and since <= facts.taken
            return judged(fits, f">= {limit} days left", f"{left} days left, from {dates['Before']} GMT")
        whole = -(-(until - since) // _DAY)
        return judged(whole <= limit, f"valid for <= {limit} days", f"{whole} days")


def _seconds(text: str) -> int:
    try:
        when = datetime.strptime(" ".join(text.split()), "%b %d %H:%M:%S %Y")
    except ValueError:
        raise UnknownError(f"openssl told a strange date: {text}") from None
    return int(when.replace(tzinfo=UTC).timestamp())


class Toml(Resource):
    """``toml``: a setting in a TOML file, by its dotted name."""

    resource: Literal["toml"]
    path: Path
    key: Annotated[str, Field(pattern=r"^[a-z_]{1,30}(\.[a-z_]{1,30}){0,3}$")]
    expect: Expect

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (file(self.path, root=True),)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        text = facts.text(file(self.path, root=True))
        if text is None:
            return not_applicable(f"{self.path} is not there")
        try:
            found: object = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError):
            raise UnknownError(f"{self.path} is no TOML") from None
        for part in self.key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        shown = None if found is None else str(found)
        wanted = f"{self.key} {self.expect.text(values)}"
        return judged(self.expect.fits(shown, values), wanted, f"{self.key} = {shown or 'not set'}")
