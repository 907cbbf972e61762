"""The router of a network: the namespace in which all its bridges lie, and the rules between them."""

from __future__ import annotations

from collections.abc import Sequence

from provchain.lab import names, netns, rules
from provchain.lab.rules import Pass
from provchain.lab.shell import run

_SETTINGS = {
    "net.ipv4.ip_forward": "1",
    # a source address is believed only from the bridge of its own zone (RFC 3704, strict)
    "net.ipv4.conf.all.rp_filter": "1",
    "net.ipv4.conf.default.rp_filter": "1",
    # neighbours must go through the router, so it must not tell them of a shorter way
    "net.ipv4.conf.all.send_redirects": "0",
    "net.ipv4.conf.default.send_redirects": "0",
    "net.ipv6.conf.all.disable_ipv6": "1",
    "net.ipv6.conf.default.disable_ipv6": "1",
}


def ensure(network: str, passes: Sequence[Pass]) -> None:
    """Make the namespace and load exactly these rules in one transaction; safe to repeat."""
    namespace = names.lab_namespace(network)
    with netns.plumbing(network):
        netns.add(namespace)
        # the rules first: there is no moment in which it forwards without them
        _nft(namespace, "-f", "-", stdin=rules.render(passes))
        _inside(namespace, "sysctl", "-q", "-w", *(f"{name}={value}" for name, value in _SETTINGS.items()))


def exists(network: str) -> bool:
    """Return whether the network's namespace is there."""
    return netns.exists(names.lab_namespace(network))


def problems(network: str, passes: Sequence[Pass]) -> list[str]:
    """Say what differs from ``ensure``: rules that are missing, foreign or in another order, settings."""
    namespace = names.lab_namespace(network)
    values = _inside(namespace, "sysctl", "-n", *_SETTINGS).split()
    found = [
        f"{name} is {value}, not {wanted}"
        for (name, wanted), value in zip(_SETTINGS.items(), values, strict=True)
        if value != wanted
    ]
    return rules.differences(_canonical(passes), _nft(namespace, "--stateless", "list", "ruleset")) + found


def remove(network: str) -> None:
    """Remove the namespace with all that is in it, if it is there."""
    netns.delete(names.lab_namespace(network))


def cut(network: str, one: Sequence[str], other: Sequence[str]) -> None:
    """Drop all packets between two groups of addresses, open connections included, until ``heal``."""
    heal(network)
    if one and other:
        _nft(names.lab_namespace(network), "-f", "-", stdin=rules.render_cut(one, other))


def heal(network: str) -> None:
    """Remove the cut, if there is one."""
    # naming a table creates it where it is missing, so that deleting it always works
    stdin = f"table inet {rules.CUT}\ndelete table inet {rules.CUT}\n"
    _nft(names.lab_namespace(network), "-f", "-", stdin=stdin)


def _canonical(passes: Sequence[Pass]) -> str:
    """Return the rules as the kernel would list them: loaded into a namespace that lasts for a moment."""
    script = "nft -f - && nft --stateless list ruleset"
    return run("unshare", "--net", "sh", "-c", script, stdin=rules.render(passes))


def _nft(namespace: str, *arguments: str, stdin: str | None = None) -> str:
    return _inside(namespace, "nft", *arguments, stdin=stdin)


def _inside(namespace: str, *argv: str, stdin: str | None = None) -> str:
    return run("nsenter", f"--net=/run/netns/{namespace}", *argv, stdin=stdin)
