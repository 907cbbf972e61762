"""A host listens on what the description says and on nothing else, loopback included."""

from __future__ import annotations

from typing import Any

from provchain.spec import listeners
from tests.host.network import Network


def _listening(report: str) -> dict[tuple[str, int], list[str]]:
    """Return what ``ss -Hltnup`` tells: addresses and processes by protocol and port."""
    found: dict[tuple[str, int], list[str]] = {}
    for line in report.splitlines():
        words = line.split()
        address, _, port = words[4].rpartition(":")
        process = words[6] if len(words) > 6 else "unknown process"
        found.setdefault((words[0], int(port)), []).append(f"{address} {process}")
    return found


def test_the_listening_sockets_are_those_of_the_description(
    name: str, facts: dict[str, Any], network: Network
) -> None:
    assert not facts["sockets"].startswith("error"), facts["sockets"]
    found = _listening(facts["sockets"])
    wanted = {(one.protocol, one.port) for one in listeners(network.spec, network.described(name))}
    assert wanted - set(found) == set(), f"{name}: nothing listens there"
    assert {key: found[key] for key in set(found) - wanted} == {}, (
        f"{name}: the description has no such socket"
    )


def test_the_engine_listens_on_the_hosts_own_address_only(
    node: str, facts: dict[str, Any], network: Network
) -> None:
    host = network.described(node)
    found = _listening(facts["sockets"])
    for one in listeners(network.spec, host):
        if one.service in ("p2p", "rpc"):
            addresses = {entry.split()[0] for entry in found[one.protocol, one.port]}
            assert addresses == {str(host.address)}, (node, one.service)
