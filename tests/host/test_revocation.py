"""A certificate that its organisation revokes is refused by every node at once, and nobody else's."""

from __future__ import annotations

from pathlib import Path

import pytest

from provchain.pki import Authority, Wanted
from tests.host import certificates, command, steady
from tests.host.engine import Engine
from tests.host.network import Network
from tests.host.tls import Offer, RefusedError, Session
from tests.host.waiting import until

pytestmark = pytest.mark.disruptive

PROMPT = 10.0
"""Seconds in which every node must refuse it; it takes about one block."""


def _served(network: Network, engine: Engine, node: str, offer: Offer) -> bool:
    with network.connection(node, "rpc") as connection:
        session = Session(connection, offer)
        try:
            session.handshake()
        except RefusedError:
            return False
        return engine.serves(session)


def test_a_revoked_client_is_refused_everywhere_without_a_restart(
    network: Network, engine: Engine, own: Offer, tmp_path: Path
) -> None:
    organisation = network.spec.organisations[0].name
    asked = certificates.request(tmp_path, "leaver", organisation)
    wanted = Wanted("leaver", organisation, "leaver.test", "192.0.2.1", 1)
    authority = Authority(network.state / "pki", organisation)
    issued = tmp_path / "leaver.pem"
    issued.write_text(authority.issue(asked.certificate.read_text("ascii"), wanted), encoding="ascii")
    leaver = Offer(certificate=issued, key=asked.key)
    processes = network.each(network.nodes, lambda node: steady.main_pid(network, node, engine.unit))
    assert all(network.each(network.nodes, lambda node: _served(network, engine, node, leaver)).values())
    entrance = next(host.name for host in network.spec.hosts if "rpc" in host.roles)
    with network.connection(entrance, "rpc") as connection:
        open_still = Session(connection, leaver)
        open_still.handshake()
        assert engine.serves(open_still)
        told = command.provchain(network, "revoke", organisation, certificates.serial(issued), "--yes")
        assert told["certificate"].startswith("leaver-")
        until(
            lambda: network.each(network.nodes, lambda node: _served(network, engine, node, leaver)),
            lambda served: not any(served.values()),
            "every node refuses the certificate",
            PROMPT,
        )
        assert not engine.serves(open_still), "a connection that was open goes on"
    assert all(network.each(network.nodes, lambda node: _served(network, engine, node, own)).values())
    assert network.each(network.nodes, lambda node: steady.main_pid(network, node, engine.unit)) == processes
