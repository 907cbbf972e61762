"""What an SSH server offers to anybody, before a login, as the ssh that logged in was told it. Pure.

OpenSSH's client writes down the server's own proposal, which comes in plain before anything is agreed on (RFC
4253, 7.1), and the methods that the server answers ``none`` with, by which a client asks first (RFC 4252,
5.2). So there is no second connection, and the host key was verified as for all else.
"""

from __future__ import annotations

import re

LEVEL = "DEBUG2"
"""The level of ssh's log that holds it (OpenSSH 7.3, 2016, and later)."""
MOST_WORDS = 64
MOST_LETTERS = 120
_PROPOSAL = "debug2: peer server KEXINIT proposal"
_LISTS = {
    "ssh.kex": "KEX algorithms",
    "ssh.host_key": "host key algorithms",
    "ssh.cipher": "ciphers stoc",
    "ssh.mac": "MACs stoc",
}
_VERSION = re.compile(r"debug1: Remote protocol version ([0-9.]+), remote software version (.*)")
_METHODS = re.compile(r"debug1: Authentications that can continue: (.*)")
_LET_IN = re.compile(r'Authenticated to .* using "none"\.')
# what ssh logs of a connection that worked
_NO_FAULT = re.compile(r"debug[123]: |OpenSSH_|Authenticated to |Transferred: |Bytes per second: |$")


def offers(log: str) -> dict[str, tuple[str, ...]]:
    """Return what a server offered, under the names that ``facts.SSH_OFFERS`` lists; only what is told.

    The first of each counts: nothing that the server says later, in words of its own, can pass for it, and
    ssh escapes what would begin a line.
    """
    lines = [line.rstrip("\r") for line in log.split("\n")]
    found: dict[str, tuple[str, ...]] = {}
    version = _first(_VERSION, lines)
    if version:
        found["ssh.version"] = _plain([f"SSH-{version[1]}-{version[2]}"])
    proposal = lines[lines.index(_PROPOSAL) + 1 :] if _PROPOSAL in lines else []
    for name, title in _LISTS.items():
        row = next((line for line in proposal[:12] if line.startswith(f"debug2: {title}: ")), None)
        if row is not None:
            found[name] = _plain(row.split(": ", 2)[2].split(","))
    methods = _first(_METHODS, lines)
    if methods:
        found["ssh.auth"] = _plain(methods[1].split(","))
    elif _first(_LET_IN, lines):
        found["ssh.auth"] = ("none",)
    return found


def fault(log: str) -> str:
    """Return ssh's last word on what went wrong; empty if there is none."""
    return next((line for line in reversed(log.splitlines()) if not _NO_FAULT.match(line)), "")


def _first(pattern: re.Pattern[str], lines: list[str]) -> re.Match[str] | None:
    return next(filter(None, map(pattern.fullmatch, lines)), None)


def _plain(words: list[str]) -> tuple[str, ...]:
    """Return a server's words bounded in number and length, and printable."""
    return tuple(
        "".join(letter if letter.isprintable() else "\ufffd" for letter in word[:MOST_LETTERS])
        for word in words[:MOST_WORDS]
        if word
    )
