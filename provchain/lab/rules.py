"""The router's packet filter as nftables text, from what the flow matrix permits; pure.

The default is to drop, without an answer. A rule names the source network, the target's address,
protocol and port; counters show what passed and what was refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

TABLE = "provchain"
CUT = "provchain_cut"
_COMMENT_MAX = 120  # nftables takes 128 bytes

_HEAD = f"""\
flush ruleset
table inet {TABLE} {{
  chain input {{
    type filter hook input priority filter; policy drop;
    ct state established,related counter accept
    icmp type echo-request counter accept
    counter comment "refused"
  }}
  chain forward {{
    type filter hook forward priority filter; policy drop;
    ct state established,related counter accept
    ct state invalid counter drop
"""
_TAIL = """\
    counter comment "refused"
  }
}
"""


@dataclass(frozen=True)
class Pass:
    """One kind of traffic that the router lets through."""

    source: str
    address: str
    protocol: str
    port: int
    purpose: str


def render(passes: Sequence[Pass]) -> str:
    """Return the whole ruleset; a second pass for the same traffic is left out.

    Raises ValueError on anything that is no network, address, protocol or port, or a purpose that
    would end its comment: nothing else can slip into the rules.
    """
    lines = dict.fromkeys(_rule(entry) for entry in passes)
    return _HEAD + "".join(f"    {line}\n" for line in lines) + _TAIL


def render_cut(one: Sequence[str], other: Sequence[str]) -> str:
    """Return a table that comes before the permits and drops all packets between two groups of addresses."""
    left, right = (", ".join(str(IPv4Address(address)) for address in group) for group in (one, other))
    return f"""\
table inet {CUT} {{
  chain forward {{
    type filter hook forward priority filter - 10; policy accept;
    ip saddr {{ {left} }} ip daddr {{ {right} }} counter drop
    ip saddr {{ {right} }} ip daddr {{ {left} }} counter drop
  }}
}}
"""


def _rule(entry: Pass) -> str:
    source, address = IPv4Network(entry.source), IPv4Address(entry.address)
    if entry.protocol not in ("tcp", "udp") or not 0 < entry.port < 65536:
        raise ValueError(f"no service: {entry.port}/{entry.protocol}")
    if not re.fullmatch(r"[\w .>:/-]*", entry.purpose, re.ASCII):
        raise ValueError(f"no purpose: {entry.purpose!r}")
    purpose = entry.purpose[:_COMMENT_MAX]
    match = f"ip saddr {source} ip daddr {address} {entry.protocol} dport {entry.port}"
    return f'{match} counter accept comment "{purpose}"'


def differences(wanted: str, live: str) -> list[str]:
    """Say which lines of two listings (``nft --stateless list ruleset``) differ, one line each."""
    want, have = [_lines(text) for text in (wanted, live)]
    missing = [f"rule missing: {line}" for line in want if line not in have]
    foreign = [f"foreign rule: {line}" for line in have if line not in want]
    if not missing and not foreign and want != have:
        return ["rules are in another order"]
    return missing + foreign


def _lines(listing: str) -> list[str]:
    return [line.strip() for line in listing.splitlines() if line.strip(" \t}")]
