"""The host's own boundary: what listens, what its firewall lets through."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Literal

from provchain.baseline.facts import Facts, Probe, UnknownError, command
from provchain.baseline.observation import Observation, judged, unknown
from provchain.baseline.resources.base import Resource, Target
from provchain.baseline.values import Values, is_whole

LISTENING = command("/usr/bin/ss", "-Hlntu", last=True)
RULESET = command("/usr/sbin/nft", "-j", "list", "ruleset", root=True)
_LOOPBACK = ("127.", "[::1]", "::1")


class Sockets(Resource):
    """``sockets``: what really listens beyond the host itself is what the network's description says."""

    resource: Literal["sockets"]

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (LISTENING,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        ends = sorted(set(_listening(facts.succeeded(LISTENING))))
        shown = [f"{protocol} {address}:{port}" for protocol, address, port in ends]
        if target.listeners is None:
            return unknown(f"no description says what may listen; these do: {', '.join(shown) or 'none'}")
        strange = [
            line
            for line, (protocol, _, port) in zip(shown, ends, strict=True)
            if (protocol, port) not in target.listeners
        ]
        allowed = ", ".join(f"{protocol} {port}" for protocol, port in sorted(target.listeners)) or "nothing"
        return judged(not strange, f"only {allowed}", *(strange or shown or ["nothing listens"]))


def _listening(text: str) -> Iterator[tuple[str, str, int]]:
    for line in text.splitlines():
        row = line.split()
        address, colon, port = row[4].rpartition(":") if len(row) >= 5 else ("", "", "")
        if not colon or not is_whole(port) or row[0] not in ("tcp", "udp"):
            raise UnknownError(f"ss told something else: {line[:80]}")
        if not address.startswith(_LOOPBACK):
            yield row[0], address.partition("%")[0], int(port)


Must = Literal[
    "drop_what_comes_in",
    "drop_what_passes_through",
    "drop_what_goes_out",
    "know_connections",
    "name_ends_and_ports",
    "hold_no_rule_twice",
    "count_what_it_drops",
]
_HOOKS = {
    "drop_what_comes_in": "input",
    "drop_what_passes_through": "forward",
    "drop_what_goes_out": "output",
}


class Firewall(Resource):
    """``firewall``: the rules in force in the kernel, not those of a file."""

    resource: Literal["firewall"]
    must: Must

    def probes(self, target: Target, values: Values) -> tuple[Probe, ...]:
        return (RULESET,)

    def judge(self, facts: Facts, values: Values, target: Target) -> Observation:
        text = facts.text(RULESET)
        if text is None:
            return judged(False, "a firewall in force", "nft is not there")
        objects = _objects(facts.succeeded(RULESET))
        chains = [one["chain"] for one in objects if "chain" in one and one["chain"].get("type") == "filter"]
        rules = [one["rule"] for one in objects if "rule" in one]
        hook = _HOOKS.get(self.must)
        if hook:
            return _policy(chains, hook)
        judges: dict[str, Callable[[list[dict[str, Any]]], Observation]] = {
            "know_connections": _stateful,
            "name_ends_and_ports": _narrow,
            "hold_no_rule_twice": _unique,
            "count_what_it_drops": _counted,
        }
        return judges[self.must](rules)


def _objects(text: str) -> list[dict[str, Any]]:
    try:
        found = json.loads(text)["nftables"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise UnknownError("nft told something else") from None
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise UnknownError("nft told something else")
    for one in found:
        for kind in ("chain", "rule"):
            if kind in one and not isinstance(one[kind], dict):
                raise UnknownError("nft told something else")
    return found


def _policy(chains: list[dict[str, Any]], hook: str) -> Observation:
    there = [one for one in chains if one.get("hook") == hook and one.get("family") in ("inet", "ip")]
    shown = [
        f"{one.get('family')} {one.get('table')} {one.get('name')}: policy {one.get('policy')}"
        for one in there
    ]
    fits = any(one.get("policy") == "drop" for one in there)
    return judged(fits, f"a {hook} chain with policy drop", *(shown or [f"no {hook} chain"]))


def _stateful(rules: list[dict[str, Any]]) -> Observation:
    seen = [
        one for one in rules if "ct" in json.dumps(one.get("expr", "")) and "established" in json.dumps(one)
    ]
    return judged(bool(seen), "rules that know established connections", f"{len(seen)} of {len(rules)} rules")


def _narrow(rules: list[dict[str, Any]]) -> Observation:
    """An accepting rule names a state, the loopback, a protocol of control, or an end and a port."""
    wide = []
    for one in rules:
        expressions = one.get("expr", [])
        text = json.dumps(expressions)
        accepts = isinstance(expressions, list) and any(
            isinstance(e, dict) and "accept" in e for e in expressions
        )
        known = '"state"' in text or '"lo"' in text or "icmp" in text
        if accepts and not known and not ("addr" in text and "port" in text):
            wide.append(
                f"{one.get('table')} {one.get('chain')} handle {one.get('handle')}: accepts {text[:160]}"
            )
    return judged(not wide, "no rule accepts all ends or all ports", *(wide or [f"{len(rules)} rules"]))


def _unique(rules: list[dict[str, Any]]) -> Observation:
    def told(rule: dict[str, Any]) -> str:
        expressions = [e for e in rule.get("expr", []) if not (isinstance(e, dict) and "counter" in e)]
        return json.dumps(
            [rule.get("family"), rule.get("table"), rule.get("chain"), expressions], sort_keys=True
        )

    twice = [f"{count} times: {text[:200]}" for text, count in Counter(map(told, rules)).items() if count > 1]
    return judged(not twice, "each rule once", *(twice or [f"{len(rules)} rules"]))


def _counted(rules: list[dict[str, Any]]) -> Observation:
    counted = [
        one for one in rules if any(isinstance(e, dict) and "counter" in e for e in one.get("expr", []))
    ]
    return judged(bool(counted), "a counter on what is denied", f"{len(counted)} of {len(rules)} rules count")
