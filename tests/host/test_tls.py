"""TLS as negotiated on the wire, by a client that is not the engine's own: national suite or nothing (A9).

The suite's client knocks with certificates that it has the organisations' own CAs issue for a day, and that
are forgotten afterwards.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from provchain.spec import ChainSpec
from tests.host import certificates, tls
from tests.host.conftest import KNOCKER, authority_of
from tests.host.engine import Engine
from tests.host.network import Network
from tests.host.tls import Offer, RefusedError, Session

REQUEST = b"GET / HTTP/1.1\r\nHost: any\r\n\r\n"  # whatever it is, a service that serves answers it
# RFC 8446 section 6: what a server says when it refuses. "closed" is the end of a connection without a word.
NO_CERTIFICATE = ("certificate required", "handshake failure")
NO_COMMON_GROUND = ("handshake failure", "insufficient security", "illegal parameter", "protocol version")
UNKNOWN_CA = ("unknown ca", "bad certificate", "decrypt error", "certificate unknown")


@pytest.fixture(scope="session")
def foreign(network: Network, scratch: Path) -> Offer:
    """Return what a client offers whose CA only claims to be an organisation's."""
    organisation = network.spec.organisations[0].name
    issued = certificates.issue(scratch, KNOCKER, organisation, certificates.authority(scratch, organisation))
    return Offer(certificate=issued.certificate, key=issued.key)


@pytest.fixture(scope="session")
def borrowed(network: Network, scratch: Path) -> Offer:
    """Return what a client offers whom one organisation's CA calls a node of another one.

    The node is real, and so is its organisation: nothing but the CA tells them apart.
    """
    victim = network.spec.validators[0]
    first = next(o.name for o in network.spec.organisations if o.name != victim.organisation)
    issued = certificates.issue(scratch, victim.name, victim.organisation, authority_of(network, first))
    return Offer(certificate=issued.certificate, key=issued.key)


@contextlib.contextmanager
def _session(network: Network, node: str, service: str, offer: Offer) -> Iterator[Session]:
    with network.connection(node, service) as connection:
        yield Session(connection, offer)


def _refusal(network: Network, node: str, service: str, offer: Offer) -> str:
    """Return how a service refuses an offer; the test fails if it is served instead.

    In TLS 1.3 a client may finish before the server has judged its certificate, so the refusal can come
    with the first read.
    """
    with _session(network, node, service, offer) as session:
        try:
            session.handshake()
            answer = session.exchange(REQUEST)
        except RefusedError as refusal:
            return str(refusal).lower()
    pytest.fail(f"{node} {service} served the client: {answer[:80]!r}")


def test_the_national_suite_is_negotiated(node: str, service: str, network: Network, own: Offer) -> None:
    with _session(network, node, service, own) as session:
        session.handshake()
        assert (session.version, session.suite, session.group) == ("TLSv1.3", tls.SUITE, tls.GROUP)


def test_the_server_shows_its_hosts_certificate(
    node: str, service: str, network: Network, own: Offer, scratch: Path
) -> None:
    host = network.described(node)
    with _session(network, node, service, own) as session:
        session.handshake()
        shown = session.certificate
    assert tls.subject(shown, tls.COMMON_NAME) == [node]
    assert tls.subject(shown, tls.ORGANISATION) == [host.organisation]
    path = scratch / f"{node}-{service}.pem"
    path.write_text(tls.pem(shown), encoding="ascii")
    for organisation in network.spec.organisations:
        trusted = certificates.chains(path, authority_of(network, organisation.name).certificate)
        assert trusted == (organisation.name == host.organisation), organisation.name


def test_a_client_of_the_network_is_served(
    node: str, network: Network, engine: Engine, spec: ChainSpec, own: Offer
) -> None:
    """Without this, every refusal below could be that of a service that answers nobody."""
    with _session(network, node, "rpc", own) as session:
        session.handshake()
        assert engine.serves(session)


def test_a_client_without_certificate_is_refused(
    node: str, service: str, network: Network, own: Offer
) -> None:
    refusal = _refusal(network, node, service, replace(own, certificate=None, key=None))
    assert any(words in refusal for words in NO_CERTIFICATE), refusal


@pytest.mark.parametrize("what", ["all", "suite", "group"])
def test_a_client_that_offers_aes_is_refused(
    node: str, service: str, what: str, network: Network, own: Offer
) -> None:
    """Nothing national at all, or only half of it: neither is a common ground."""
    offers = {
        "all": replace(own, suites=tls.AES_SUITES, groups=tls.AES_GROUPS, signatures=tls.AES_SIGNATURES),
        "suite": replace(own, suites=tls.AES_SUITES),
        "group": replace(own, groups=tls.AES_GROUPS),
    }
    refusal = _refusal(network, node, service, offers[what])
    assert any(words in refusal for words in NO_COMMON_GROUND), refusal


def test_a_certificate_of_a_foreign_authority_is_refused(
    node: str, service: str, network: Network, foreign: Offer
) -> None:
    refusal = _refusal(network, node, service, foreign)
    assert any(words in refusal for words in UNKNOWN_CA), refusal


def test_an_authority_can_not_vouch_for_another_organisation(
    node: str, service: str, network: Network, borrowed: Offer
) -> None:
    """The chain is good, so TLS itself accepts it; the service has to end it, and answers no request."""
    with _session(network, node, service, borrowed) as session:
        session.handshake()
        with pytest.raises(RefusedError):
            session.exchange(REQUEST)


def test_a_member_that_is_no_node_is_no_peer(node: str, network: Network, own: Offer) -> None:
    """Its certificate is good for a client, not for taking part in the consensus."""
    with _session(network, node, "p2p", own) as session:
        session.handshake()
        with pytest.raises(RefusedError):
            session.exchange(b"")
