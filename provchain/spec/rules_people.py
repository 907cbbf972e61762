"""Rules about people: accounts of their own, one part each (GB/T 22239 8.1.4.1.a, 8.1.5)."""

from __future__ import annotations

from collections.abc import Iterator

from provchain.document import Finding
from provchain.spec.model import ChainSpec
from provchain.spec.rules_chain import repeated

_SYSTEM = frozenset(
    {
        *("auditadm", "auditors", "backup", "bin", "daemon", "games", "gnats", "irc", "list", "lp", "mail"),
        *("man", "messagebus", "news", "nobody", "operator", "provchain", "proxy", "secadm", "sshd", "sync"),
        *("sys", "sysadm", "syslog", "uucp", "www-data"),
    }
)
"""Accounts and groups that Debian or the roles make."""


def one_part_each(spec: ChainSpec) -> Iterator[Finding]:
    """Nobody has two accounts, or a key in two: with one part each, rights stay apart (8.1.5)."""
    listed = list(enumerate(spec.administrators))
    yield from repeated((("administrators", i, "name"), one.name) for i, one in listed)
    yield from repeated((("administrators", i, "person"), one.person) for i, one in listed)
    yield from repeated(
        (("administrators", i, "keys", j), key) for i, one in listed for j, key in enumerate(one.keys)
    )


def own_names(spec: ChainSpec) -> Iterator[Finding]:
    """No account takes the place of the deploying one, the engine's or one of the system's."""
    programs = {spec.ssh.user, spec.engine.name, *(host.ssh.user for host in spec.hosts if host.ssh)}
    for i, one in enumerate(spec.administrators):
        if one.name in programs | _SYSTEM or one.name.startswith(("_", "systemd-")):
            yield Finding(("administrators", i, "name"), one.name, "a name that no program's account has")


RULES = (
    (("administrators",), one_part_each),
    (("administrators", "ssh", "engine", "hosts"), own_names),
)
