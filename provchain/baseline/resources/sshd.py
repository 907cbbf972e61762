"""What the SSH server would do: its effective configuration, not the text of its files."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Literal

from pydantic import Field

from provchain.baseline.facts import SSH_OFFERS, Facts, Probe, command
from provchain.baseline.observation import Observation, judged
from provchain.baseline.resources.base import Entry, Fix, Resource, Target
from provchain.baseline.values import Expect, Values

EFFECTIVE = command("/usr/sbin/sshd", "-T", root=True)
"""The configuration as the server reads it, drop-ins and defaults included (sshd(8), -T)."""


class Sshd(Resource):
    """``sshd``: an option of the SSH server, as ``sshd -T`` tells it."""

    resource: Literal["sshd"]
    option: Annotated[str, Field(pattern=r"^[a-z0-9]{2,40}$")]
    """The option's name in lower case."""
    expect: Expect

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (EFFECTIVE,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        options = effective(facts.succeeded(EFFECTIVE))
        found = options.get(self.option)
        wanted = f"{self.option} {self.expect.text(values)}"
        shown = f"{self.option} {found}" if found is not None else f"{self.option} is not set"
        return judged(self.expect.fits(found, values), wanted, shown)

    def fixes(self, values: Values, target: Target) -> tuple[Fix, ...]:
        value = self.expect.value(values)
        return () if value is None else (Entry("sshd", self.option, value),)


class SshOffer(Resource):
    """``ssh_offer``: what the running server offers to anybody before a login, seen from outside.

    It tells what ``sshd -T`` can't: a server that was not restarted since its configuration changed, and one
    that another program put before it. Words that only announce extensions are no algorithms (RFC 8308, 2.1;
    the ``kex-strict-`` words of OpenSSH's PROTOCOL, 1.10).
    """

    resource: Literal["ssh_offer"]
    offer: Literal["kex", "host_key", "cipher", "mac", "auth"]
    expect: Expect

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (SSH_OFFERS,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        offered = [word for word in facts.offered(f"ssh.{self.offer}") if not word.startswith(_ANNOUNCED)]
        found = ",".join(offered)
        wanted = f"{self.offer} {self.expect.text(values)}"
        return judged(self.expect.fits(found, values), wanted, f"{self.offer} offered: {found or 'nothing'}")


_ANNOUNCED = ("ext-info-", "kex-strict-")


@lru_cache(maxsize=4)  # of one host's, asked for by one rule after the other
def effective(text: str) -> Mapping[str, str]:
    """Return the options of ``sshd -T`` by name; the values of one that stands several times are joined."""
    options: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.strip().partition(" ")
        if name:
            options[name] = f"{options[name]} {value}" if name in options else value
    return options
